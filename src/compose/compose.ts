import { type AlertSetting, openAlerts } from '../alerts/all.ts';
import { pagerDutyEndpoints } from '../alerts/pagerduty.ts';
import { type AlertPolicy, defaultPolicy } from '../alerts/policy.ts';
import { listCommitted } from '../catalog/catalog.ts';
import { isUnchanging } from '../catalog/layout.ts';
import { parseMoment } from '../catalog/moment.ts';
import { type CodecOptions, createCodec } from '../compression/all.ts';
import type { AlertConfig } from '../config/alerts.ts';
import type { AlertPolicyConfig } from '../config/alerts-schema.ts';
import type { Config, DatabaseConfig } from '../config/config.ts';
import type { Environment } from '../config/environment.ts';
import type { ConfigChecks } from '../config/parse.ts';
import { retentionInput } from '../config/retention.ts';
import { redactor, type Secret } from '../config/secret.ts';
import type { CodecName } from '../core/manifest.ts';
import type { Progress } from '../core/progress.ts';
import { createOpener, createSealer } from '../crypto/age.ts';
import { validateRecipient, validateRecipients } from '../crypto/recipients.ts';
import { validatePublicKey } from '../crypto/signature.ts';
import type { IncidentDeps } from '../operations/acknowledge.ts';
import type { AlertDeps } from '../operations/alerts.ts';
import { type BackupDeps, postgres } from '../operations/backup.ts';
import type { ExclusiveDeps } from '../operations/exclusive.ts';
import type { MarkDeps } from '../operations/mark.ts';
import type { PruneDeps } from '../operations/prune.ts';
import type { RestoreDeps } from '../operations/restore.ts';
import { postgresRestorer } from '../operations/restorer.ts';
import type { RunDeps } from '../operations/run.ts';
import type { VerifyDeps } from '../operations/verify.ts';
import { type ConnectionSettings, parseConnection, withDatabase } from '../postgres/connection.ts';
import { parseConnectionString } from '../postgres/connection-string.ts';
import { parseRepositoryUrl } from '../storage/location.ts';
import { rememberingStore } from '../storage/remembering.ts';
import type { ObjectStore } from '../storage/store.ts';
import { sandboxesFor } from '../verify/sandboxes/all.ts';
import { createSandboxLedger, type SandboxLedger } from '../verify/sandboxes/ledger.ts';
import { identitiesOf, publicKeysOf, recipientsOf, requiredPublicKeys, signingKeyOf } from './keys.ts';
import type { Platform } from './platform.ts';
import { repositoryAt, storeAt } from './stores.ts';

export { createSandboxLedger };

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
    runDeps,
    async backupDeps(log: Progress): Promise<BackupDeps> {
      const recipients = recipientsOf(config);
      const signingKey = await signingKeyOf(config, 'the backup');
      return {
        ...runDeps(log),
        source: postgres,
        processes,
        env,
        codec: codec(config.compression.codec),
        sealer: createSealer(recipients),
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
