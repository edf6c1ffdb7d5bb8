import type { Config, DatabaseConfig } from '../config/config.ts';
import type { Secret } from '../config/secret.ts';
import type { Progress } from '../core/progress.ts';
import type { runDaemon } from '../daemon/daemon.ts';
import type { serveHttp } from '../daemon/http.ts';
import type { systemdNotifier } from '../daemon/notifier.ts';
import type { createRunCounter } from '../daemon/run-counter.ts';
import type { acknowledgeIncidents, IncidentDeps, listIncidents } from '../operations/acknowledge.ts';
import type { factsOf, storageFacts } from '../operations/alert-facts.ts';
import type { createAlertRounds } from '../operations/alert-rounds.ts';
import type { AlertDeps, testAlerts } from '../operations/alerts.ts';
import type { isBackedUpSince } from '../operations/backed-up-since.ts';
import type { BackupDeps, BackupInput, backup } from '../operations/backup.ts';
import type { ExclusiveDeps, exclusively } from '../operations/exclusive.ts';
import type { ExportDeps, exportBackup } from '../operations/export.ts';
import type { heartbeatsFor } from '../operations/heartbeats.ts';
import type { createLastRunsReader } from '../operations/last-runs.ts';
import type { ListDeps, listBackups, showBackup } from '../operations/list.ts';
import type { acceptBackup, MarkDeps, markBackup } from '../operations/mark.ts';
import type { PruneDeps, prune } from '../operations/prune.ts';
import type { planRestore, RestoreDeps, RestoreInput, restore } from '../operations/restore.ts';
import type { RetentionDeps, RetentionInput, surveyRetention } from '../operations/retention.ts';
import type { RunDeps, recordFailedStart } from '../operations/run.ts';
import type { StatusDeps, surveyStatus } from '../operations/status.ts';
import type { VerifyDeps, verifyBackup } from '../operations/verify.ts';
import type { chooseBackups } from '../operations/verify-choice.ts';
import type { Clock } from '../platform/clock.ts';
import type { ProcessRunner } from '../platform/processes.ts';

export type Connection = BackupInput['connection'];
export type Moment = RestoreInput['moment'];

/** The use cases that commands call; tests put others in their place. */
export interface Operations {
  readonly exclusively: typeof exclusively;
  readonly heartbeatsFor: typeof heartbeatsFor;
  readonly createAlertRounds: typeof createAlertRounds;
  readonly factsOf: typeof factsOf;
  readonly storageFacts: typeof storageFacts;
  readonly createHistory: typeof createLastRunsReader;
  readonly isBackedUpSince: typeof isBackedUpSince;
  readonly backup: typeof backup;
  readonly recordFailedStart: typeof recordFailedStart;
  readonly planRestore: typeof planRestore;
  readonly restore: typeof restore;
  readonly exportBackup: typeof exportBackup;
  readonly listBackups: typeof listBackups;
  readonly showBackup: typeof showBackup;
  readonly surveyRetention: typeof surveyRetention;
  readonly prune: typeof prune;
  readonly surveyStatus: typeof surveyStatus;
  readonly markBackup: typeof markBackup;
  readonly acceptBackup: typeof acceptBackup;
  readonly chooseBackups: typeof chooseBackups;
  readonly verifyBackup: typeof verifyBackup;
  readonly testAlerts: typeof testAlerts;
  readonly listIncidents: typeof listIncidents;
  readonly acknowledgeIncidents: typeof acknowledgeIncidents;
}

/** `auto`: a container where there is an engine, else this machine's own programs where they run as another user; or the URL of a server. */
export type SandboxChoice = Config['verify']['sandbox'];

/** Asks at the terminal; undefined where there is none. */
export type AskPassphrase = (() => Promise<string>) | undefined;

/**
 * What compose/ makes of a configuration. Keys are read only by the command that needs them: a backup host has no
 * identity, a restore host no signing key. Throws `key-missing`, `key-wrong`, `config-invalid`.
 */
