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

export function createRunMemory(): RunMemory {
  const runs = new Map<string, JobRun[]>();
  return {
    add({ id }, { dueAt, startedAt, endedAt, ms, outcome }) {
      // By the clock of its end, which may have been set back since its start.
      const began = endedAt.subtract({ milliseconds: Math.round(ms) });
      const earlier = Temporal.Instant.compare(began, startedAt) < 0 ? began : startedAt;
      const all = runs.get(id) ?? [];
      all.push({ dueAt, startedAt: earlier, recordedAt: startedAt, finishedAt: endedAt, ...outcome });
      runs.set(id, all.slice(-MOST));
    },
    with({ id }, recorded) {
      const own = runs.get(id) ?? [];
      const spans = own.map(spanOf);
      const foreign = recorded.filter(
        ({ recordedAt: { epochMilliseconds } }) => !spans.some(({ from, to }) => from <= epochMilliseconds && epochMilliseconds <= to),
      );
      return [...foreign, ...own].toSorted((a, b) => Temporal.Instant.compare(a.startedAt, b.startedAt));
    },
    clockWentBackTo(now) {
      const earlier = (instant: Instant) => (Temporal.Instant.compare(instant, now) > 0 ? now : instant);
      for (const [id, all] of runs) {
        runs.set(
          id,
          all.map((run) => ({ ...run, startedAt: earlier(run.startedAt), finishedAt: earlier(run.finishedAt) })),
        );
      }
    },
  };
}

/** Within which its run record says that it began: that, too, by the clock that it had then. */
function spanOf({ recordedAt, startedAt, finishedAt }: JobRun): { readonly from: number; readonly to: number } {
  const from = recordedAt.epochMilliseconds - SAME_RUN_MS;
  return { from, to: from + finishedAt.epochMilliseconds - startedAt.epochMilliseconds + 2 * SAME_RUN_MS };
}
