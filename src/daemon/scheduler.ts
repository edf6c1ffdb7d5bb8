import { Temporal } from 'temporal-polyfill';
import { JetbackupError, messageOf } from '../core/errors.ts';
import type { PastRun } from '../operations/last-runs.ts';
import type { Clock, Instant } from '../platform/clock.ts';
import { within } from '../platform/deadline.ts';
import { type Job, type JobPlan, planJob, type Report, type Start, type Why } from './plan.ts';
import { createRunMemory } from './run-memory.ts';

/** How a job went. `retryable`: of one that did not succeed, whether trying the same again may help (core/errors.ts). */
export interface JobOutcome {
  readonly result: PastRun['result'];
  readonly retryable: boolean;
  /** Nothing was done, and no record left: somebody else is doing it. It is looked at again soon, and counts as no attempt. */
  readonly elsewhere?: boolean;
}

/** Runs one job to its end, leaves its run record, and tells how it went; after an abort it cleans up first. It does not throw. */
export interface JobRunner {
  run(start: Start, signal: AbortSignal): Promise<JobOutcome>;
}

/** What ran before this process did, and beside it, as the repository's run records tell. Throws what the store throws. */
export interface History {
  read(
    now: Instant,
    signal: AbortSignal,
  ): Promise<{
    of(job: Job): readonly PastRun[];
    readonly since: Instant | undefined;
  }>;
}

export type SchedulerEvent =
  | { readonly type: 'started'; readonly start: Start }
  | { readonly type: 'finished'; readonly start: Start; readonly outcome: JobOutcome; readonly ms: number }
  /** Somebody else is doing what was started. Told once; when they have ended, or died, it comes to `finished`. */
  | { readonly type: 'elsewhere'; readonly start: Start }
  | { readonly type: 'report'; readonly report: Report }
  /** The machine slept, or somebody set its clock: by so much it differs from the time that was waited, ms. */
  | { readonly type: 'clock-moved'; readonly ms: number }
  | { readonly type: 'history-unreadable'; readonly text: string };

export interface SchedulerDeps {
  readonly clock: Clock;
  readonly runner: JobRunner;
  readonly history: History;
  /** Must not throw. */
  readonly onEvent: (event: SchedulerEvent) => void;
  /** Name of this host: its own minute comes of it. */
  readonly host: string;
}

export interface SchedulerOptions {
  readonly jobs: readonly Job[];
  /** Jobs at once; of one database there is never more than one. */
  readonly parallel: number;
  /** Longest sleep, ms. Default one minute, so that a clock that was set, or a machine that woke up, is noticed within it. */
  readonly longestSleepMs?: number;
}

export interface JobStatus {
  readonly job: Job;
  readonly running: { readonly dueAt: Instant; readonly why: Why; readonly startedAt: Instant } | undefined;
  /** The next start, where none is running; `at` in the past: it waits for another job to end. */
  readonly next: { readonly at: Instant; readonly dueAt: Instant; readonly why: Why } | undefined;
}

export interface Scheduler {
  /** Works until `stop`, or until the signal is aborted: then all jobs are, and it resolves when they have ended. Once only. */
  run(signal: AbortSignal): Promise<void>;
  /** Starts nothing more; jobs have `graceMs` to end, then they are aborted with `terminated`. Resolves when all have ended. */
  stop(graceMs: number): Promise<void>;
  status(): readonly JobStatus[];
  /** When it last looked at the clock; undefined before the first time. */
  lastTick(): Instant | undefined;
  /** It has not looked for three minutes, by the monotonic clock: something blocks the process. One that is being stopped need not look. */
  isStuck(): boolean;
}

const LONGEST_SLEEP_MS = 60_000;
/** Beside a sleep of a minute, so that three pass without a look. */
const STUCK_MS = 2 * 60_000;
/** Beyond this the time that has passed and the time that was waited are two: the machine slept, or its clock was set. */
const CLOCK_MOVED_MS = 60_000;
/** Run records are read again before anything is started, if this is how long ago it was; and may take so long, ms. */
const HISTORY_FRESH_MS = 60_000;
const HISTORY_MS = 30_000;
/** What somebody else does is looked at again after a quarter of the time that it has taken by then, within these, ms. */
const LOOK_AGAIN_MS = { least: 5_000, share: 4, most: 60_000 };

