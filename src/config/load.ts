import { readFileSync, statSync } from 'node:fs';
import { basename, dirname, resolve } from 'node:path';
import { JetbackupError, messageOf } from '../core/errors.ts';
import { alertSecrets, alertsOf } from './alerts.ts';
import { type AwsVariable, awsVariables, type Config, type ConfigWarning, type DatabaseConfig, type KeySource } from './config.ts';
import { type ConfigDocument, type Raw, readDocument } from './document.ts';
import { type Environment, environmentOverlay, misspelt, readVariables, type Variables } from './environment.ts';
import { httpOf, httpSection } from './http.ts';
import { type ConfigChecks, type Placed, parseRaw } from './parse.ts';
import { configInvalid, type Problem } from './problems.ts';
import { retentionOf } from './retention.ts';
import { daemonOf, noDrillsYet, scheduleOf } from './schedule.ts';
import type { ParsedConfig } from './schema.ts';
import { Secret } from './secret.ts';
import { passwordsIn } from './url-passwords.ts';
import { objectivesOf, verifyOf } from './verify.ts';

export const DEFAULT_CONFIG_NAME = 'jetbackup.yaml';
const SYSTEM_CONFIG = '/etc/jetbackup/jetbackup.yaml';

export interface LoadOptions {
  /** --config. */
  readonly file?: string | undefined;
  readonly env: Environment;
  readonly cwd: string;
  /** Parsers of the adapters, so that their complaints come in the same list. */
  readonly checks?: ConfigChecks;
  /** Where to look when neither --config nor JETBACKUP_CONFIG says; for tests. */
  readonly search?: readonly string[];
}

/**
 * Reads the configuration: flags before environment before file. Throws `config-invalid` with every problem at
 * once, each with its place and remedy; no message shows a value that may be a secret.
 */
export function loadConfig(options: LoadOptions): Config {
  const { env, cwd } = options;
  const variables = readVariables(env, cwd);
  const path = findFile(options);
  const document = path === undefined ? undefined : readFile(path, (name) => variables.get(name));
  const ownDatabases = document?.raw['databases'] !== undefined;
  const overlay = environmentOverlay(variables, !ownDatabases);
  // Read here for the problems that reading them may have.
  for (const name of [...awsVariables, 'PGPASSWORD', 'JETBACKUP_IDENTITY', 'JETBACKUP_SIGNING_KEY']) variables.get(name);

  const where = (steps: readonly PropertyKey[]): Placed => {
    for (let length = steps.length; length > 0; length -= 1) {
      const origin = overlay.origins.get(steps.slice(0, length).join('.'));
      if (origin !== undefined) return { source: origin };
    }
    if (document === undefined || path === undefined) return { source: 'environment' };
    return { source: basename(path), ...document.locate(steps) };
  };
  if (path === undefined && overlay.raw['repository'] === undefined) throw nothingConfigured(options, variables.problems);

  if (document?.broken === true) throw configInvalid(inOrder([...document.problems, ...variables.problems]));
  const raw = layOver(httpSection(document?.raw ?? {}), overlay.raw);
  const connectionEnvironment = connectionEnvironmentOf(env, variables);
  const { config, problems } = parseRaw(raw, where, options.checks ?? {}, connectionEnvironment(undefined));
  const all: Problem[] = [...(document?.problems ?? []), ...variables.problems, ...problems];
  if (config === undefined || all.length > 0) throw configInvalid(inOrder(all));
  return assemble({ config, path, cwd, env, variables, document, overlaid: overlay.origins, connectionEnvironment });
}

function findFile({ file, env, cwd, search }: LoadOptions): string | undefined {
  const explicit = file ?? (env['JETBACKUP_CONFIG'] || undefined);
  if (explicit !== undefined) return resolve(cwd, explicit);
  return (search ?? [resolve(cwd, DEFAULT_CONFIG_NAME), SYSTEM_CONFIG]).find(
    (candidate) => statSync(candidate, { throwIfNoEntry: false }) !== undefined,
  );
}

function readFile(path: string, lookup: (name: string) => string | undefined): ConfigDocument {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(path));
  } catch (cause) {
    const encoding = cause instanceof TypeError && 'code' in cause && cause.code === 'ERR_ENCODING_INVALID_ENCODED_DATA';
    throw new JetbackupError(
      'config-invalid',
      encoding ? `${path} is not UTF-8 text` : `the configuration cannot be read: ${messageOf(cause)}`,
      { cause, hint: encoding ? 'Save it as UTF-8.' : 'Check --config or JETBACKUP_CONFIG; a new one is made by: jetbackup init' },
    );
  }
  return readDocument(text, basename(path), lookup);
}

