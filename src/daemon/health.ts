import { type ObjectiveState, secondsSince } from '../operations/objectives.ts';
import type { AgedPoint, DatabaseStatus, StatusReport } from '../operations/status.ts';
import { judgedAt } from '../operations/status.ts';
import type { Clock, Instant } from '../platform/clock.ts';
import type { RunCount } from './run-counter.ts';
import type { JobStatus, Scheduler } from './scheduler.ts';
import { REPORT_OLD_MS } from './service.ts';

/** What the daemon knows of itself, for monitors. Nothing here waits, or asks the store. */
export interface HealthSource {
  readonly startedAt: Instant;
  readonly version: string;
  readonly scheduler: Pick<Scheduler, 'status' | 'lastTick' | 'isStuck'>;
  /** The newest report and when it was made; undefined until there is one. The service makes one every 30 s and after each job. */
  report(): { readonly report: StatusReport; readonly at: Instant } | undefined;
  /** Runs since the process started; undefined where nobody counts them. */
  readonly runs?: () => readonly RunCount[];
}

export const healthStates = ['ok', 'degraded', 'failing'] as const;
/** `degraded`: to be looked at, not to be woken for. */
export type HealthState = (typeof healthStates)[number];

/** Each kind of reason, and what it makes of the whole. */
const severities = {
  'objective-missed': 'failing',
  'scheduler-stuck': 'failing',
  'report-missing': 'failing',
  'report-old': 'failing',
  'objective-at-risk': 'degraded',
  'objective-unknown': 'degraded',
  'scheduler-not-started': 'degraded',
} as const satisfies Readonly<Record<string, HealthState>>;
export type HealthReasonKind = keyof typeof severities;
export const healthReasonKinds: readonly string[] = Object.keys(severities);

export interface HealthReason {
  readonly kind: HealthReasonKind;
  readonly text: string;
}

type Point = { readonly id: string; readonly at: string; readonly ageSeconds: number } | null;
type NextRun = { readonly operation: string; readonly running: boolean; readonly at: string | null };

/** What `/health` answers. Names and figures only: messages of errors may hold more than a monitor should know. */
export interface HealthDocument {
  readonly status: HealthState;
  readonly reasons: readonly HealthReason[];
  readonly timestamp: string;
  /** Seconds. */
  readonly uptime: number;
  readonly version: string;
  readonly scheduler: {
    readonly lastTick: string | null;
    readonly stuck: boolean;
    /** Of all databases together. */
    readonly nextRuns: readonly NextRun[];
  };
  /** When the figures below were read from the repository. */
  readonly reportAt: string | null;
  readonly databases: readonly {
    readonly database: string;
    readonly newest: Point;
    readonly newestProven: Point;
    readonly objectives: readonly { readonly objective: string; readonly state: ObjectiveState; readonly wantedSeconds: number | null }[];
    readonly lastRuns: readonly {
      readonly operation: string;
      readonly startedAt: string;
      readonly finishedAt: string;
      readonly result: string;
      readonly error: string | null;
    }[];
    readonly nextRuns: readonly NextRun[];
  }[];
}

const stateNames = { missed: 'objective-missed', 'at risk': 'objective-at-risk', unknown: 'objective-unknown' } as const;

/**
 * Judges by the time that it is now and not by that of the report, so that an objective is missed here in the second in which it
 * is, also while the store gives no answer.
 */
export function healthOf(source: HealthSource, clock: Clock): HealthDocument {
  const now = clock.now();
  const { scheduler } = source;
  const made = source.report();
  const databases = made === undefined ? [] : judgedAt(made.report, now).databases;
  const jobs = scheduler.status();
  const stuck = scheduler.isStuck();
  const lastTick = scheduler.lastTick();
  const reasons = [...reportReasons(made?.at, now), ...schedulerReasons(stuck, lastTick), ...databases.flatMap(objectiveReasons)];
  const states = reasons.map(({ kind }) => severities[kind]);
  return {
    status: states.includes('failing') ? 'failing' : states.length > 0 ? 'degraded' : 'ok',
    reasons,
    timestamp: now.toString(),
    uptime: secondsSince(source.startedAt, now),
    version: source.version,
    scheduler: { lastTick: lastTick?.toString() ?? null, stuck, nextRuns: nextRuns(jobs, null) },
    reportAt: made?.at.toString() ?? null,
    databases: databases.map((status) => ({
      database: status.database,
      newest: pointOf(status.newest),
      newestProven: pointOf(status.newestProven),
      objectives: status.verdicts.map(({ objective, state, wantedSeconds }) => ({ objective, state, wantedSeconds })),
      lastRuns: Object.entries(status.history.lastRuns).map(([operation, { startedAt, finishedAt, result, error }]) => ({
        ...{ operation, startedAt: startedAt.toString(), finishedAt: finishedAt.toString(), result, error: error?.code ?? null },
      })),
      nextRuns: nextRuns(jobs, status.database),
    })),
  };
}

function reportReasons(at: Instant | undefined, now: Instant): HealthReason[] {
  if (at === undefined) return [{ kind: 'report-missing', text: 'nothing has been read from the repository yet' }];
  const ageMs = now.epochMilliseconds - at.epochMilliseconds;
  const text = (what: string) => [{ kind: 'report-old' as const, text: `what was last read from the repository is ${what}` }];
  if (ageMs > REPORT_OLD_MS) return text(`${Math.round(ageMs / 1000)} s old`);
  // The clock was set back: how old it is cannot be told, and the next one replaces it.
  return ageMs < -REPORT_OLD_MS ? text('dated in the future') : [];
}

function schedulerReasons(stuck: boolean, lastTick: Instant | undefined): HealthReason[] {
  if (stuck)
    return [{ kind: 'scheduler-stuck', text: `the scheduler has not looked at the clock since ${lastTick?.toString() ?? 'it began'}` }];
  return lastTick === undefined ? [{ kind: 'scheduler-not-started', text: 'the scheduler has not looked at the clock yet' }] : [];
}

function objectiveReasons({ database, verdicts }: DatabaseStatus): HealthReason[] {
  return verdicts.flatMap(({ objective, state }) =>
    state === 'met' ? [] : [{ kind: stateNames[state], text: `${database}: ${objective} is ${state}` }],
  );
}

function pointOf(point: AgedPoint | undefined): Point {
  return point === undefined ? null : { id: point.id, at: point.at.toString(), ageSeconds: point.ageSeconds };
}

function nextRuns(jobs: readonly JobStatus[], database: string | null): NextRun[] {
  return jobs
    .filter(({ job }) => job.database === database)
    .map(({ job, running, next }) => ({ operation: job.operation, running: running !== undefined, at: next?.at.toString() ?? null }));
}
