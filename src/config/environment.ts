import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { messageOf } from '../core/errors.ts';
import type { Raw } from './document.ts';
import { didYouMean, type Problem } from './problems.ts';
import { retentionSection } from './retention.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

/** Reads variables, each also as NAME_FILE: a file that holds the value (Docker and Kubernetes secrets). */
export interface Variables {
  /** Unset and empty are different here; callers that do not care use `||`. */
  get(name: string): string | undefined;
  readonly problems: readonly Problem[];
}

/** NAME_FILE of these is not "the value from a file" but a setting of its own: the path of a key file. */
const filesOfTheirOwn = new Set(['JETBACKUP_IDENTITY', 'JETBACKUP_SIGNING_KEY']);

export function readVariables(env: Environment, cwd: string): Variables {
  const problems: Problem[] = [];
  const seen = new Map<string, string | undefined>();
  const read = (name: string): string | undefined => {
    const direct = env[name];
    const file = env[`${name}_FILE`];
    if (file === undefined || file === '') return direct;
    if (direct !== undefined && direct !== '') {
      problems.push({ source: name, message: `${name} and ${name}_FILE are both set`, remedy: 'Unset one of them.' });
      return direct;
    }
    if (filesOfTheirOwn.has(name)) return direct;
    try {
      // One line break at the end is the editor's; further ones belong to the value.
      return readFileSync(resolve(cwd, file), 'utf8').replace(/\r?\n$/, '');
    } catch (error) {
      problems.push({ source: `${name}_FILE`, message: messageOf(error), remedy: 'Name a file that this user may read.' });
      return undefined;
    }
  };
  return {
    get(name) {
      if (!seen.has(name)) seen.set(name, read(name));
      return seen.get(name);
    },
    problems,
  };
}

/** Settings and the variable that stands before the file's word for each. */
const settings: readonly (readonly [variable: string, path: readonly string[], list?: 'list'])[] = [
  ['JETBACKUP_TIMEZONE', ['timezone']],
  ['JETBACKUP_REPOSITORY', ['repository']],
  ['JETBACKUP_RECIPIENTS', ['encryption', 'recipients'], 'list'],
  ['JETBACKUP_IDENTITY_FILE', ['encryption', 'identityFile']],
  ['JETBACKUP_PASSPHRASE', ['encryption', 'passphrase']],
  ['JETBACKUP_SIGNING_PUBLIC_KEY', ['signing', 'publicKey'], 'list'],
  ['JETBACKUP_SIGNING_KEY_FILE', ['signing', 'keyFile']],
  ['JETBACKUP_CODEC', ['compression', 'codec']],
  ['JETBACKUP_LEVEL', ['compression', 'level']],
  ['JETBACKUP_PRUNE_PROFILE', ['prune', 'profile']],
  ['JETBACKUP_SANDBOX', ['verify', 'sandbox']],
  ['JETBACKUP_SANDBOX_IMAGE', ['verify', 'image']],
  ['JETBACKUP_RPO', ['objectives', 'rpo']],
  ['JETBACKUP_RTO', ['objectives', 'rto']],
  ['JETBACKUP_HTTP_LISTEN', ['http', 'listen']],
  ['JETBACKUP_HTTP_TOKEN', ['http', 'token']],
];

/** Of the one database of environment-only mode; a file's databases say this for themselves. */
const databaseSettings: readonly (readonly [variable: string, key: string, form?: 'list' | 'retention'])[] = [
  ['JETBACKUP_FINGERPRINT', 'fingerprint'],
  ['JETBACKUP_FILES', 'files', 'list'],
  ['JETBACKUP_ROLE_PASSWORDS', 'rolePasswords'],
  ['JETBACKUP_LOCK_TIMEOUT', 'lockTimeout'],
  ['JETBACKUP_LOCK_RETRIES', 'lockRetries'],
  ['JETBACKUP_BINDIR', 'bindir'],
  ['JETBACKUP_CANARY', 'canary'],
  ['JETBACKUP_RETENTION', 'retention', 'retention'],
  ['JETBACKUP_SCHEDULE', 'schedule'],
];

