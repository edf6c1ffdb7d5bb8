import type { DatabaseName, Id } from '../core/ids.ts';
import type { RunRecord } from '../core/run-record.ts';
import type { Profile, SandboxRecord } from '../core/verification.ts';
import type { PublicKey, SigningKey } from '../crypto/signature.ts';
import type { RestoreCheck, UserQuery } from '../verify/check.ts';
import type { SandboxProvider } from '../verify/sandbox.ts';
import type { StoredBackupDeps } from './load.ts';
import type { Restorer } from './restorer.ts';
import type { CheckOutcome } from './verify-record.ts';

export interface VerifyDeps extends StoredBackupDeps {
  readonly publicKeys: readonly PublicKey[];
  /** Undefined on a host that has none: then the result stands in the run record alone, and the backup stays unproven. */
  readonly signingKey: SigningKey | undefined;
  readonly sandboxes: SandboxProvider;
  readonly restorer: Restorer;
  /** `user@host`, for the proof. */
  readonly by: string;
  /** Default: all there are. */
  readonly checks?: readonly RestoreCheck[];
}

export interface VerifyInput {
  readonly database: DatabaseName;
  readonly id: Id;
  readonly profile: Profile;
  /** Connections that load rows and build indexes. */
  readonly jobs: number;
  readonly queries: readonly UserQuery[];
  readonly queryTimeoutMs: number;
  readonly amcheckBytes: number;
  /** Ms that all of it may take. */
  readonly timeoutMs: number;
  readonly bindir?: string;
}

export interface VerifyResult {
  readonly database: DatabaseName;
  readonly backup: Id;
  readonly outcome: 'proven' | 'failed';
  readonly sandbox: SandboxRecord | null;
  readonly checks: readonly CheckOutcome[];
  readonly run: RunRecord;
}
