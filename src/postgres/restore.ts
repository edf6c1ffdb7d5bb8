import type { ByteStream } from '../core/bytes.ts';
import { JetbackupError } from '../core/errors.ts';
import type { Clock } from '../platform/clock.ts';
import type { ProcessRunner } from '../platform/processes.ts';
import type { ConnectionSettings } from './settings.ts';
import type { RestoreChoices } from './target.ts';
import type { ClientTools } from './tools.ts';

export { createStagingDatabase, type Staging, type StagingRequest, sweepStaging } from './staging.ts';
export { createRoles, inspectTarget, missingPrerequisites, type Problem, type RestoreChoices, type TargetState } from './target.ts';

export type RestorePhase = 'pre-data' | 'data' | 'post-data';

export interface RestoreRequest extends RestoreChoices {
  /** Of the staging database. */
  readonly settings: ConnectionSettings;
  readonly tools: ClientTools;
  /** The custom-format archive, decrypted and decompressed. Read to its end, or its iterator is returned. */
  readonly archive: ByteStream;
  /** How many connections build indexes and constraints. */
  readonly jobs: number;
  /** Only these tables (`name` or `schema.name` as pg_restore's --table/--schema want them). */
  readonly tables?: readonly string[];
  readonly schemas?: readonly string[];
  readonly baseEnv: Readonly<Record<string, string | undefined>>;
  /** Where the head of the archive (schema, no rows) may lie for the time of the restore; default: memory-backed /dev/shm, else TMPDIR. */
  readonly temporaryDirectory?: string;
  readonly onPhase?: (phase: RestorePhase, ms: number) => void;
}

export async function restoreArchive(
  _deps: { readonly processes: ProcessRunner; readonly clock: Clock },
  _request: RestoreRequest,
  _signal?: AbortSignal,
): Promise<void> {
  throw new JetbackupError('bug', 'not written yet');
}

/** Collects planner statistics, which a dump does not carry: without them the first hour after a restore is slow. */
export async function analyzeDatabase(_settings: ConnectionSettings, _signal?: AbortSignal): Promise<void> {
  throw new JetbackupError('bug', 'not written yet');
}
