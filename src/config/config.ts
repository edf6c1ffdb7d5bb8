import type { Cron } from '../core/cron.ts';
import type { CodecName, FingerprintMode } from '../core/manifest.ts';
import type { AlertConfig } from './alerts.ts';
import type { AlertPolicyConfig } from './alerts-schema.ts';
import type { HttpConfig } from './http.ts';
import type { RetentionConfig } from './retention.ts';
import type { DaemonConfig } from './schedule.ts';
import type { Secret } from './secret.ts';
import type { Objectives, VerifyConfig } from './verify.ts';

/** Where a key comes from: a file that is read when it is needed, or the environment variable that holds it. */
export type KeySource =
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'value'; readonly value: Secret; readonly variable: string };

export interface DatabaseConfig {
  readonly name: string;
  /** postgres://… or a libpq connection string; undefined leaves it to the PG* variables. */
  readonly url: Secret | undefined;
  /** Absolute path of a libpq password file for this connection. */
  readonly passfile: string | undefined;
  readonly fingerprint: FingerprintMode;
  /** Absolute paths that go into the `files` artifact. */
  readonly files: readonly string[];
  readonly rolePasswords: boolean;
  readonly lockTimeoutMs: number;
  readonly lockRetries: number;
  readonly tags: Readonly<Record<string, string>>;
  readonly bindir: string | undefined;
  /** Its own, or the default of all. */
  readonly retention: RetentionConfig;
  readonly objectives: Objectives;
  /** When the daemon backs it up; undefined: not by itself. */
  readonly schedule: Cron | undefined;
  /** Asked of the restored database, after those of every database. */
  readonly queries: VerifyConfig['queries'];
  /** Taken in the dump's snapshot, and compared with the restored database. */
  readonly values: readonly { readonly name: string; readonly sql: string }[];
  /** The table that a backup writes a row to before its snapshot. */
  readonly canary: { readonly schema: string; readonly table: string } | undefined;
}

/** libpq's variables, and what it falls back to (USER, HOME). */
export type ConnectionEnvironment = Readonly<Record<string, string | undefined>>;

export interface Config {
  /** The file that was read; undefined in environment-only mode. */
  readonly path: string | undefined;
  /** What relative locations are relative to: the file's folder, or the working directory. */
  readonly base: string;
  readonly timeZone: string;
  readonly repository: Secret;
  readonly databases: readonly DatabaseConfig[];
  /** JETBACKUP_DATABASE: the database that is meant where none is named. */
  readonly selected: string | undefined;
  readonly recipients: readonly string[];
  readonly identity: KeySource | undefined;
  readonly passphrase: Secret | undefined;
  readonly publicKeys: readonly string[];
  readonly signingKey: KeySource | undefined;
  readonly compression: { readonly codec: CodecName; readonly level: number | undefined; readonly parallel: number | undefined };
  readonly restore: { readonly jobs: number | undefined; readonly noOwner: boolean; readonly createRoles: boolean };
  readonly verify: VerifyConfig;
  readonly alerts: readonly AlertConfig[];
  readonly alertPolicy: AlertPolicyConfig;
  readonly daemon: DaemonConfig;
  /** Where the daemon serves health and metrics; undefined: nowhere. */
  readonly http: HttpConfig | undefined;
  /** AWS profile whose credentials only `prune` uses. */
  readonly pruneProfile: string | undefined;
  /** What completes a connection's URL. A function, so that printing a Config prints no PGPASSWORD. */
  connectionEnvironment(database: DatabaseConfig | undefined): ConnectionEnvironment;
  /** The value of AWS_… variables, also where they came as NAME_FILE. */
  awsVariable(name: AwsVariable): Secret | undefined;
  readonly warnings: readonly ConfigWarning[];
  /** Every secret of this configuration, and words that are printed whatever they are; for `redactor`. */
  readonly secrets: readonly Secret[];
  readonly openWords: readonly string[];
}

export const awsVariables = ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'AWS_SESSION_TOKEN'] as const;
export type AwsVariable = (typeof awsVariables)[number];

export interface ConfigWarning {
  readonly text: string;
  readonly hint?: string;
}
