import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { type AlertSetting, openAlerts } from './alerts/all.ts';
import { pagerDutyEndpoints } from './alerts/pagerduty.ts';
import { type AlertPolicy, defaultPolicy } from './alerts/policy.ts';
import { listCommitted } from './catalog/catalog.ts';
import { isUnchanging } from './catalog/layout.ts';
import { parseMoment } from './catalog/moment.ts';
import { type CodecOptions, createCodec } from './compression/all.ts';
import type { AlertConfig } from './config/alerts.ts';
import type { AlertPolicyConfig } from './config/alerts-schema.ts';
import { type AwsVariable, awsVariables, type Config, type DatabaseConfig, type KeySource } from './config/config.ts';
import { type Environment, readVariables } from './config/environment.ts';
import type { ConfigChecks } from './config/parse.ts';
import { configInvalid } from './config/problems.ts';
import { retentionInput } from './config/retention.ts';
import { redactor, Secret } from './config/secret.ts';
import { JetbackupError, messageOf } from './core/errors.ts';
import type { CodecName } from './core/manifest.ts';
import type { Progress } from './core/progress.ts';
import { createOpener, createSealer } from './crypto/age.ts';
import { generateIdentity, type Identity, openIdentityFile, parseIdentities, passphraseIdentity } from './crypto/identities.ts';
import { validateRecipient, validateRecipients } from './crypto/recipients.ts';
import {
  generateSigningKey,
  loadSigningKey,
  type PublicKey,
  parsePublicKey,
  publicKeyPem,
  type SigningKey,
  validatePublicKey,
} from './crypto/signature.ts';
import type { IncidentDeps } from './operations/acknowledge.ts';
import type { AlertDeps } from './operations/alerts.ts';
import { type BackupDeps, postgres } from './operations/backup.ts';
import type { ExclusiveDeps } from './operations/exclusive.ts';
import type { MarkDeps } from './operations/mark.ts';
import type { PruneDeps } from './operations/prune.ts';
import { recoveryText } from './operations/recovery.ts';
import { initRepository } from './operations/repository.ts';
import type { RestoreDeps } from './operations/restore.ts';
import { postgresRestorer } from './operations/restorer.ts';
import type { RunDeps } from './operations/run.ts';
import type { VerifyDeps } from './operations/verify.ts';
import type { Clock } from './platform/clock.ts';
import type { ProcessRunner } from './platform/processes.ts';
import type { ServiceRunner } from './platform/services.ts';
import { type ConnectionSettings, parseConnection, withDatabase } from './postgres/connection.ts';
import { parseConnectionString } from './postgres/connection-string.ts';
import { passfileLine } from './postgres/passfile.ts';
import { openStore } from './storage/all.ts';
import { parseRepositoryUrl, type RepositoryLocation } from './storage/location.ts';
import { rememberingStore } from './storage/remembering.ts';
import type { ObjectStore } from './storage/store.ts';
import { sandboxesFor } from './verify/sandboxes/all.ts';
import { createSandboxLedger, type SandboxLedger } from './verify/sandboxes/ledger.ts';

export { createSandboxLedger };

/** What the process gives: everything else is made here. */
export interface Platform {
  readonly env: Environment;
  readonly cwd: string;
  readonly clock: Clock;
  readonly processes: ProcessRunner;
  readonly services: ServiceRunner;
  /** Name of this host, for run records. */
  readonly host: string;
  /** Name of the user that we run as, for proofs. */
  readonly user: string;
  readonly version: string;
}

/** The adapters' parsers, so that `loadConfig` reports what they have to say with the rest. */
export const configChecks: ConfigChecks = {
  repository: parseRepositoryUrl,
  connection: (url, env) => parseConnection({ ...(url === undefined ? {} : { url }), env }),
  recipient: validateRecipient,
  recipients: validateRecipients,
  publicKey: validatePublicKey,
  pruneProfile(repository) {
    try {
      if (parseRepositoryUrl(repository).kind === 's3') return undefined;
    } catch {
      return undefined; // Its own complaint is in the list.
    }
    return 'a directory knows no AWS profile: prune deletes as the user that runs it';
  },
};

