import { createHash } from 'node:crypto';
import { Temporal } from 'temporal-polyfill';
import type { Cron } from '../core/cron.ts';
import { CLOCK_AHEAD_MS, type PastRun, type RunKind } from '../operations/last-runs.ts';
import type { Instant } from '../platform/clock.ts';
import { dueAround, dueBetween, lastDue, nextDue } from './schedule.ts';

/*
 * What a daemon is to do now, from what ran and what the clock shows. Nothing here waits, reads or remembers.
 *
 * - A run stands for the last due time at or before its start, and covers every due time before that: what several missed due
 *   times ask for is one run. Whoever ran it counts: a backup by hand at noon covers the one that was missed at night.
 * - Due: the last due time is not covered, and it came while the daemon was awake. It starts then, later by its jitter.
 * - Caught up: it came while the daemon, or the machine, was not there. One run, later than waking by a spread.
 * - Tried again: it was run and failed in a way that may pass. Later by twice as much each time, while it is within the window
 *   and well before the next due time.
 * - Never beside another run of the same job: what comes due meanwhile is reported, and done once when that run is over.
 */

export interface Job extends RunKind {
  /** Unique and lasting: spread and jitter come of it. */
  readonly id: string;
  readonly cron: Cron;
  readonly zone: string;
  readonly retry: {
    /** After the first. */
    readonly attempts: number;
    /** Before the first of them; twice as much before each further one. */
    readonly backoffMs: number;
    /** No further one is started later than this after the due time, or after the first start where that was later. */
    readonly windowMs: number;
  };
  /** The host's own minute is up to so much later than the due time. */
  readonly jitterMs: number;
  /** What was missed is caught up within this time after waking; undefined: it is left. */
  readonly catchUpMs: number | undefined;
}

/** `dueAt`: what it was started for; known of the runs of this process only. */
export type JobRun = PastRun & { readonly dueAt?: Instant };

export interface JobState {
  /** In the order in which they ran. */
  readonly runs: readonly JobRun[];
  readonly running: { readonly dueAt: Instant } | undefined;
}

export interface Situation {
  readonly now: Instant;
  /** Since when the daemon has been looking at the clock without a break. */
  readonly awakeSince: Instant;
  readonly host: string;
  /** Since when run records tell what ran; undefined where none could be read yet, so that nothing is known to be missed. */
  readonly knownSince: Instant | undefined;
}

export type Why = 'due' | 'catch-up' | 'retry';

export interface Start {
  readonly job: Job;
  readonly dueAt: Instant;
  readonly why: Why;
  /** 1 for the first. */
  readonly attempt: number;
}

export type Report =
  /** A run is still going although its job has come due again. */
  | { readonly kind: 'overrun'; readonly job: Job; readonly dueAt: Instant; readonly startedFor: Instant }
  /** Due times that no run of their own will stand for; `caughtUp`: one run does for all. `count` is 100 where it is 100 or more. */
  | { readonly kind: 'missed'; readonly job: Job; readonly dueAt: Instant; readonly count: number; readonly caughtUp: boolean }
  /** It failed, and is not tried again before its next due time. */
  | { readonly kind: 'gave-up'; readonly job: Job; readonly dueAt: Instant; readonly attempts: number };

export interface JobPlan {
  readonly job: Job;
  /** To be started now. */
  readonly start: Start | undefined;
  /** When it will start if nothing changes; undefined while it is running, and where nothing is due any more. */
  readonly next: (Start & { readonly at: Instant }) | undefined;
  readonly reports: readonly Report[];
}

const QUARTER = 4;
const MOST_COUNTED = 100;
/** A retry keeps a tenth of the period, and ten minutes at most, to the next due time. */
const MARGIN_MS = 10 * 60_000;
const MARGIN_SHARE = 10;

export function planJob(job: Job, state: JobState, situation: Situation): JobPlan {
  const { now, awakeSince } = situation;
  const { last, next: following } = dueAround(job.cron, job.zone, now);
  const wait = (reports: readonly Report[] = []): JobPlan => ({ job, start: undefined, next: regular(job, following, situation), reports });
  const at = (instant: Instant, start: Omit<Start, 'job'>, reports: readonly Report[] = []): JobPlan =>
    compare(now, instant) >= 0
      ? { job, start: { job, ...start }, next: undefined, reports }
      : { job, start: undefined, next: { job, ...start, at: instant }, reports };

  if (state.running !== undefined) {
    const { dueAt: startedFor } = state.running;
    const over = last !== undefined && compare(last, startedFor) > 0;
    return { job, start: undefined, next: undefined, reports: over ? [{ kind: 'overrun', job, dueAt: last, startedFor }] : [] };
  }
  if (last === undefined) return wait();

  const attempts = state.runs.filter((run) => standsFor(job, run, last, now));
  if (attempts.some(({ result }) => result === 'succeeded')) return wait();
  const failed = attempts.at(-1);
  if (failed !== undefined) {
    const again = retryAt(job, last, following, attempts);
    if (again === undefined || compare(now, again.until) > 0) {
      return wait([{ kind: 'gave-up', job, dueAt: last, attempts: attempts.length }]);
    }
    return at(again.at, { dueAt: last, why: 'retry', attempt: attempts.length + 1 });
  }

  const own = last.add({ milliseconds: jitterMs(job, last, following, situation.host) });
  const others = missedBefore(job, state, situation, last);
  if (compare(own, awakeSince) >= 0) {
    return at(own, { dueAt: last, why: 'due', attempt: 1 }, compare(now, own) >= 0 ? missed(job, last, others, true) : []);
  }
  if (!isMissed(job, state, situation, last)) return wait();
  if (job.catchUpMs === undefined) return wait(missed(job, last, others + 1, false));
  const spread = share(`${job.id}\n${last.toString()}`) * Math.min(job.catchUpMs, periodMs(last, following) / QUARTER);
  const caughtUpAt = awakeSince.add({ milliseconds: Math.floor(spread) });
  const reports = missed(job, last, others + 1, true);
  // What comes due before that does for it.
  if (following !== undefined && compare(caughtUpAt, following) >= 0) return wait(reports);
  return at(caughtUpAt, { dueAt: last, why: 'catch-up', attempt: 1 }, reports);
}