/** Starts each job when daemon/plan.ts says so, and no more than `parallel` at once. */
export function createScheduler(deps: SchedulerDeps, options: SchedulerOptions): Scheduler {
  const { clock, onEvent } = deps;
  const { jobs, parallel, longestSleepMs = LONGEST_SLEEP_MS } = options;
  const memory = createRunMemory();
  const running = new Map<string, { readonly start: Start; readonly startedAt: Instant; readonly done: Promise<void> }>();
  const aborting = new AbortController();
  const reported = new Map<string, string>();
  /** Jobs that somebody else does: since when, and when to look again, by the monotonic clock. */
  const elsewhere = new Map<string, { readonly sinceMs: number; readonly againMs: number }>();
  let past: Awaited<ReturnType<History['read']>> | undefined;
  let readAt: { readonly ms: number; readonly now: Instant } | undefined;
  let plans: readonly JobPlan[] = [];
  let awakeSince: Instant | undefined;
  let ticked: { readonly now: Instant; readonly ms: number } | undefined;
  let stopping = false;
  let wake = Promise.withResolvers<void>();

  /** Notices what the clock did while nobody looked: what came due in a jump ahead was missed; a jump back makes runs lie in the future. */
  function look(): Instant {
    const [now, ms] = [clock.now(), clock.monotonicMs()];
    if (ticked !== undefined) {
      const moved = now.epochMilliseconds - ticked.now.epochMilliseconds - sleptMs(ticked.ms, ms);
      if (Math.abs(moved) > CLOCK_MOVED_MS) onEvent({ type: 'clock-moved', ms: moved });
      if (moved > CLOCK_MOVED_MS) awakeSince = now;
      if (Temporal.Instant.compare(now, ticked.now) < 0) memory.clockWentBackTo(now);
    }
    if (awakeSince === undefined || Temporal.Instant.compare(now, awakeSince) < 0) awakeSince = now;
    ticked = { now, ms };
    return now;
  }

  /** A process that was stopped, or a machine whose monotonic clock goes on in its sleep, did not look either: no more than was meant to be slept counts. */
  function sleptMs(from: number, to: number): number {
    return Math.min(to - from, longestSleepMs + CLOCK_MOVED_MS);
  }

  function think(now: Instant): readonly JobPlan[] {
    const knownSince = past === undefined ? undefined : (past.since ?? readAt?.now);
    const situation = { now, awakeSince: awakeSince ?? now, host: deps.host, knownSince };
    return jobs.map((job) => {
      const start = running.get(job.id)?.start;
      return planJob(job, { runs: memory.with(job, past?.of(job) ?? []), running: start }, situation);
    });
  }

  async function tick(): Promise<void> {
    let now = look();
    plans = think(now);
    const wanted = plans.some(({ start }) => start !== undefined && mayBegin(start.job));
    if (readAt === undefined || (wanted && clock.monotonicMs() - readAt.ms > HISTORY_FRESH_MS)) {
      await readHistory(now);
      now = look();
      plans = think(now);
    }
    for (const report of plans.flatMap(({ reports }) => reports)) tell(report);
    if (stopping) return;
    for (const { start } of inOrder(plans)) if (start !== undefined && mayBegin(start.job)) begin(start, now);
  }

  async function readHistory(now: Instant): Promise<void> {
    const ms = clock.monotonicMs();
    try {
      past = await within(clock, HISTORY_MS, (signal) => deps.history.read(now, signal), { signal: aborting.signal });
      readAt = { ms, now };
    } catch (error) {
      if (aborting.signal.aborted) return;
      // What is known already, and what comes due from now on, is enough to go on with; it is tried again at the next tick.
      onEvent({ type: 'history-unreadable', text: messageOf(error) });
    }
  }

  /** Each thing once; of one kind and job only the newest is remembered. */
  function tell(report: Report): void {
    const key = `${report.kind}\n${report.job.id}`;
    const about = report.dueAt.toString();
    if (reported.get(key) === about) return;
    reported.set(key, about);
    onEvent({ type: 'report', report });
  }

  function mayBegin(job: Job): boolean {
    if (clock.monotonicMs() < (elsewhere.get(job.id)?.againMs ?? 0)) return false;
    const others = [...running.values()].map(({ start }) => start.job);
    // A verification takes hours: beside it there is always room for a backup, also of the database that it is about.
    const isVerify = job.operation === 'verify';
    const verifying = others.filter(({ operation }) => operation === 'verify').length;
    const room = isVerify ? Math.min(parallel - others.length, Math.max(1, parallel - 1) - verifying) : parallel - others.length;
    const clashes = ({ id, operation, database }: Job) =>
      id === job.id || (database === job.database && (operation === 'verify') === isVerify);
    return room > 0 && !others.some(clashes);
  }

  function begin(start: Start, now: Instant): void {
    const from = clock.monotonicMs();
    const work = async (): Promise<void> => {
      let outcome: JobOutcome;
      try {
        outcome = await deps.runner.run(start, aborting.signal);
      } catch {
        outcome = { result: aborting.signal.aborted ? 'interrupted' : 'failed', retryable: false };
      }
      // Times of the wall clock may have been set meanwhile; how long it took was not.
      const ms = clock.monotonicMs() - from;
      running.delete(start.job.id);
      if (outcome.elsewhere === true) {
        if (isFirst) onEvent({ type: 'elsewhere', start });
        lookAgain(start.job);
      } else {
        elsewhere.delete(start.job.id);
        memory.add(start.job, { dueAt: start.dueAt, startedAt: now, endedAt: clock.now(), ms, outcome });
        onEvent({ type: 'finished', start, outcome, ms });
      }
      wake.resolve();
    };
    const isFirst = !elsewhere.has(start.job.id);
    if (isFirst) onEvent({ type: 'started', start });
    // In the next turn, so that it is among the running before it can end.
    running.set(start.job.id, { start, startedAt: now, done: Promise.resolve().then(work) });
  }

  /** Until its holder has ended, or can be followed because it is dead. */
  function lookAgain({ id }: Job): void {
    const ms = clock.monotonicMs();
    const { sinceMs } = elsewhere.get(id) ?? { sinceMs: ms };
    const { least, share, most } = LOOK_AGAIN_MS;
    elsewhere.set(id, { sinceMs, againMs: ms + Math.min(most, Math.max(least, (ms - sinceMs) / share)) });
  }

  /** Until something starts by itself, and a minute at most; or until `wake`. */
  async function sleep(): Promise<void> {
    const [now, ms] = [clock.now().epochMilliseconds, clock.monotonicMs()];
    const waits = plans.map(({ next, start }) => {
      if (next !== undefined) return next.at.epochMilliseconds - now;
      const againMs = start === undefined ? undefined : elsewhere.get(start.job.id)?.againMs;
      return againMs === undefined || againMs <= ms ? Number.POSITIVE_INFINITY : againMs - ms;
    });
    const over = new AbortController();
    await Promise.race([clock.sleep(Math.min(longestSleepMs, Math.max(1, Math.min(...waits))), over.signal), wake.promise]);
    over.abort();
    wake = Promise.withResolvers();
  }

  /** For another job to end, or for somebody else who does it. */
  function waitingOf(start: Start): JobStatus['next'] {
    const leftMs = (elsewhere.get(start.job.id)?.againMs ?? 0) - clock.monotonicMs();
    if (leftMs > 0) return { ...start, why: 'retry', at: clock.now().add({ milliseconds: Math.ceil(leftMs) }) };
    return { ...start, at: ticked?.now ?? start.dueAt };
  }

  async function allDone(): Promise<void> {
    while (running.size > 0) await Promise.all([...running.values()].map(({ done }) => done));
  }

  return {
    async run(signal) {
      const abort = () => {
        aborting.abort(signal.reason);
        wake.resolve();
      };
      if (signal.aborted) abort();
      else signal.addEventListener('abort', abort, { once: true });
      try {
        while (!stopping && !aborting.signal.aborted) {
          await tick();
          if (!stopping && !aborting.signal.aborted) await sleep();
        }
      } finally {
        stopping = true;
        await allDone();
        signal.removeEventListener('abort', abort);
      }
    },
    async stop(graceMs) {
      stopping = true;
      wake.resolve();
      const over = new AbortController();
      const grace = clock.sleep(graceMs, over.signal).then(
        () =>
          aborting.abort(new JetbackupError('terminated', `the daemon was stopped, and jobs had ${Math.round(graceMs / 1000)} s to end`)),
        () => {},
      );
      await allDone();
      over.abort();
      await grace;
    },
    status: () =>
      plans.map(({ job, next, start }) => {
        const now = running.get(job.id);
        const waiting = start === undefined ? next : waitingOf(start);
        return {
          job,
          running: now === undefined ? undefined : { dueAt: now.start.dueAt, why: now.start.why, startedAt: now.startedAt },
          next: now === undefined ? waiting : undefined,
        };
      }),
    lastTick: () => ticked?.now,
    isStuck: () => !stopping && ticked !== undefined && clock.monotonicMs() - ticked.ms > longestSleepMs + STUCK_MS,
  };
}

const urgency: Readonly<Record<Why, number>> = { due: 0, retry: 1, 'catch-up': 2 };
const importance: Readonly<Record<Job['operation'], number>> = { backup: 0, restore: 0, prune: 1, verify: 2, drill: 2 };
/** Where there is no room for all: backups first; then what is due now; then what was due first. */
function inOrder(plans: readonly JobPlan[]): readonly JobPlan[] {
  const rank = ({ start }: JobPlan) => (start === undefined ? 3 : urgency[start.why]);
  const due = ({ start }: JobPlan) => start?.dueAt.epochMilliseconds ?? 0;
  const what = ({ job }: JobPlan) => importance[job.operation];
  return plans.toSorted((a, b) => what(a) - what(b) || rank(a) - rank(b) || due(a) - due(b));
}