/** A relative directory or certificate in a repository's URL belongs to where the URL stands. */
function repositoryAt(url: string, base: string): RepositoryLocation {
  const location = parseRepositoryUrl(url);
  if (location.kind === 'filesystem') return { ...location, directory: resolve(base, location.directory) };
  return location.caFile === undefined ? location : { ...location, caFile: resolve(base, location.caFile) };
}

async function storeAt(
  location: RepositoryLocation,
  clock: Clock,
  aws: (name: AwsVariable) => Secret | undefined,
  profile?: string,
): Promise<ObjectStore> {
  if (profile !== undefined) return openStore(location, { clock, profile });
  const [accessKeyId, secretAccessKey, sessionToken] = awsVariables.map((name) => aws(name)?.reveal());
  // Only a whole pair stands before the AWS chain (profiles, roles, container credentials).
  if (accessKeyId === undefined || secretAccessKey === undefined) return openStore(location, { clock });
  return openStore(location, {
    clock,
    credentials: { accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { sessionToken }) },
  });
}

/** What client programs may see of the environment: where to find themselves and their libraries, and Kerberos tickets. */
const childVariables = ['PATH', 'HOME', 'LANG', 'TMPDIR', 'LD_LIBRARY_PATH', 'DYLD_LIBRARY_PATH', 'KRB5CCNAME', 'KRB5_CONFIG'] as const;

function childEnvironment(env: Environment): Record<string, string> {
  return Object.fromEntries(
    childVariables.flatMap((name) => {
      const value = env[name];
      return value === undefined ? [] : [[name, value] as const];
    }),
  );
}

async function readKey(source: KeySource, what: string): Promise<{ content: Buffer; where: string }> {
  if (source.kind === 'value') return { content: Buffer.from(source.value.reveal(), 'utf8'), where: source.variable };
  try {
    return { content: await readFile(source.path), where: source.path };
  } catch (cause) {
    throw unreadable(what, source.path, cause);
  }
}

function unreadable(what: string, path: string, cause: unknown): JetbackupError {
  return new JetbackupError('key-missing', `the ${what} cannot be read: ${messageOf(cause)}`, {
    cause,
    hint: `Bring the file to ${path} (from escrow, if it is lost here), readable by this user alone: chmod 600.`,
  });
}

const SIGNING_KEY_HINT =
  'Set signing.keyFile (or JETBACKUP_SIGNING_KEY_FILE, or JETBACKUP_SIGNING_KEY) to the key that `jetbackup init` made.';
const PUBLIC_KEY_HINT = 'Set signing.publicKey (or JETBACKUP_SIGNING_PUBLIC_KEY) to the ed25519:… that `jetbackup init` printed.';
const RECIPIENTS_HINT = 'Set encryption.recipients (or JETBACKUP_RECIPIENTS) to one or more public keys, age1….';
const IDENTITY_HINT =
  'Set encryption.identityFile (or JETBACKUP_IDENTITY_FILE, or JETBACKUP_IDENTITY) to the identity, AGE-SECRET-KEY-1…; it should be in escrow.';

async function signingKeyOf(config: Config, what: string): Promise<SigningKey> {
  if (config.signingKey === undefined) {
    throw new JetbackupError('key-missing', `there is no key to sign ${what} with`, { hint: SIGNING_KEY_HINT });
  }
  const { content, where } = await readKey(config.signingKey, 'signing key');
  return loadSigningKey(content.toString('utf8'), where);
}

/** The trusted public keys; a host that signs trusts at least itself. Empty on a host that has neither. */
function publicKeysOf(config: Config): PublicKey[] {
  if (config.publicKeys.length > 0) return config.publicKeys.map((text) => parsePublicKey(text, 'signing.publicKey'));
  const { signingKey } = config;
  if (signingKey === undefined) return [];
  if (signingKey.kind === 'value') return [loadSigningKey(signingKey.value.reveal(), signingKey.variable).publicKey];
  try {
    return [loadSigningKey(readFileSync(signingKey.path, 'utf8'), signingKey.path).publicKey];
  } catch (error) {
    throw error instanceof JetbackupError ? error : unreadable('signing key', signingKey.path, error);
  }
}