function regular(job: Job, due: Instant | undefined, { host }: Pick<Situation, 'host'>): (Start & { readonly at: Instant }) | undefined {
  if (due === undefined) return undefined;
  const jitter = job.jitterMs === 0 ? 0 : jitterMs(job, due, nextDue(job.cron, job.zone, due), host);
  return { job, dueAt: due, why: 'due', attempt: 1, at: due.add({ milliseconds: jitter }) };
}

const compare = Temporal.Instant.compare;

/**
 * Whether a run was this due time's, which is the last one by now. One that started later than now, since the clock was set back
 * since, was that of its own due time and of no other: what lies between is still to come.
 */
function standsFor(job: Job, run: JobRun, due: Instant, now: Instant): boolean {
  if (run.dueAt !== undefined && compare(run.dueAt, due) === 0) return true;
  if (compare(run.startedAt, due) >= 0 && run.startedAt.epochMilliseconds <= now.epochMilliseconds + CLOCK_AHEAD_MS) return true;
  if (run.dueAt !== undefined || compare(run.recordedAt, run.startedAt) === 0) return false;
  const its = lastDue(job.cron, job.zone, run.recordedAt);
  return its !== undefined && compare(its, due) === 0;
}

/** A database that was never backed up is the greatest of gaps; whatever else never ran was not there to be missed before the records begin. */
function isMissed(job: Job, { runs }: JobState, { knownSince }: Situation, due: Instant): boolean {
  if (knownSince === undefined) return false;
  return runs.length > 0 || job.operation === 'backup' || compare(due, knownSince) >= 0;
}

/** Due times before `last` that nothing covers. */
function missedBefore(job: Job, { runs }: JobState, { now, knownSince }: Situation, last: Instant): number {
  const past = runs.filter(({ startedAt }) => compare(startedAt, now) <= 0).map(({ startedAt }) => startedAt);
  const since = past.toSorted(compare).at(-1) ?? knownSince;
  if (since === undefined || compare(since, last) >= 0) return 0;
  return Math.max(0, dueBetween(job.cron, job.zone, since, last, MOST_COUNTED + 1).length - 1);
}

function missed(job: Job, dueAt: Instant, count: number, caughtUp: boolean): Report[] {
  return count === 0 ? [] : [{ kind: 'missed', job, dueAt, count: Math.min(count, MOST_COUNTED), caughtUp }];
}

function retryAt(
  { id, retry }: Job,
  due: Instant,
  following: Instant | undefined,
  attempts: readonly JobRun[],
): { readonly at: Instant; readonly until: Instant } | undefined {
  const [first] = attempts;
  const failed = attempts.at(-1);
  if (first === undefined || failed === undefined || !failed.retryable || attempts.length > retry.attempts) return undefined;
  // Up to a quarter later, so that hosts that failed together do not come back together.
  const later = 1 + share(`${id}\n${due.toString()}\n${attempts.length}`) / QUARTER;
  const at = failed.finishedAt.add({ milliseconds: Math.floor(retry.backoffMs * 2 ** (attempts.length - 1) * later) });
  const from = compare(first.startedAt, due) > 0 ? first.startedAt : due;
  const margin = Math.min(MARGIN_MS, periodMs(due, following) / MARGIN_SHARE);
  const before = following?.subtract({ milliseconds: Math.floor(margin) });
  const window = from.add({ milliseconds: retry.windowMs });
  const until = before !== undefined && compare(before, window) < 0 ? before : window;
  return compare(at, until) > 0 ? undefined : { at, until };
}

/** The same for the same host and job, so that a daemon keeps its minute; at most a quarter of the way to the next due time. */
function jitterMs(job: Job, due: Instant, following: Instant | undefined, host: string): number {
  return Math.floor(share(`${host}\n${job.id}`) * Math.min(job.jitterMs, periodMs(due, following) / QUARTER));
}

function periodMs(due: Instant, following: Instant | undefined): number {
  return following === undefined ? Number.MAX_SAFE_INTEGER : following.epochMilliseconds - due.epochMilliseconds;
}

/** From 0 to 1, the same for the same text. */
function share(text: string): number {
  return createHash('sha256').update(text).digest().readUInt32BE() / 2 ** 32;
}