function nothingConfigured({ cwd }: LoadOptions, problems: readonly Problem[]): JetbackupError {
  if (problems.length > 0) return configInvalid(problems);
  return new JetbackupError(
    'config-invalid',
    `there is no configuration: no ${DEFAULT_CONFIG_NAME} in ${cwd}, no ${SYSTEM_CONFIG}, and JETBACKUP_REPOSITORY is not set`,
    {
      hint: 'Make one with: jetbackup init. Or name one with --config FILE. Or set JETBACKUP_REPOSITORY, DATABASE_URL and JETBACKUP_RECIPIENTS.',
    },
  );
}

/** Sections are joined key by key; anything else in `over` replaces what is below. */
function layOver(under: { [key: string]: Raw }, over: { [key: string]: Raw }): { [key: string]: Raw } {
  const joined = { ...under };
  for (const [key, value] of Object.entries(over)) {
    const below = joined[key];
    const sections = isSection(below) && isSection(value);
    joined[key] = sections ? { ...below, ...value } : value;
  }
  return joined;
}

function isSection(raw: Raw | undefined): raw is { [key: string]: Raw } {
  return typeof raw === 'object' && !Array.isArray(raw);
}

/** File problems by place, then the environment's. */
function inOrder(problems: readonly Problem[]): Problem[] {
  const rank = ({ line, column }: Problem) => (line === undefined ? Number.POSITIVE_INFINITY : line * 10_000 + (column ?? 0));
  return problems.toSorted((a, b) => (rank(a) === rank(b) ? 0 : rank(a) - rank(b)));
}

function connectionEnvironmentOf(env: Environment, variables: Variables): Config['connectionEnvironment'] {
  const names = Object.keys(env).filter((name) => /^PG[A-Z_]+$/.test(name) || name === 'USER' || name === 'LOGNAME' || name === 'HOME');
  const base: Record<string, string | undefined> = Object.fromEntries(names.map((name) => [name, env[name]]));
  const password = variables.get('PGPASSWORD');
  if (password !== undefined) base['PGPASSWORD'] = password;
  return (database) => {
    if (database?.passfile === undefined) return { ...base };
    // A database with a password file of its own is not meant by a PGPASSWORD that stands in the environment for another.
    const { PGPASSWORD: _, ...rest } = base;
    return { ...rest, PGPASSFILE: database.passfile };
  };
}

interface Parts {
  readonly config: ParsedConfig;
  readonly path: string | undefined;
  readonly cwd: string;
  readonly env: Environment;
  readonly variables: Variables;
  readonly document: ConfigDocument | undefined;
  readonly overlaid: ReadonlyMap<string, string>;
  readonly connectionEnvironment: Config['connectionEnvironment'];
}