export interface Composed {
  /** The repository, without credentials. */
  readonly location: string;
  /** For the record of a run that could not begin. */
  runDeps(log: Progress): RunDeps;
  backupDeps(log: Progress): Promise<BackupDeps>;
  restoreDeps(log: Progress, ask: AskPassphrase): Promise<RestoreDeps>;
  exportDeps(log: Progress, ask: AskPassphrase): Promise<ExportDeps>;
  /** Over the kind of sandbox that is named; the configured one where none is. */
  verifyDeps(log: Progress, ask: AskPassphrase, sandbox: SandboxChoice | undefined): Promise<VerifyDeps>;
  exclusiveDeps(log: Progress): ExclusiveDeps;
  /** For whoever reads the same run records and manifests again and again. */
  remembering(): StatusDeps;
  listDeps(): ListDeps & RetentionDeps;
  /** Throws `key-missing` on a host that has no public key: there nothing would count as a backup. */
  statusDeps(): StatusDeps;
  /** Over the store with the credentials that are for deleting, where there are such. */
  pruneDeps(log: Progress): Promise<PruneDeps>;
  markDeps(): Promise<MarkDeps>;
  alertDeps(): AlertDeps;
  incidentDeps(): IncidentDeps;
  alertPolicy(): Parameters<typeof createAlertRounds>[1]['policy'];
  /** What retention is to do with these databases, whether they are configured here or not. */
  retentionInput(databases: readonly string[]): RetentionInput;
  connection(database: DatabaseConfig): Connection;
  /** `--to URL`; `namesDatabase` is whether the URL itself says which database. */
  target(url: Secret, database: string): { readonly settings: Connection; readonly namesDatabase: boolean };
  moment(text: string): Moment;
  /** Names of the databases that the repository holds backups of. */
  databasesInRepository(signal: AbortSignal): Promise<readonly string[]>;
  close(): void;
}

export interface NewKeys {
  readonly identity: Secret;
  readonly recipient: string;
  readonly signingKeyPem: Secret;
  readonly signingPublicKey: string;
}

export interface InitRequest {
  readonly repository: string;
  /** What a relative repository is relative to. */
  readonly base: string;
  readonly database: string;
  readonly signingPublicKey: string;
}

/** What `init` knows about the source once it has read DATABASE_URL or PG*. */
export interface InitSource {
  /** To be written down: complete, so that later commands need no environment, and without a password. */
  readonly url: string;
  readonly database: string;
  readonly user: string;
  /** Lines of a libpq passfile for these servers; undefined where no password is known. */
  passfile(password?: Secret): Secret | undefined;
}

/** What `init` needs of the adapters. */
export interface InitPorts {
  newKeys(): Promise<NewKeys>;
  /** The environment's value of a variable, also where it comes as NAME_FILE. Throws `config-invalid`. */
  variable(name: string): Secret | undefined;
  /** From a URL, or from the PG* variables where it is undefined. Throws `config-invalid`. */
  source(url: Secret | undefined): InitSource;
  /** Throws `config-invalid`. */
  checkRepository(url: string): void;
  createRepository(request: InitRequest, signal: AbortSignal): Promise<{ readonly id: string; readonly location: string }>;
}

/** A process's standard streams, as far as commands use them. */
export interface Streams {
  readonly stdin: NodeJS.ReadableStream & { readonly isTTY?: boolean };
  readonly stdout: NodeJS.WritableStream & { readonly isTTY?: boolean; readonly columns?: number };
  readonly stderr: NodeJS.WritableStream & { readonly isTTY?: boolean; readonly columns?: number };
}

/** What a command works with. Loaded once a command is chosen: help and usage errors need none of it, and it is most of the program. */
export interface Adapters {
  readonly operations: Operations;
  readonly init: InitPorts;
  loadDaemon(): Promise<{
    readonly runDaemon: typeof runDaemon;
    readonly systemdNotifier: typeof systemdNotifier;
    readonly serveHttp: typeof serveHttp;
    readonly createRunCounter: typeof createRunCounter;
  }>;
  loadConfig(file: string | undefined): Config;
  compose(config: Config): Promise<Composed>;
}

/** Everything that a command line needs from outside. */
export interface Shell {
  readonly streams: Streams;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** While somebody listens, SIGHUP ends nothing. */
  onHangup(listener: () => void): Disposable;
  /** While somebody listens, they tell the user of the first signal. */
  tellOfSignalBy(listener: (signal: NodeJS.Signals) => void): Disposable;
  readonly processes: ProcessRunner;
  /** Name of this host. */
  readonly host: string;
  readonly version: string;
  /** IANA name; what `init` writes down. To ask takes some 15 ms. */
  systemTimeZone(): string;
  /** Connections that build indexes, where nothing says how many. */
  readonly defaultJobs: number;
  load(): Promise<Adapters>;
}

export interface CliContext extends Shell, Adapters {}
