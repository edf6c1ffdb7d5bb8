import type * as z from 'zod';
import { isJetbackupError, messageOf } from '../core/errors.ts';
import type { ConnectionEnvironment } from './config.ts';
import { type Raw, UNRESOLVED } from './document.ts';
import { didYouMean, type Problem } from './problems.ts';
import { ConfigSchema, knownKeys, type ParsedConfig } from './schema.ts';

/** Where a value stands: a line of the file, or the environment variable that gave it. */
export interface Placed {
  readonly source: string;
  readonly line?: number;
  readonly column?: number;
}

/**
 * What the adapters have to say about values that only they understand: the parsers throw `config-invalid`, the
 * validators give the complaint or undefined. None may repeat a secret.
 */
export interface ConfigChecks {
  readonly repository?: (url: string) => unknown;
  readonly connection?: (url: string | undefined, environment: ConnectionEnvironment) => unknown;
  readonly recipient?: (text: string) => string | undefined;
  readonly recipients?: (texts: readonly string[]) => string | undefined;
  readonly publicKey?: (text: string) => string | undefined;
  /** Whether the repository at this URL can be reached with an AWS profile of its own. */
  readonly pruneProfile?: (repository: string) => string | undefined;
}

type Path = readonly PropertyKey[];

/** Validates the joined configuration; every problem of the schema and, where that holds, every one of the adapters. */
export function parseRaw(
  raw: { readonly [key: string]: Raw },
  where: (path: Path) => Placed,
  checks: ConfigChecks,
  environment: ConnectionEnvironment,
): { readonly config: ParsedConfig | undefined; readonly problems: readonly Problem[] } {
  const parsed = ConfigSchema.safeParse(raw);
  const problems = parsed.success ? [] : parsed.error.issues.flatMap((issue) => problemsOfIssue(issue, raw, where));
  problems.push(...runChecks(raw, where, checks, environment));
  return { config: parsed.success ? parsed.data : undefined, problems };
}

function problemsOfIssue(issue: z.core.$ZodIssue, raw: Raw, where: (path: Path) => Placed): Problem[] {
  const value = valueAt(raw, issue.path);
  if (value === UNRESOLVED) return [];
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({ ...where([...issue.path, key]), ...unknownKey(key, issue.path) }));
  }
  if (issue.code === 'invalid_union') {
    const list = Array.isArray(value);
    const message = list ? 'holds something that is no plain text' : 'must be one value or a list of values';
    return [{ ...where(issue.path), message: `${nameOf(issue.path)} ${message}` }];
  }
  const place = where(issue.path);
  if (issue.code === 'invalid_key')
    return [{ ...place, message: `"${String(issue.path.at(-1))}" ${issue.issues[0]?.message ?? 'is no key'}` }];
  if (value === undefined) return [{ ...place, ...missing(issue.path, place) }];
  if (issue.code === 'invalid_type') return [{ ...place, message: `${nameOf(issue.path)} must be ${typeName(issue.expected)}` }];
  if (issue.code === 'invalid_value') {
    const allowed = issue.values.map(String);
    const meant = typeof value === 'string' ? didYouMean(value, allowed) : undefined;
    return [
      {
        ...place,
        message: `${nameOf(issue.path)} must be one of ${allowed.join(', ')}${meant === undefined ? '' : `; ${meant}`}`,
      },
    ];
  }
  const remedy = issue.code === 'custom' ? issue.params?.['remedy'] : undefined;
  const subject = typeof issue.path.at(-1) === 'number' ? '' : `${nameOf(issue.path)}: `;
  return [{ ...place, message: `${subject}${issue.message}`, ...(typeof remedy === 'string' ? { remedy } : {}) }];
}

function unknownKey(key: string, path: Path): { message: string; remedy: string } {
  const known = knownKeys(path);
  const meant = didYouMean(key, known);
  return {
    message: `unknown key "${key}"${meant === undefined ? '' : `; ${meant}`}`,
    remedy: `Known here: ${known.join(', ')}.`,
  };
}

function missing(path: Path, place: Placed): { message: string; remedy: string } {
  const name = String(path.at(-1));
  if (name === 'repository') {
    return {
      message: '"repository" is missing',
      remedy: 'Add repository: s3://BUCKET/PREFIX or file:///DIRECTORY; or set JETBACKUP_REPOSITORY.',
    };
  }
  if (path[0] === 'databases' && path.length === 3 && name === 'name') {
    const inFile = place.line !== undefined;
    return {
      message: 'the database has no name',
      remedy: inFile ? 'Add name: what its backups are filed under.' : 'Name the database in DATABASE_URL, or set JETBACKUP_DATABASE.',
    };
  }
  return { message: `${nameOf(path)} is missing`, remedy: `Add ${name}: …` };
}

