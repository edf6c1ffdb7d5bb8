import type { Codec } from '../compression/codec.ts';
import type { DatabaseName } from '../core/ids.ts';
import type { FingerprintMode } from '../core/manifest.ts';
import type { Sealer } from '../crypto/sealer.ts';
import type { SigningKey } from '../crypto/signature.ts';
import type { Instant } from '../platform/clock.ts';
import type { ProcessRunner } from '../platform/processes.ts';
import { writeCanary } from '../postgres/canary.ts';
import type { ConnectionSettings } from '../postgres/connection.ts';
import { dumpDatabase } from '../postgres/dump.ts';
import { takeFingerprint } from '../postgres/fingerprint.ts';
import { dumpGlobals } from '../postgres/globals.ts';
import type { NamedQuery } from '../postgres/named-values.ts';
import { exportSnapshot } from '../postgres/snapshot.ts';
import { findTools } from '../postgres/tools.ts';
import type { Run, RunDeps } from './run.ts';

/** What a backup takes from a database: the adapters of postgres/. */
export interface DatabaseSource {
  readonly exportSnapshot: typeof exportSnapshot;
  readonly writeCanary: typeof writeCanary;
  readonly findTools: typeof findTools;
  readonly dumpGlobals: typeof dumpGlobals;
  readonly dumpDatabase: typeof dumpDatabase;
  readonly takeFingerprint: typeof takeFingerprint;
}

export const postgres: DatabaseSource = { exportSnapshot, writeCanary, findTools, dumpGlobals, dumpDatabase, takeFingerprint };

export interface BackupDeps extends RunDeps {
  readonly source: DatabaseSource;
  readonly processes: ProcessRunner;
  readonly sealer: Sealer;
  readonly codec: Codec;
  readonly signingKey: SigningKey;
  /** What children may see of the environment: PATH, HOME, LANG. */
  readonly env: Readonly<Record<string, string>>;
}

export interface BackupInput {
  readonly database: DatabaseName;
  readonly connection: ConnectionSettings;
  /** Folder of the client tools, where they are not to be searched for. */
  readonly bindir?: string;
  /** `off` records neither values nor a canary. */
  readonly fingerprint: FingerprintMode;
  /** Recorded with the fingerprint: what each query gives in the snapshot. */
  readonly values?: readonly NamedQuery[];
  /** The table that gets a row before the snapshot. Without it nothing is ever written to the database. */
  readonly canary?: { readonly schema: string; readonly table: string };
  /** Absolute paths for the `files` artifact. */
  readonly files: readonly string[];
  /** Whether role password hashes go into the globals. */
  readonly rolePasswords: boolean;
  /** How long pg_dump may wait for a table lock, ms: while it waits, later queries of the application wait behind it. */
  readonly lockTimeoutMs: number;
  /** How many further attempts after a lock timeout or a standby's recovery conflict. */
  readonly lockRetries: number;
  readonly tags: Readonly<Record<string, string>>;
  readonly pin?: { readonly reason: string };
  readonly keepUntil?: Instant;
}

/** One attempt at a backup, with what all its steps need. */
export interface Attempt {
  readonly deps: BackupDeps;
  readonly input: BackupInput;
  readonly run: Run;
  readonly signal: AbortSignal;
  readonly folder: string;
}
