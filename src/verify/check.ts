import type { Fingerprint } from '../core/fingerprint.ts';
import type { Manifest } from '../core/manifest.ts';
import type { CheckId } from '../core/verification.ts';
import type { ConnectionSettings } from '../postgres/connection.ts';
import type { Sandbox } from './sandbox.ts';

/**
 * `message` goes into the run record and the proof, which are not encrypted: it holds counts and kinds, no name of an object
 * and no value. `findings` are for whoever verifies, and may name everything but contents of rows.
 */
export type CheckResult =
  | { readonly status: 'pass'; readonly message: string; readonly findings?: readonly string[] }
  | { readonly status: 'fail'; readonly message: string; readonly hint: string; readonly findings: readonly string[] }
  | { readonly status: 'skip'; readonly message: string; readonly findings?: readonly string[] };

/** A query of the user's, run in the restored database, read only. */
export interface UserQuery {
  readonly name: string;
  readonly sql: string;
  /** What the first column of its only row must be, as text; undefined: true. */
  readonly expect: string | undefined;
}

/** What a check may look at: the restored database, and what the backup says it must be. */
export interface CheckContext {
  readonly manifest: Manifest;
  /** Out of the backup; undefined where it was made with `fingerprint: off`, or none could be taken. */
  readonly expected: Fingerprint | undefined;
  /** Of the restored database. */
  readonly settings: ConnectionSettings;
  readonly sandbox: Pick<Sandbox, 'kind' | 'isOurs' | 'description'>;
  /** The restored database's fingerprint in the mode of `expected`; taken once, by whoever asks first. */
  actual(): Promise<Fingerprint>;
  /** How it was restored: nothing of what was left out on purpose is missed. */
  readonly noOwner: boolean;
  readonly queries: readonly UserQuery[];
  /** Ms that one of the user's queries may take. */
  readonly queryTimeoutMs: number;
  /** Bytes of indexes that amcheck may read, largest share by random choice above; 0: none. */
  readonly amcheckBytes: number;
}

/**
 * One assertion about a restored database. A check decides only what it can see; where it cannot look it skips and says why.
 * Throws only where the sandbox or the connection fails: that is no verdict about the backup.
 */
export interface RestoreCheck {
  readonly id: CheckId;
  run(context: CheckContext, signal: AbortSignal): Promise<CheckResult>;
}