const others = ['JETBACKUP_CONFIG', 'JETBACKUP_DATABASE', 'JETBACKUP_IDENTITY', 'JETBACKUP_SIGNING_KEY', 'JETBACKUP_LOG'];

export const knownVariables: readonly string[] = [...settings.map(([name]) => name), ...databaseSettings.map(([name]) => name), ...others];

export interface Overlay {
  readonly raw: { [key: string]: Raw };
  /** The variable that a path comes from, for problems. Keyed by the path's steps joined with a dot. */
  readonly origins: ReadonlyMap<string, string>;
}

/** The configuration that the environment alone gives; it is laid over the file's. */
export function environmentOverlay(variables: Variables, withDatabase: boolean): Overlay {
  const origins = new Map<string, string>();
  const raw: { [key: string]: Raw } = {};
  for (const [variable, path, list] of settings) {
    const value = variables.get(variable);
    if (value === undefined || value === '') continue;
    const [section = '', key] = path;
    origins.set(path.join('.'), variable);
    if (key === undefined) raw[section] = value;
    else raw[section] = { ...(raw[section] as { [key: string]: Raw } | undefined), [key]: list === undefined ? value : items(value) };
  }
  if (withDatabase) {
    const database = databaseOf(variables, origins);
    if (database !== undefined) raw['databases'] = [database];
  }
  return { raw, origins };
}

function databaseOf(variables: Variables, origins: Map<string, string>): { [key: string]: Raw } | undefined {
  const url = variables.get('DATABASE_URL') || undefined;
  const pgDatabase = variables.get('PGDATABASE') || undefined;
  const given = variables.get('JETBACKUP_DATABASE') || undefined;
  const connects = url !== undefined || pgDatabase !== undefined || (variables.get('PGHOST') || undefined) !== undefined;
  // JETBACKUP_DATABASE alone only says which of the repository's databases is meant.
  if (!connects) return undefined;
  // libpq's own rule: the database is called like the user where nothing names it.
  const name = given ?? (url === undefined ? undefined : databaseInUrl(url)) ?? pgDatabase ?? variables.get('PGUSER');
  const database: { [key: string]: Raw } = {};
  if (name !== undefined && name !== '') database['name'] = name;
  origins.set('databases.0.name', given === undefined ? (url === undefined ? 'PGDATABASE' : 'DATABASE_URL') : 'JETBACKUP_DATABASE');
  if (url !== undefined) database['url'] = url;
  origins.set('databases.0.url', 'DATABASE_URL');
  for (const [variable, key, form] of databaseSettings) {
    const value = variables.get(variable);
    if (value === undefined || value === '') continue;
    if (form === undefined) database[key] = value;
    else database[key] = form === 'list' ? items(value) : retentionSection(items(value));
    origins.set(`databases.0.${key}`, variable);
  }
  return database;
}

/** The database in a URL's path; undefined where it names none or is no URL. */
export function databaseInUrl(url: string): string | undefined {
  const path = /^[a-z]+:\/\/[^/?#]*\/([^?#]*)/i.exec(url)?.[1];
  if (path === undefined || path === '') return undefined;
  try {
    return decodeURIComponent(path);
  } catch {
    return undefined;
  }
}

/** By commas or line breaks: SSH recipients and paths have spaces in them. */
function items(value: string): string[] {
  return value
    .split(/[,\n]/)
    .map((item) => item.trim())
    .filter((item) => item !== '');
}

/**
 * JETBACKUP_ variables that look like a misspelt setting. Others are let be: Kubernetes puts JETBACKUP_PORT and the
 * like into every pod when a service is called "jetbackup".
 */
export function misspelt(env: Environment, referred: ReadonlySet<string>): { readonly name: string; readonly meant: string }[] {
  const known = new Set(knownVariables);
  return Object.keys(env)
    .filter((name) => name.startsWith('JETBACKUP_') && !referred.has(name) && !name.startsWith('JETBACKUP_TEST_'))
    .filter((name) => !known.has(name) && !known.has(name.replace(/_FILE$/, '')))
    .flatMap((name) => {
      const meant = didYouMean(name, knownVariables);
      return meant === undefined ? [] : [{ name, meant }];
    });
}