function requiredPublicKeys(config: Config): PublicKey[] {
  const keys = publicKeysOf(config);
  if (keys.length > 0) return keys;
  throw new JetbackupError('key-missing', 'there is no public key to check backups against, and none is used unchecked', {
    hint: PUBLIC_KEY_HINT,
  });
}

async function identitiesOf(config: Config, ask: (() => Promise<string>) | undefined): Promise<Identity[]> {
  const { identity, passphrase } = config;
  if (identity === undefined) {
    if (passphrase !== undefined) return [passphraseIdentity(passphrase.reveal())];
    throw new JetbackupError('key-missing', 'there is no identity to open backups with', { hint: IDENTITY_HINT });
  }
  const { content, where } = await readKey(identity, 'identity');
  if (identity.kind === 'value') return parseIdentities(content.toString('utf8'), where);
  const given = passphrase === undefined ? ask : async () => passphrase.reveal();
  return await openIdentityFile(content, where, given);
}

function connectionOf(config: Config, database: DatabaseConfig): ConnectionSettings {
  const env = config.connectionEnvironment(database);
  return parseConnection({ ...(database.url === undefined ? {} : { url: database.url.reveal() }), env });
}

function alertSettingOf(alert: AlertConfig): AlertSetting {
  return alert.kind === 'pagerduty' ? { ...alert, endpoint: pagerDutyEndpoints[alert.region] } : alert;
}

/** The rules' thresholds as they are configured. */
export function alertPolicyOf(config: AlertPolicyConfig): AlertPolicy {
  return {
    provenWithinMs: config.provenWithin,
    storage: { warning: config.storage, critical: config.storageCritical },
    escrowEveryMs: config.escrowEvery,
    rotationNoticeMs: config.rotationNotice,
    forecast: { ...defaultPolicy.forecast, noticeMs: config.forecastNotice },
    repeatMs: { critical: config.repeatCritical ?? 0, warning: config.repeatWarning ?? 0, info: config.repeatInfo ?? 0 },
  };
}

/**
 * Builds the adapters for a configuration. Nothing is contacted, and no key is read, before a command needs it. `ledger` is to outlive
 * a configuration that is read anew.
 */