function assemble(parts: Parts): Config {
  const { config, path, cwd, env, variables, document, overlaid } = parts;
  const folder = path === undefined ? cwd : dirname(path);
  /** A path in the file is relative to the file, one in the environment to where the command runs. */
  const absolute = (value: string, key: string): string => resolve(overlaid.has(key) ? cwd : folder, value);
  const key = (
    inline: 'JETBACKUP_IDENTITY' | 'JETBACKUP_SIGNING_KEY',
    file: string | undefined,
    setting: string,
  ): KeySource | undefined => {
    const value = variables.get(inline);
    if (value !== undefined && value !== '') return { kind: 'value', value: new Secret(value), variable: inline };
    return file === undefined ? undefined : { kind: 'file', path: absolute(file, setting) };
  };
  const databases = config.databases.map(
    (database, index): DatabaseConfig => ({
      name: database.name,
      url: database.url === undefined ? undefined : new Secret(database.url),
      passfile: database.passfile === undefined ? undefined : absolute(database.passfile, `databases.${index}.passfile`),
      fingerprint: database.fingerprint,
      files: database.files.map((file) => absolute(file, `databases.${index}.files`)),
      rolePasswords: database.rolePasswords,
      lockTimeoutMs: database.lockTimeout,
      lockRetries: database.lockRetries,
      tags: database.tags,
      bindir: database.bindir === undefined ? undefined : absolute(database.bindir, `databases.${index}.bindir`),
      retention: retentionOf(database.retention, config.retention),
      schedule: scheduleOf(database, config),
      objectives: objectivesOf(database.objectives, config.objectives),
      queries: database.queries.map(({ name, sql, expect }) => ({ name, sql, expect })),
      values: database.values,
      canary: database.canary,
    }),
  );
  const identity = key('JETBACKUP_IDENTITY', config.encryption.identityFile, 'encryption.identityFile');
  const signingKey = key('JETBACKUP_SIGNING_KEY', config.signing.keyFile, 'signing.keyFile');
  const passphrase = config.encryption.passphrase === undefined ? undefined : new Secret(config.encryption.passphrase);
  const verify = verifyOf(config.verify, (path) => absolute(path, 'verify.directory'));
  const provided = typeof verify.sandbox === 'string' ? [] : [verify.sandbox.reveal()];
  const urls = [...config.databases.flatMap(({ url }) => url ?? []), ...provided];
  const alerts = alertsOf(config.alerts, (path, index) => absolute(path, `alerts.${index}.email.caFile`));
  const http = httpOf(config.http, (path, key) => absolute(path, `http.${key}`));
  const httpKey: KeySource[] = http?.tls === undefined ? [] : [{ kind: 'file', path: http.tls.keyFile }];
  const httpToken = config.http.token === undefined ? [] : [new Secret(config.http.token)];
  const passwords = [config.repository, ...urls].flatMap(passwordsIn);
  const written = [...passwords, ...alertSecrets(alerts), ...(overlaid.has('http.token') ? [] : httpToken)];
  const awsVariable = (name: AwsVariable): Secret | undefined => {
    const value = variables.get(name);
    return value === undefined || value === '' ? undefined : new Secret(value);
  };
  const password = variables.get('PGPASSWORD');
  return {
    path,
    base: overlaid.has('repository') ? cwd : folder,
    timeZone: config.timezone,
    repository: new Secret(config.repository),
    databases,
    selected: variables.get('JETBACKUP_DATABASE') || undefined,
    recipients: config.encryption.recipients,
    identity,
    passphrase,
    publicKeys: config.signing.publicKey,
    signingKey,
    compression: { codec: config.compression.codec, level: config.compression.level, parallel: config.compression.parallel },
    restore: { jobs: config.restore.jobs, noOwner: config.restore.noOwner, createRoles: config.restore.createRoles },
    verify,
    alerts,
    alertPolicy: config.alertPolicy,
    daemon: daemonOf(config),
    http,
    pruneProfile: config.prune.profile,
    connectionEnvironment: parts.connectionEnvironment,
    awsVariable,
    warnings: [
      ...openToOthers([identity, signingKey, ...httpKey], databases),
      ...(path !== undefined && document !== undefined && written.length > 0 ? writtenPasswords(path, document) : []),
      ...(document?.raw['drill'] === undefined ? [] : [noDrillsYet]),
      ...misspelt(env, document?.variables ?? new Set()).map(({ name, meant }) => ({
        text: `the environment variable ${name} is not known and does nothing; ${meant}`,
      })),
    ],
    secrets: [
      ...passwords.map((value) => new Secret(value)),
      ...(password === undefined || password === '' ? [] : [new Secret(password)]),
      ...(['AWS_SECRET_ACCESS_KEY', 'AWS_SESSION_TOKEN'] as const).flatMap((name) => awsVariable(name) ?? []),
      ...[identity, signingKey].flatMap((source) => (source?.kind === 'value' ? source.value : [])),
      ...(passphrase === undefined ? [] : [passphrase]),
      ...alertSecrets(alerts),
      ...httpToken,
    ],
    openWords: [...databases.map(({ name }) => name), ...urls.flatMap(wordsOf), 'postgres', 'password'],
  };
}

/** User, host and database of a URL: printed in messages anyway. */
function wordsOf(url: string): string[] {
  const match = /^[a-z]+:\/\/(?:([^:@/]*)(?::[^@]*)?@)?([^:/?]*)(?::\d+)?(?:\/([^?]*))?/i.exec(url);
  return (match?.slice(1) ?? []).filter((word) => word !== undefined && word !== '');
}

/** ssh's rule: a key that others can read is a key that others have. libpq refuses such a passfile outright. */
function openToOthers(keys: readonly (KeySource | undefined)[], databases: readonly DatabaseConfig[]): ConfigWarning[] {
  const paths = [...keys.flatMap((key) => (key?.kind === 'file' ? key.path : [])), ...databases.flatMap(({ passfile }) => passfile ?? [])];
  return paths.flatMap((path) => (isOpen(path) ? [{ text: `other users can read ${path}`, hint: `Run: chmod 600 ${path}` }] : []));
}

function writtenPasswords(path: string, document: ConfigDocument): ConfigWarning[] {
  if (!isOpen(path) || document.variables.size > 0) return [];
  return [
    {
      text: `${path} holds a password or another secret, and other users can read it`,
      hint: `Run: chmod 600 ${path}. Or keep the password elsewhere: \${DATABASE_URL}, or a passfile.`,
    },
  ];
}

function isOpen(path: string): boolean {
  const mode = statSync(path, { throwIfNoEntry: false })?.mode;
  return mode !== undefined && (mode & 0o077) !== 0;
}
