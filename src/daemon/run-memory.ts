import { Temporal } from 'temporal-polyfill';
import type { PastRun } from '../operations/last-runs.ts';
import type { Instant } from '../platform/clock.ts';
import type { Job, JobRun } from './plan.ts';

/** The runs that this process started. It knows what each was for, which a record does not tell, even where the clock was set since. */
export interface RunMemory {
  add(
    job: Job,
    run: {
      readonly dueAt: Instant;
      readonly startedAt: Instant;
      readonly endedAt: Instant;
      /** How long it took, by the monotonic clock. */
      readonly ms: number;
      readonly outcome: Pick<PastRun, 'result' | 'retryable'>;
    },
  ): void;
  /** Runs of a job, those of this process and those that records tell of, in the order in which they ran. */
  with(job: Job, recorded: readonly PastRun[]): readonly JobRun[];
  /** Runs that now lie in the future were over by now: they count as started now. */
  clockWentBackTo(now: Instant): void;
}

/** Runs remembered of a job. So far the clock may be set back without one being done twice: two days and more of one in each quarter of an hour. */
const MOST = 256;
/** A record's times are its run's own, taken a moment after those of here. */
const SAME_RUN_MS = 5000;

interface Remembered {
  readonly run: JobRun;
  /** Epoch ms within which its run record says that it began: that, too, by the clock that it had then. */
  readonly from: number;
  readonly to: number;
}

export function createRunMemory(): RunMemory {
  const runs = new Map<string, Remembered[]>();
  return {
    add({ id }, { dueAt, startedAt, endedAt, ms, outcome }) {
      const tookMs = Math.round(ms);
      // By the clock of its end, which may have been set back since its start.
      const began = endedAt.subtract({ milliseconds: tookMs });
      const earlier = Temporal.Instant.compare(began, startedAt) < 0 ? began : startedAt;
      const from = startedAt.epochMilliseconds - SAME_RUN_MS;
      const run = { dueAt, startedAt: earlier, recordedAt: startedAt, finishedAt: endedAt, ...outcome };
      runs.set(id, [...(runs.get(id) ?? []), { run, from, to: from + tookMs + 2 * SAME_RUN_MS }].slice(-MOST));
    },
    with({ id }, recorded) {
      const own = runs.get(id) ?? [];
      const isForeign = ({ recordedAt }: PastRun): boolean => {
        const began = recordedAt.epochMilliseconds;
        return !own.some(({ from, to }) => from <= began && began <= to);
      };
      const foreign = recorded.filter(isForeign);
      const all = own.map(({ run }) => run);
      return foreign.length === 0 ? all : [...foreign, ...all].toSorted((a, b) => Temporal.Instant.compare(a.startedAt, b.startedAt));
    },
    clockWentBackTo(now) {
      const earlier = (instant: Instant) => (Temporal.Instant.compare(instant, now) > 0 ? now : instant);
      for (const [id, all] of runs) {
        runs.set(
          id,
          all.map(({ run, ...span }) => ({
            ...span,
            run: { ...run, startedAt: earlier(run.startedAt), finishedAt: earlier(run.finishedAt) },
          })),
        );
      }
    },
  };
}
