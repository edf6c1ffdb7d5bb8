import { type Document, isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from 'yaml';
import { interpolate, type Lookup } from './interpolate.ts';
import type { Problem } from './problems.ts';

/** The configuration as text, before anything is known about its keys. Empty values are left out: `identityFile: ${X:-}` is not set. */
export type Raw = string | Raw[] | { [key: string]: Raw };

export interface ConfigDocument {
  /** The text is not YAML: `raw` is empty, and what a schema would say about it is of no use. */
  readonly broken: boolean;
  readonly raw: { [key: string]: Raw };
  readonly problems: readonly Problem[];
  /** Where a path stands; the nearest thing above it where it does not stand at all. */
  locate(path: readonly PropertyKey[]): { readonly line: number; readonly column: number };
  /** Environment variables that the file refers to. */
  readonly variables: ReadonlySet<string>;
}

/** Far above any real configuration; below what aliases of aliases can be blown up to. */
const MAX_NODES = 20_000;

/** Reads YAML and fills in `${NAME}`. Every problem is collected, none is thrown. `source` is the name that problems carry. */
export function readDocument(text: string, source: string, lookup: Lookup): ConfigDocument {
  const lines = new LineCounter();
  // failsafe: every scalar is text; the schema, not YAML, says what is a number.
  const masked = maskReferences(text);
  const document = parseDocument(masked, { schema: 'failsafe', lineCounter: lines, prettyErrors: false });
  const problems: Problem[] = [];
  const places = new Map<string, number>();
  const variables = new Set<string>();
  let nodes = 0;

  const report = (offset: number, message: string, remedy?: string): void => {
    const { line, col } = lines.linePos(offset);
    problems.push({ source, line, column: col, message, ...(remedy === undefined ? {} : { remedy }) });
  };

  for (const error of [...document.errors, ...document.warnings]) report(error.pos[0], yamlMessage(error.code, error.message));

  const read = (node: Node | null | undefined, path: readonly PropertyKey[], offset: number): Raw | undefined => {
    const at = node?.range?.[0] ?? offset;
    if (!places.has(keyOf(path))) places.set(keyOf(path), at);
    nodes += 1;
    if (nodes > MAX_NODES) return undefined;
    if (isAlias(node)) return read(node.resolve(document as Document), path, at);
    if (isMap(node)) {
      const map: { [key: string]: Raw } = {};
      for (const { key, value } of node.items) {
        if (!isScalar(key) || typeof key.value !== 'string') {
          report(at, 'a key must be plain text');
          continue;
        }
        const name = unmask(key.value);
        const inner = [...path, name];
        places.set(keyOf(inner), key.range?.[0] ?? at);
        const raw = read(value as Node | null, inner, key.range?.[0] ?? at);
        // defineProperty: a key called __proto__ is a key like any other.
        if (raw !== undefined) Object.defineProperty(map, name, { value: raw, enumerable: true, writable: true, configurable: true });
      }
      return map;
    }
    if (isSeq(node)) {
      return node.items.flatMap((item, index) => read(item as Node | null, [...path, index], at) ?? []);
    }
    if (!isScalar(node) || node.value === null || node.value === '') return undefined;
    const { value, used, problems: found } = interpolate(unmask(String(node.value)), lookup);
    for (const name of used) variables.add(name);
    for (const { message, remedy } of found) report(at, message, remedy);
    // What could not be filled in has been reported once; a placeholder keeps the schema from reporting it as missing as well.
    if (found.length > 0) return UNRESOLVED;
    return value === '' ? undefined : value;
  };

  // A broken document's nodes are not worth a second list of problems.
  const raw = document.errors.length > 0 ? {} : (read(document.contents, [], 0) ?? {});
  if (nodes > MAX_NODES) report(0, 'the file grows beyond any sensible size through its aliases');
  const isSection = typeof raw === 'object' && !Array.isArray(raw);
  if (!isSection) report(0, 'the file must hold sections (key: value)');
  return {
    broken: document.errors.length > 0,
    raw: isSection ? raw : {},
    problems,
    variables,
    locate(path) {
      for (let length = path.length; length >= 0; length -= 1) {
        const offset = places.get(keyOf(path.slice(0, length)));
        if (offset !== undefined) {
          const { line, col } = lines.linePos(offset);
          return { line, column: col };
        }
      }
      return { line: 1, column: 1 };
    },
  };
}

/*
 * `{ level: ${LEVEL} }` is no YAML: the brace of the reference opens a map. People write it all the same, so simple
 * references are moved, character by character, into a private range of Unicode while YAML is read, and back in the
 * scalars. Nothing is expanded here, and every position stays what it was.
 */
const PRIVATE = 0xe000;
const privateUse = /[\ue000-\ue07f]/g;

function maskReferences(text: string): string {
  if (text.search(privateUse) !== -1) return text;
  return text.replace(/\$\{[A-Za-z_][A-Za-z0-9_]*(?::-[\x20-\x7e]*?)?\}/g, (reference) =>
    /["'\\]|\$\{.*\$\{/.test(reference) ? reference : String.fromCharCode(...Array.from(reference, (c) => PRIVATE + c.charCodeAt(0))),
  );
}

function unmask(text: string): string {
  return text.replace(privateUse, (character) => String.fromCharCode(character.charCodeAt(0) - PRIVATE));
}

/** Stands for a value whose variables are not set; nothing that a user can write. */
export const UNRESOLVED = '\u0000unresolved';

function keyOf(path: readonly PropertyKey[]): string {
  return JSON.stringify(path.map(String));
}

function yamlMessage(code: string, message: string): string {
  if (code === 'DUPLICATE_KEY') return 'this key stands here twice';
  if (code === 'TAB_AS_INDENT') return 'tabs cannot indent YAML; use spaces';
  if (code === 'MULTIPLE_DOCS') return 'the file holds more than one document (a line "---")';
  // What follows a colon is a piece of the file, and may be a piece of a secret.
  const what = message.replace(/:\s.*$/s, '');
  return `this is not YAML: ${what.charAt(0).toLowerCase()}${what.slice(1)}`;
}
