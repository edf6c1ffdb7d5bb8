import { Temporal } from 'temporal-polyfill';
import type { DatabaseFacts, Facts, KeyFacts, RepositoryFacts, RunFact, ScheduleFact } from '../alerts/facts.ts';
import { isJetbackupError, type JetbackupError } from '../core/errors.ts';
import type { DatabaseName } from '../core/ids.ts';
import type { Clock, Instant } from '../platform/clock.ts';
import { within } from '../platform/deadline.ts';
import type { ObjectStore } from '../storage/store.ts';
import type { RunKind } from './last-runs.ts';
import type { Objectives } from './objectives.ts';
import type { DatabaseStatus, StatusReport } from './status.ts';
import type { LastRun } from './verification-history.ts';

/** How a scheduled job stands; what daemon/scheduler.ts says of each has this form. */
export interface ScheduledStatus {
  readonly job: RunKind;
  readonly running: object | undefined;
  readonly next: { readonly at: Instant; readonly dueAt: Instant; readonly why: 'due' | 'catch-up' | 'retry' } | undefined;
}

/** A due time for which nothing will run any more: it passed while nobody was there, and is not caught up. */
export interface MissedRun {
  readonly job: RunKind;
  readonly dueAt: Instant;
}

export interface MoreFacts {
  readonly now: Instant;
  /** Every configured database: what is open about any other is closed. */
  readonly databases: readonly { readonly name: DatabaseName; readonly objectives: Objectives }[];
  /** Undefined: nobody here keeps a schedule. */
  readonly schedule?: { readonly jobs: readonly ScheduledStatus[]; readonly missed: readonly MissedRun[] } | undefined;
  /** `storageFacts` asks for it. */
  readonly storage?: RepositoryFacts | undefined;
  /** Nothing records yet when somebody checked the identity in escrow, so undefined, about which no rule speaks. */
  readonly keys?: KeyFacts | undefined;
}

/**
 * What the rules go by. Pure. The report may be some minutes old, since instants in it age with `now`; undefined where the last
 * survey failed: then nothing that it would tell is known, and what is open stays open.
 */
export function factsOf(report: StatusReport | undefined, more: MoreFacts): Omit<Facts, 'channels'> {
  const { now, databases, schedule, storage, keys } = more;
  return {
    now,
    databases: databases.map(({ name, objectives }) => {
      const status = report?.databases.find(({ database }) => database === name);
      return {
        name,
        objectives,
        ...(report === undefined || status === undefined ? {} : statusFacts(status, report)),
        schedule: schedule === undefined ? undefined : scheduleFacts(name, schedule, status, now),
      };
    }),
    repository: storage,
    keys,
  };
}

/** How long a file system may take to say how full it is, ms. */
const ROOM_MS = 10_000;

/** How full the storage is. `failure`: why the last survey failed. Never throws for the store; throws the signal's reason. */
export async function storageFacts(
  { store, clock }: { readonly store: ObjectStore; readonly clock: Clock },
  { report, failure }: { readonly report?: StatusReport | undefined; readonly failure?: JetbackupError | undefined },
  signal: AbortSignal,
): Promise<RepositoryFacts> {
  const usedBytes = report?.databases.reduce((sum, { storedBytes }) => sum + storedBytes, 0);
  const said = failure === undefined ? undefined : { code: failure.code, message: failure.message };
  return { location: store.location, usedBytes, failure: said, capacity: await capacityOf({ store, clock }, signal) };
}

async function capacityOf(
  { store, clock }: { readonly store: ObjectStore; readonly clock: Clock },
  signal: AbortSignal,
): Promise<RepositoryFacts['capacity']> {
  try {
    const room = await within(clock, ROOM_MS, (limit) => store.room(limit), { signal });
    return room === undefined ? null : { bytes: room.totalBytes, usedBytes: room.totalBytes - room.freeBytes };
  } catch (error) {
    signal.throwIfAborted();
    if (!isJetbackupError(error)) throw error;
    return undefined;
  }
}