export async function compose(config: Config, platform: Platform, ledger: SandboxLedger = createSandboxLedger()) {
  const location = repositoryAt(config.repository.reveal(), config.base);
  const store = await storeAt(location, platform.clock, config.awsVariable);
  let pruneStore: ObjectStore | undefined;
  const { level, parallel } = config.compression;
  const options: CodecOptions = { ...(level === undefined ? {} : { level }), ...(parallel === undefined ? {} : { parallel }) };
  const redact = redactor(
    config.secrets.map((secret) => secret.reveal()),
    config.openWords,
  );
  const { clock, host, version } = platform;
  const runDeps = (log: Progress): RunDeps => ({ store, clock, log, host, version, redact });
  const { processes } = platform;
  const env = childEnvironment(platform.env);
  // A level is meant for the configured codec; reading another one needs none.
  const codec = (name: CodecName) => createCodec(name, name === config.compression.codec ? options : {});

  const restoreDeps = async (log: Progress, ask: (() => Promise<string>) | undefined): Promise<RestoreDeps> => {
    const publicKeys = requiredPublicKeys(config);
    return { ...runDeps(log), processes, env, codec, publicKeys, opener: createOpener(await identitiesOf(config, ask)) };
  };

  const alertDeps = (): AlertDeps => ({ clock, host, ...openAlerts({ clock }, host, config.alerts.map(alertSettingOf)) });

  return {
    location: store.location,
    async backupDeps(log: Progress): Promise<BackupDeps> {
      if (config.recipients.length === 0) {
        throw new JetbackupError('key-missing', 'there is no recipient to encrypt the backup to', { hint: RECIPIENTS_HINT });
      }
      const signingKey = await signingKeyOf(config, 'the backup');
      return {
        ...runDeps(log),
        source: postgres,
        processes,
        env,
        codec: codec(config.compression.codec),
        sealer: createSealer(config.recipients),
        signingKey,
      };
    },
    restoreDeps,
    exportDeps: restoreDeps,
    async verifyDeps(
      log: Progress,
      ask: (() => Promise<string>) | undefined,
      chosen: Config['verify']['sandbox'] | undefined,
    ): Promise<VerifyDeps> {
      const { sandbox, image, memoryBytes, cpus, storage, directory, settings, plaintext, reaper } = config.verify;
      const wanted = chosen ?? sandbox;
      const provided =
        typeof wanted === 'string' ? wanted : parseConnection({ url: wanted.reveal(), env: config.connectionEnvironment(undefined) });
      const options = {
        container: { image, memoryBytes, cpus, storage, settings, plaintext, reaper, dockerHost: platform.env['DOCKER_HOST'] },
        local: { directory, settings, memoryBytes },
      };
      const sandboxes = sandboxesFor(provided, options, { clock, log, host, ledger, processes, services: platform.services, env });
      // A host that only verifies may have none: then what it finds is recorded and not signed.
      const signingKey = config.signingKey === undefined ? undefined : await signingKeyOf(config, 'what a verification finds');
      return { ...(await restoreDeps(log, ask)), signingKey, sandboxes, restorer: postgresRestorer, by: `${platform.user}@${host}` };
    },
    listDeps: () => ({ store, clock, publicKeys: publicKeysOf(config) }),
    exclusiveDeps: (log: Progress): ExclusiveDeps => ({ store, clock, log, host }),
    remembering: () => ({ store: rememberingStore(store, isUnchanging), clock, publicKeys: requiredPublicKeys(config) }),
    statusDeps: () => ({ store, clock, publicKeys: requiredPublicKeys(config) }),
    async pruneDeps(log: Progress): Promise<PruneDeps> {
      const publicKeys = requiredPublicKeys(config);
      if (config.pruneProfile !== undefined) pruneStore ??= await storeAt(location, clock, config.awsVariable, config.pruneProfile);
      return { ...runDeps(log), store: pruneStore ?? store, publicKeys };
    },
    async markDeps(): Promise<MarkDeps> {
      const publicKeys = requiredPublicKeys(config);
      return { store, clock, publicKeys, signingKey: await signingKeyOf(config, 'what you decide about a backup') };
    },
    alertDeps,
    incidentDeps: (): IncidentDeps => ({ store, clock, targets: alertDeps().targets, by: `${platform.user}@${host}` }),
    alertPolicy: (): AlertPolicy => alertPolicyOf(config.alertPolicy),
    retentionInput: (databases: readonly string[]) => retentionInput(config, databases),
    connection: (database: DatabaseConfig) => connectionOf(config, database),
    target(url: Secret, name: string) {
      const configured = config.databases.find((database) => database.name === name);
      const passfile = configured?.passfile === undefined ? {} : { PGPASSFILE: configured.passfile };
      const settings = parseConnection({ url: url.reveal(), env: { ...passfile, ...config.connectionEnvironment(undefined) } });
      const namesDatabase = parseConnectionString(url.reveal()).has('dbname');
      if (namesDatabase) return { settings, namesDatabase };
      return {
        settings: withDatabase(settings, configured === undefined ? name : connectionOf(config, configured).database),
        namesDatabase,
      };
    },
    moment: (text: string) => parseMoment(text, { timeZone: config.timeZone, now: platform.clock.now() }),
    async databasesInRepository(signal: AbortSignal): Promise<readonly string[]> {
      const names = new Set<string>();
      for await (const { database } of listCommitted(store, undefined, signal)) names.add(database);
      return [...names].sort();
    },
    close() {
      store.close();
      pruneStore?.close();
    },
  };
}