function nameOf(path: Path): string {
  return `"${path
    .map((step) => (typeof step === 'number' ? `[${step}]` : String(step)))
    .join('.')
    .replaceAll('.[', '[')}"`;
}

function typeName(expected: string): string {
  if (expected === 'array') return 'a list (- item)';
  if (expected === 'object' || expected === 'record') return 'a section (key: value)';
  return 'one value';
}

function valueAt(raw: Raw, path: Path): Raw | undefined {
  let value: Raw | undefined = raw;
  for (const step of path) {
    if (Array.isArray(value)) value = value[Number(step)];
    else if (typeof value === 'object') value = value[String(step)];
    else return undefined;
  }
  return value;
}

/** Runs on the raw values, so that a misspelt key elsewhere does not hide a bad URL. */
function runChecks(
  raw: { readonly [key: string]: Raw },
  where: (path: Path) => Placed,
  checks: ConfigChecks,
  environment: ConnectionEnvironment,
): Problem[] {
  const problems: Problem[] = [];
  const strings = (path: Path): { text: string; path: Path }[] => {
    const value = valueAt(raw, path);
    const list = Array.isArray(value) ? value.map((text, index) => ({ text, path: [...path, index] })) : [{ text: value, path }];
    return list.flatMap(({ text, path: at }) => (typeof text === 'string' && text !== UNRESOLVED ? { text, path: at } : []));
  };
  const validate = (path: Path, check: ((text: string) => string | undefined) | undefined): void => {
    for (const { text, path: at } of strings(path)) {
      const complaint = check?.(text);
      if (complaint !== undefined) problems.push({ ...where(at), message: `${nameOf(at)}: ${complaint}` });
    }
  };
  const attempt = (path: Path, check: () => unknown): void => {
    try {
      check();
    } catch (error) {
      const hint = isJetbackupError(error) ? error.hint : undefined;
      problems.push({ ...where(path), message: messageOf(error), ...(hint === undefined ? {} : { remedy: hint }) });
    }
  };
  for (const { text, path } of strings(['repository'])) attempt(path, () => checks.repository?.(text));
  const databases = raw['databases'];
  problems.push(...repeatedNames(databases, where), ...withoutFingerprint(databases, where));
  for (const index of Array.isArray(databases) ? databases.keys() : []) {
    const path = ['databases', index, 'url'];
    const url = valueAt(raw, path);
    if (url !== undefined && (typeof url !== 'string' || url === UNRESOLVED)) continue;
    attempt(path, () => checks.connection?.(url, environment));
  }
  for (const { text, path } of strings(['verify', 'sandbox'])) {
    if (/^postgres(ql)?:/.test(text)) attempt(path, () => checks.connection?.(text, environment));
  }
  for (const { text } of strings(['repository'])) validate(['prune', 'profile'], () => checks.pruneProfile?.(text));
  validate(['encryption', 'recipients'], checks.recipient);
  validate(['signing', 'publicKey'], checks.publicKey);
  const recipients = strings(['encryption', 'recipients']).map(({ text }) => text);
  if (recipients.length > 1 && recipients.every((text) => checks.recipient?.(text) === undefined)) {
    const complaint = checks.recipients?.(recipients);
    if (complaint !== undefined) problems.push({ ...where(['encryption', 'recipients']), message: complaint });
  }
  return problems;
}

/** Two databases under one name would write into one folder. Here and not in the schema, which stops at the first bad item. */
function repeatedNames(databases: Raw | undefined, where: (path: Path) => Placed): Problem[] {
  const names = Array.isArray(databases) ? databases.map((_, index) => valueAt(databases, [index, 'name'])) : [];
  return names.flatMap((name, index) => {
    if (typeof name !== 'string' || name === UNRESOLVED || names.indexOf(name) === index) return [];
    return [
      { ...where(['databases', index, 'name']), message: `"databases[${index}].name": there is another database of this name above` },
    ];
  });
}

/** Values and the canary are recorded in the fingerprint's artifact: without one they would be asked for and nowhere to be found. */
function withoutFingerprint(databases: Raw | undefined, where: (path: Path) => Placed): Problem[] {
  if (!Array.isArray(databases)) return [];
  return [...databases.keys()].flatMap((index) => {
    if (valueAt(databases, [index, 'fingerprint']) !== 'off') return [];
    const values = valueAt(databases, [index, 'values']);
    const canary = valueAt(databases, [index, 'canary']);
    const asked = [
      ...(Array.isArray(values) && values.length > 0 ? ['values'] : []),
      ...(canary !== undefined && canary !== 'false' && canary !== UNRESOLVED ? ['canary'] : []),
    ];
    return asked.map((key) => ({
      ...where(['databases', index, key]),
      message: `"databases[${index}].${key}" is recorded with the fingerprint, and "fingerprint" is off`,
      remedy: `Set fingerprint: counts (or content), or take ${key} out.`,
    }));
  });
}
