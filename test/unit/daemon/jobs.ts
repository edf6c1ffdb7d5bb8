import { Temporal } from 'temporal-polyfill';
import type { Job, Start } from '../../../src/daemon/plan.ts';
import { createScheduler, type History, type JobOutcome, type SchedulerEvent } from '../../../src/daemon/scheduler.ts';
import type { PastRun } from '../../../src/operations/last-runs.ts';
import { orAborted } from '../../../src/platform/deadline.ts';
import { createFakeTime, type FakeHost, type FakeTime } from '../../support/fake-time.ts';
import { cronOf } from './wall-clock.ts';

export const MINUTE_MS = 60_000;
export const HOUR_MS = 60 * MINUTE_MS;
export const DAY_MS = 24 * HOUR_MS;

export function jobOf(cron: string, rest: Partial<Omit<Job, 'cron'>> = {}): Job {
  const { operation = 'backup', database = 'shop' } = rest;
  return {
    id: `${operation}:${database}`,
    operation,
    database,
    cron: cronOf(cron),
    zone: 'UTC',
    retry: { attempts: 3, backoffMs: 5 * MINUTE_MS, windowMs: 6 * HOUR_MS },
    jitterMs: 0,
    catchUpMs: 10 * MINUTE_MS,
    ...rest,
  };
}

export const succeeded: JobOutcome = { result: 'succeeded', retryable: false };
export const failed: JobOutcome = { result: 'failed', retryable: true };
export const hopeless: JobOutcome = { result: 'failed', retryable: false };

export function runAt(startedAt: string | Temporal.Instant, outcome: JobOutcome = succeeded, minutes = 1): PastRun {
  const start = Temporal.Instant.from(startedAt);
  return { startedAt: start, recordedAt: start, finishedAt: start.add({ minutes }), ...outcome };
}

export interface Started {
  readonly job: string;
  readonly why: string;
  readonly attempt: number;
  readonly dueAt: string;
  /** By the host's clock, whatever that was set to. */
  readonly at: string;
}

/** The run records of a repository, which outlive daemons. */
export function records(): History & { readonly all: (PastRun & { readonly job: string })[] } {
  const all: (PastRun & { readonly job: string })[] = [];
  return {
    all,
    read: async () => {
      const known = [...all];
      return {
        since: known[0]?.startedAt,
        of: (job) => {
          const runs = known.filter((run) => run.job === job.id);
          return runs.slice(
            Math.max(
              0,
              runs.findLastIndex(({ result }) => result === 'succeeded'),
            ),
          );
        },
      };
    },
  };
}

/** One daemon on a host in the fake time. What its jobs do, `work` says: how long they take and how they end. */
export function daemon(options: {
  readonly time?: FakeTime;
  readonly host?: FakeHost;
  readonly jobs: readonly Job[];
  readonly parallel?: number;
  readonly history?: ReturnType<typeof records>;
  readonly longestSleepMs?: number;
  readonly start?: string;
  readonly work?: (start: Start, count: number) => { readonly ms?: number; readonly outcome?: JobOutcome };
}) {
  const time = options.time ?? createFakeTime(options.start ?? '2026-11-25T12:00:00Z');
  const host = options.host ?? time.host();
  const history = options.history ?? records();
  const started: Started[] = [];
  const events: SchedulerEvent[] = [];
  const concurrent: string[][] = [];
  const active: string[] = [];
  const aborted: unknown[] = [];
  const kill = new AbortController();
  const scheduler = createScheduler(
    {
      clock: host,
      host: 'backup-1',
      history,
      onEvent: (event) => events.push(event),
      runner: {
        async run(start, signal) {
          const { ms = 1000, outcome = succeeded } = options.work?.(start, started.length) ?? {};
          const { job, why, attempt } = start;
          const startedAt = host.now();
          started.push({ job: job.id, why, attempt, dueAt: short(start.dueAt), at: short(startedAt) });
          active.push(job.id);
          concurrent.push([...active]);
          let result = outcome;
          try {
            await orAborted(host.sleep(ms, signal), signal);
          } catch (error) {
            aborted.push(error);
            result = { result: 'interrupted', retryable: true };
          }
          active.splice(active.indexOf(job.id), 1);
          // A process that was killed leaves no record, nor does one that found somebody else at work.
          if (!kill.signal.aborted && result.elsewhere !== true)
            history.all.push({ job: job.id, startedAt, recordedAt: startedAt, finishedAt: host.now(), ...result });
          return result;
        },
      },
    },
    {
      jobs: options.jobs,
      parallel: options.parallel ?? 2,
      ...(options.longestSleepMs === undefined ? {} : { longestSleepMs: options.longestSleepMs }),
    },
  );
  const over = scheduler.run(kill.signal);
  return {
    time,
    host,
    history,
    scheduler,
    started,
    events,
    concurrent,
    /** The reasons with which jobs were aborted. */
    aborted,
    over,
    /** Ends it as `kill -9` does, as far as others can see. */
    async kill() {
      kill.abort(new Error('killed'));
      await time.advance(0);
      await over;
    },
    reports: () => events.flatMap((event) => (event.type === 'report' ? event.report : [])),
  };
}

export const short = (instant: Temporal.Instant): string => instant.toString({ smallestUnit: 'minute' });