/** What `init` needs, before there is a configuration. */
export function composeInit({ env, cwd, clock }: Platform) {
  const variables = readVariables(env, cwd);
  const variable = (name: string): Secret | undefined => {
    const value = variables.get(name);
    if (variables.problems.length > 0) throw configInvalid(variables.problems);
    return value === undefined || value === '' ? undefined : new Secret(value);
  };
  return {
    variable,
    async newKeys() {
      const { identity, recipient } = await generateIdentity();
      const { privatePem, publicKey } = generateSigningKey();
      return { identity: new Secret(identity), recipient, signingKeyPem: new Secret(privatePem), signingPublicKey: publicKey };
    },
    source(url: Secret | undefined) {
      const password = variable('PGPASSWORD')?.reveal();
      const settings = parseConnection({
        ...(url === undefined ? {} : { url: url.reveal() }),
        env: { ...env, ...(password === undefined ? {} : { PGPASSWORD: password }) },
      });
      return {
        url: connectionUrl(settings),
        database: settings.database,
        user: settings.user,
        passfile: (given?: Secret) => passfileOf(settings, given?.reveal() ?? settings.password?.reveal()),
      };
    },
    checkRepository: (url: string) => void parseRepositoryUrl(url),
    async createRepository(
      request: { readonly repository: string; readonly base: string; readonly database: string; readonly signingPublicKey: string },
      signal: AbortSignal,
    ) {
      const store = await storeAt(repositoryAt(request.repository, request.base), clock, variable);
      try {
        const publicKey = parsePublicKey(request.signingPublicKey, 'the new key');
        const text = recoveryText({ location: store.location, databases: [request.database], publicKeyPem: publicKeyPem(publicKey) });
        const { id } = await initRepository({ store, clock }, { recoveryText: text }, signal);
        return { id, location: store.location };
      } finally {
        store.close();
      }
    },
  };
}

/** A URL that says the same as `settings` without any environment, and holds no password. */
export function connectionUrl(settings: ConnectionSettings): string {
  const { hosts, ssl } = settings;
  const authority = hosts.map(({ host, port }) => `${host.includes(':') ? `[${host}]` : encodeURIComponent(host)}:${port}`).join(',');
  const addresses = hosts.some(({ hostaddr }) => hostaddr !== undefined)
    ? hosts.map(({ hostaddr }) => hostaddr ?? '').join(',')
    : undefined;
  const parameters: Record<string, string | undefined> = {
    port: hosts.length === 0 && settings.port !== 5432 ? String(settings.port) : undefined,
    hostaddr: addresses,
    sslmode: ssl.mode === 'prefer' ? undefined : ssl.mode,
    sslrootcert: ssl.rootCert,
    sslcert: ssl.cert,
    sslkey: ssl.key,
    sslnegotiation: ssl.negotiation,
    target_session_attrs: settings.targetSessionAttributes === 'any' ? undefined : settings.targetSessionAttributes,
    options: settings.options,
  };
  const query = Object.entries(parameters).flatMap(([name, value]) => (value === undefined ? [] : `${name}=${encodeURIComponent(value)}`));
  const user = encodeURIComponent(settings.user);
  return `postgres://${user}@${authority}/${encodeURIComponent(settings.database)}${query.length === 0 ? '' : `?${query.join('&')}`}`;
}

/** For every database of the servers: a restore connects to others than the one that was backed up. */
function passfileOf({ hosts, port, user }: ConnectionSettings, password: string | undefined): Secret | undefined {
  if (password === undefined) return undefined;
  const places = hosts.length === 0 ? [{ host: 'localhost', port }] : hosts;
  // libpq knows every Unix socket as localhost.
  const lines = places.map(({ host, port: at }) =>
    passfileLine([/^[/@]/.test(host) ? 'localhost' : host, String(at), '*', user, password]),
  );
  return new Secret(`${lines.join('\n')}\n`);
}
