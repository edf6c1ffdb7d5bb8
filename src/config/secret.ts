import { inspect } from 'node:util';

const REDACTED = '[redacted]';

/**
 * A value that must never be printed. Every way of turning it into text by accident (string concatenation,
 * JSON, console.log, a logger's serializer) gives `[redacted]`; only `reveal()` gives the value, so that a
 * search for `reveal` finds every place where a secret leaves.
 */
export class Secret {
  readonly #value: string;

  constructor(value: string) {
    this.#value = value;
  }

  reveal(): string {
    return this.#value;
  }

  toString(): string {
    return REDACTED;
  }

  toJSON(): string {
    return REDACTED;
  }

  [inspect.custom](): string {
    return REDACTED;
  }
}

/** Takes secrets out of text that others made: messages of drivers and child processes, stacks, causes. */
export type Redact = (text: string) => string;

/** Secrets that are recognised by their form, whoever printed them. */
const patterns: readonly (readonly [RegExp, string])[] = [
  // The password of any URL, up to the last @ before the host: passwords with an unescaped @ exist. Not a port, and not the word in our own hints.
  [/([a-z][a-z0-9+.-]*:\/\/[^\s:@/]*):(?!\d{1,5}(?:[/?#\s]|$)|password@)[^\s]*@/gi, `$1:${REDACTED}@`],
  [/((?:password|passwd|passphrase|secret(?:_?access)?_?key)\s*[=:]\s*)('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[^\s&,;]+)/gi, `$1${REDACTED}`],
  [/AGE-SECRET-KEY-(?:PQ-)?1[A-Z0-9]+/gi, REDACTED],
  [/-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/g, REDACTED],
];

/** Shorter values are too likely to be part of an innocent word. */
const MIN_KNOWN_SECRET = 4;

/**
 * A last line of defence over everything that goes to stderr and into error documents: the known secrets of
 * this configuration (in the forms in which they are met: plain, URL-encoded, JSON-escaped), and whatever has
 * the form of one. `open` are words that are printed anyway (user, host and database names): a password equal
 * to one of them is not hidden by hiding the word.
 */
export function redactor(known: Iterable<string> = [], open: Iterable<string> = []): Redact {
  const shown = new Set(open);
  const values = new Set<string>();
  for (const value of known) {
    if (value.length < MIN_KNOWN_SECRET || shown.has(value)) continue;
    values.add(value).add(encodeURIComponent(value)).add(encodeURI(value)).add(JSON.stringify(value).slice(1, -1));
  }
  // The longest first: a secret that contains another is taken out whole.
  const ordered = [...values].sort((a, b) => b.length - a.length);
  return (text) => {
    let clean = text;
    for (const value of ordered) clean = clean.replaceAll(value, REDACTED);
    for (const [pattern, replacement] of patterns) clean = clean.replace(pattern, replacement);
    return clean;
  };
}