function statusFacts(status: DatabaseStatus, { unreadBefore, deniedAt }: StatusReport): Omit<DatabaseFacts, 'name' | 'objectives'> {
  const { newest, newestProven, rto, collapse, frozenBy, history } = status;
  // Where not all records were read, one that was not seen may be there; and one that may not be read may be the last. A failure that is
  // known is told all the same: that one may have made it good is no reason for silence. What made it good is, where it is there to be seen.
  const none = unreadBefore === undefined && deniedAt === undefined ? null : undefined;
  const isLast = (run: LastRun) => deniedAt === undefined || Temporal.Instant.compare(run.startedAt, deniedAt) >= 0;
  const last = (run: LastRun | undefined, good?: Instant) => {
    if (run === undefined) return none;
    if (isLast(run)) return runFact(run);
    const isMadeGood = good !== undefined && Temporal.Instant.compare(good, run.startedAt) > 0;
    return run.result === 'succeeded' || isMadeGood ? undefined : runFact(run);
  };
  return {
    newestPoint: newest?.at ?? null,
    newestProven: newestProven?.at ?? null,
    backup: last(history.lastRuns.backup, newest?.at),
    verify: standingFailure(status) ?? last(history.lastRuns.verify, newestProven?.at),
    prune: last(history.lastRuns.prune),
    rto: rto === undefined ? null : { seconds: rto.newest.rtoSeconds, profile: rto.newest.profile },
    forecast: forecastFacts(status),
    frozenBy: frozenBy ?? null,
    collapse:
      collapse === undefined
        ? null
        : { backup: collapse.pointId, of: collapse.figure, share: collapse.value / Math.max(1, collapse.median) },
  };
}

function runFact({ result, finishedAt, error }: LastRun): RunFact {
  if (error === null) return { result, at: finishedAt };
  return { result, at: finishedAt, code: error.code, message: error.message, hint: error.hint ?? undefined };
}

/**
 * A backup that was found bad, although another verification has gone well since: of several in a row (`--sample`) the last says
 * nothing about the others. It stands until that backup is proven after all, or one that was made since is. A run that failed last
 * speaks for itself.
 */
function standingFailure({ history, newestProven, newestFailed }: DatabaseStatus): RunFact | undefined {
  if (history.lastRuns.verify?.result === 'failed') return undefined;
  const provenSince = new Set<string>();
  for (const { backup, outcome, at, checks } of history.verifications) {
    if (backup === null) continue;
    if (outcome === 'proven') provenSince.add(backup);
    if (outcome !== 'failed' || provenSince.has(backup)) continue;
    if (newestProven !== undefined && Temporal.Instant.compare(newestProven.at, at) > 0) break;
    const failed = checks.filter(({ status }) => status === 'fail').map(({ id }) => id);
    return found(backup, at, failed);
  }
  // By its signed proof alone, where no record tells of it.
  if (newestFailed === undefined || provenSince.has(newestFailed.id)) return undefined;
  if (newestProven !== undefined && Temporal.Instant.compare(newestProven.at, newestFailed.at) > 0) return undefined;
  return found(newestFailed.id, newestFailed.at, []);
}

function found(backup: string, at: Instant, checks: readonly string[]): RunFact {
  const which = checks.length === 0 ? '' : `, by ${checks.join(', ')}`;
  return {
    result: 'failed',
    at,
    code: 'check-failed',
    message: `backup ${backup} was found bad${which}`,
    hint: `jetbackup show ${backup}`,
  };
}

/** Where it cannot be told how the database grows, only that it is too large already is known. */
function forecastFacts({ forecast, objectives }: DatabaseStatus): DatabaseFacts['forecast'] {
  if (objectives.rtoMs === undefined || forecast === undefined) return undefined;
  const expected = forecast.breaks?.expected;
  if (expected === undefined && forecast.growth === undefined) return undefined;
  return { atRiskAt: expected ?? null };
}

function scheduleFacts(
  database: DatabaseName,
  { jobs, missed }: NonNullable<MoreFacts['schedule']>,
  status: DatabaseStatus | undefined,
  now: Instant,
): DatabaseFacts['schedule'] {
  const of = (operation: RunKind['operation']): ScheduleFact | undefined => {
    const one = jobs.find(({ job }) => job.operation === operation && job.database === database);
    if (one === undefined) return undefined;
    const { running, next } = one;
    if (running !== undefined) return { overdueSince: null };
    const waits = next !== undefined && next.why !== 'retry' && Temporal.Instant.compare(next.at, now) <= 0;
    const left = missed.findLast(({ job }) => job.operation === operation && job.database === database)?.dueAt;
    // Whether something has run since is not known while the records cannot be read.
    const isLeft = left !== undefined && status !== undefined && !ranSince(status, operation, left);
    const overdueSince = waits ? next.dueAt : isLeft ? left : null;
    return { next: next?.at, overdueSince };
  };
  const [backup, drill] = [of('backup'), of('drill')];
  return { ...(backup === undefined ? {} : { backup }), ...(drill === undefined ? {} : { drill }) };
}

function ranSince(status: DatabaseStatus | undefined, operation: RunKind['operation'], due: Instant): boolean {
  if (operation === 'drill') return false;
  const run = status?.history.lastRuns[operation];
  return run !== undefined && Temporal.Instant.compare(run.startedAt, due) >= 0;
}
