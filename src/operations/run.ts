import { runRecordKey } from '../catalog/layout.ts';
import { bytesOf } from '../core/bytes.ts';
import { isJetbackupError, JetbackupError, messageOf } from '../core/errors.ts';
import { type DatabaseName, type Id, newId } from '../core/ids.ts';
import type { Progress } from '../core/progress.ts';
import type { Phase, Pruned, RunRecord } from '../core/run-record.ts';
import type { Verification } from '../core/verification.ts';
import type { Clock, Instant } from '../platform/clock.ts';
import { within } from '../platform/deadline.ts';
import type { ObjectStore } from '../storage/store.ts';
import { openRepository } from './repository.ts';

/** How long what must still be done after an abort (removing, recording) may take, ms. */
export const CLEANUP_MS = 30_000;

export interface RunDeps {
  readonly store: ObjectStore;
  readonly clock: Clock;
  readonly log: Progress;
  /** Name of this host, for the record. */
  readonly host: string;
  /** Version of jetbackup. */
  readonly version: string;
  /** Takes configured secrets out of a text: an error of a server or a library may quote what it was given. */
  readonly redact: (text: string) => string;
}

/** Times the steps of one run, tells their progress, and leaves the run record. */
export interface Run {
  readonly id: Id;
  readonly startedAt: Instant;
  /** Ms since the start. */
  elapsedMs(): number;
  phase<T>(name: string, text: string, work: (onBytes: (bytes: number) => void) => Promise<T>, totalBytes?: number): Promise<T>;
  /** For steps that something else timed. */
  add(phase: Phase): void;
  /** How many bytes a phase that is over moved, where that is known only afterwards. */
  moved(phase: string, bytes: number): void;
  /** What was timed so far. */
  phases(): readonly Phase[];
  succeeded(outcome: RunOutcome): Promise<RunRecord>;
  /** Records what was found to be wrong with something else than the run itself, which did what it should. */
  found(error: JetbackupError, outcome: RunOutcome): Promise<RunRecord>;
  /** Records the failure, where there is a repository to record it in; returns the error to throw. Never throws itself. */
  failed(error: unknown, outcome: RunOutcome): Promise<unknown>;
}

export interface RunOutcome {
  readonly backup: Id | null;
  readonly rtoSeconds?: number;
  readonly rpoSeconds?: number;
  readonly pruned?: Pruned;
  readonly verification?: Verification;
}

export function startRun(deps: RunDeps, operation: RunRecord['operation'], database: string, id: Id): Run {
  const { clock, log, store } = deps;
  const startedAt = clock.now();
  const start = clock.monotonicMs();
  const phases: Phase[] = [];
  log({ type: 'run', id, operation, database });

  const record = (result: RunRecord['result'], error: RunRecord['error'], outcome: RunOutcome): RunRecord => ({
    format: 1,
    id,
    operation,
    database,
    backup: outcome.backup,
    jetbackup: deps.version,
    host: deps.host,
    startedAt: startedAt.toString({ smallestUnit: 'millisecond' }),
    finishedAt: clock.now().toString({ smallestUnit: 'millisecond' }),
    result,
    error,
    phases,
    rtoSeconds: outcome.rtoSeconds ?? null,
    rpoSeconds: outcome.rpoSeconds ?? null,
    ...(outcome.pruned === undefined ? {} : { pruned: outcome.pruned }),
    ...(outcome.verification === undefined ? {} : { verification: outcome.verification }),
  });

  // A record that cannot be written changes nothing about what was done: it is told, and the run's own result stands.
  const write = async (run: RunRecord): Promise<void> => {
    try {
      const signal = AbortSignal.timeout(CLEANUP_MS);
      await store.put(runRecordKey(id), bytesOf(`${JSON.stringify(run, null, 1)}\n`), { signal });
    } catch (error) {
      log({ type: 'warning', text: `the run record ${runRecordKey(id)} could not be written: ${messageOf(error)}` });
    }
  };

  const detailOf = ({ code, message, hint }: JetbackupError): RunRecord['error'] => ({
    code,
    // Only the first line: what follows names tables and columns, which are not the store's business.
    message: deps.redact(message.split('\n', 1)[0] ?? ''),
    hint: hint === undefined ? null : deps.redact(hint),
  });

  return {
    id,
    startedAt,
    elapsedMs: () => clock.monotonicMs() - start,
    add: (phase) => void phases.push({ ...phase, ms: Math.round(phase.ms) }),
    moved(phase, bytes) {
      const index = phases.findLastIndex((one) => one.phase === phase);
      const found = phases[index];
      if (found !== undefined) phases[index] = { ...found, bytes };
    },
    phases: () => [...phases],
    async phase(name, text, work, totalBytes) {
      const from = clock.monotonicMs();
      const total = totalBytes === undefined ? {} : { totalBytes };
      let bytes: number | undefined;
      log({ type: 'phase', phase: name, text, ...total });
      const result = await work((count) => {
        bytes = count;
        log({ type: 'bytes', phase: name, bytes: count, ...total });
      });
      const ms = Math.round(clock.monotonicMs() - from);
      const moved = bytes === undefined ? {} : { bytes };
      phases.push({ phase: name, ms, ...moved });
      log({ type: 'done', phase: name, ms, ...moved });
      return result;
    },
    async succeeded(outcome) {
      const run = record('succeeded', null, outcome);
      await write(run);
      return run;
    },
    async found(error, outcome) {
      const run = record('failed', detailOf(error), outcome);
      await write(run);
      return run;
    },
    async failed(error, outcome) {
      const known = isJetbackupError(error) ? error : new JetbackupError('bug', messageOf(error), { cause: error });
      const stopped = known.code === 'interrupted' || known.code === 'terminated';
      // Where there is no repository a record would begin one: in the directory under a mount point, or beside somebody else's objects.
      if (known.code !== 'repository-missing') await write(record(stopped ? 'interrupted' : 'failed', detailOf(known), outcome));
      return error;
    },
  };
}

/** For runs that failed before they could begin, such as for a key whose file is gone: they leave records like any other. Never throws. */
export async function recordFailedStart(
  deps: RunDeps,
  { operation, databases }: { readonly operation: RunRecord['operation']; readonly databases: readonly DatabaseName[] },
  error: unknown,
  signal: AbortSignal,
): Promise<void> {
  try {
    await within(deps.clock, CLEANUP_MS, (limit) => openRepository(deps, limit), { signal });
  } catch {
    // Why there is none, or none that answers, is told by whatever looks at it next.
    return;
  }
  for (const database of databases) await startRun(deps, operation, database, newId(deps.clock.now())).failed(error, { backup: null });
}
