import { Temporal } from 'temporal-polyfill';
import { idInstant } from '../catalog/catalog.ts';
import { isDenied, MOST_HISTORY, runReader } from '../catalog/run-records.ts';
import type { DatabaseName, Id } from '../core/ids.ts';
import type { Phase, RunRecord } from '../core/run-record.ts';
import type { CheckRecord, Profile, SandboxKind, Verification } from '../core/verification.ts';
import type { Instant } from '../platform/clock.ts';
import type { ObjectStore } from '../storage/store.ts';
import { CLOCK_AHEAD_MS } from './last-runs.ts';
import { medianOf, theilSenSlope } from './line-fit.ts';
import { type BackupTally, tallyBackups } from './recovery-gap.ts';

/** One step of a verification. Seconds; bytes, and bytes per second, where it moved any. */
export interface PhaseFigures {
  readonly phase: string;
  readonly seconds: number;
  readonly bytes: number | null;
  readonly bytesPerSecond: number | null;
}

/** What one verification left. */
export interface VerificationEntry {
  readonly run: Id;
  readonly at: Instant;
  readonly backup: Id | null;
  /** Null: it did not get to its end, and nothing can be told. */
  readonly outcome: Verification['outcome'];
  /** Null where there was no sandbox. */
  readonly kind: SandboxKind | null;
  /** Null for a server that was provided, whose settings are not ours. */
  readonly profile: Profile | null;
  readonly jobs: number;
  readonly rtoSeconds: number | null;
  readonly phases: readonly PhaseFigures[];
  readonly bytes: Verification['bytes'];
  readonly rpoSeconds: number | null;
  readonly worstGapSeconds: number | null;
  readonly checks: readonly CheckRecord[];
  /** Whether a signed proof was put beside the backup. */
  readonly attached: boolean;
}

export type Operation = RunRecord['operation'];

export interface LastRun {
  readonly run: Id;
  readonly startedAt: Instant;
  readonly finishedAt: Instant;
  readonly result: RunRecord['result'];
  /** Null where it succeeded. */
  readonly error: RunRecord['error'];
}

/** What the run records tell of a database. They are notes that nobody signed: what is decided rests on manifests and proofs. */
export interface DatabaseHistory {
  readonly database: DatabaseName;
  /** Newest first. */
  readonly verifications: readonly VerificationEntry[];
  /** The newest of each kind; those that never ran are not there. */
  readonly lastRuns: Readonly<Partial<Record<Operation, LastRun>>>;
  readonly lastGoodBackup: LastRun | undefined;
  /** The backups that were made, and what was found of them. */
  readonly tally: Pick<BackupTally, 'backups' | 'verdicts'>;
}

export interface RunHistory {
  readonly databases: readonly DatabaseHistory[];
  /** Records were left unread at this instant and before, to keep the number of requests bounded; undefined where all of 24 months were read. */
  readonly unreadBefore: Instant | undefined;
  /** When the newest record was begun that this user may not read; it may be of any of these databases, and say anything. */
  readonly deniedAt: Instant | undefined;
}

/** Prune keeps run records this long. */
const MONTHS = 24;
/** Verifications of a database that are looked at. */
const MOST_VERIFICATIONS = 400;
const AT_ONCE = 16;

/** Reads what run records tell of these databases: one GET for each of the last 24 months, newest first. Throws what the store throws. */
export async function readHistory(
  store: ObjectStore,
  { databases, runs, now }: { readonly databases: readonly DatabaseName[]; readonly runs: readonly Id[]; readonly now: Instant },
  signal: AbortSignal,
): Promise<RunHistory> {
  const since = now.toZonedDateTimeISO('UTC').subtract({ months: MONTHS }).epochMilliseconds;
  const found = new Map(databases.map((database) => [database, emptyHistory(database, now)] as const));
  const wanted = runs.filter((run) => idInstant(run).epochMilliseconds >= since).toReversed();
  const read = wanted.slice(0, MOST_HISTORY);
  const reader = runReader(store);
  // One that is dated further ahead was begun by a clock that was wrong, and is not the last of anything.
  const until = now.add({ milliseconds: CLOCK_AHEAD_MS });
  let deniedAt: Instant | undefined;
  for (let next = 0; next < read.length; next += AT_ONCE) {
    signal.throwIfAborted();
    const ids = read.slice(next, next + AT_ONCE);
    const records = await reader.read(ids, signal);
    const denied = ids.filter((_, index) => isDenied(records[index])).map((id) => idInstant(id));
    deniedAt ??= denied.find((at) => Temporal.Instant.compare(at, until) <= 0);
    for (const record of records) {
      if (record === undefined || isDenied(record)) continue;
      const history = found.get(record.database);
      if (history !== undefined) note(history, record);
    }
  }
  reader.ended();
  const unread = wanted[MOST_HISTORY];
  return { databases: [...found.values()], unreadBefore: unread === undefined ? undefined : idInstant(unread), deniedAt };
}

interface Open {
  readonly database: DatabaseName;
  readonly verifications: VerificationEntry[];
  readonly lastRuns: Partial<Record<Operation, LastRun>>;
  lastGoodBackup: LastRun | undefined;
  readonly tally: BackupTally;
}

function emptyHistory(database: DatabaseName, now: Instant): Open {
  return { database, verifications: [], lastRuns: {}, lastGoodBackup: undefined, tally: tallyBackups(now) };
}

/** Records come newest first. */
function note(history: Open, record: RunRecord): void {
  const last = lastRunOf(record);
  history.lastRuns[record.operation] ??= last;
  if (record.operation === 'backup' && record.result === 'succeeded') history.lastGoodBackup ??= last;
  history.tally.add(record);
  const entry = entryOf(record);
  if (entry !== undefined && history.verifications.length < MOST_VERIFICATIONS) history.verifications.push(entry);
}

function lastRunOf({ id, startedAt, finishedAt, result, error }: RunRecord): LastRun {
  return { run: id, startedAt: Temporal.Instant.from(startedAt), finishedAt: Temporal.Instant.from(finishedAt), result, error };
}

/** Undefined for a run that was no verification. */
export function entryOf({ id, startedAt, backup, phases, rtoSeconds, rpoSeconds, verification }: RunRecord): VerificationEntry | undefined {
  if (verification === undefined) return undefined;
  const { outcome, sandbox, jobs, bytes, worstGapSeconds, checks, attached } = verification;
  return {
    ...{ run: id, at: Temporal.Instant.from(startedAt), backup, outcome, kind: sandbox?.kind ?? null, profile: sandbox?.profile ?? null },
    ...{ jobs, rtoSeconds, rpoSeconds, phases: phases.map(figuresOf), bytes, worstGapSeconds, checks, attached },
  };
}

function figuresOf({ phase, ms, bytes }: Phase): PhaseFigures {
  return { phase, seconds: ms / 1000, bytes: bytes ?? null, bytesPerSecond: bytes === undefined || ms === 0 ? null : (bytes * 1000) / ms };
}

/** A verification that proved its backup and measured its RTO: what can be compared with others. */
export interface MeasuredRto extends VerificationEntry {
  readonly outcome: 'proven';
  readonly kind: SandboxKind;
  readonly rtoSeconds: number;
  readonly bytes: NonNullable<Verification['bytes']>;
}

function isMeasured(entry: VerificationEntry): entry is MeasuredRto {
  return entry.outcome === 'proven' && entry.kind !== null && entry.rtoSeconds !== null && entry.bytes !== null;
}

/** A figure of `fast` stands for an incident only where nothing better was measured in this time. */
const BETTER_FOR_MS = 100 * 24 * 3_600_000;

/**
 * The verifications that an RTO can be told from: those in the kind of sandbox, with the profile and the connections of the newest
 * one that was not `fast`, or where none of these was made within 100 days of the newest, of the newest of all. Failures and what
 * could not be told are left out. Newest first; empty where nothing was measured.
 */
export function comparableRuns(entries: readonly VerificationEntry[]): readonly MeasuredRto[] {
  const measured = entries
    .filter(isMeasured)
    .toSorted((a, b) => b.at.epochMilliseconds - a.at.epochMilliseconds || (a.run < b.run ? 1 : -1));
  const [newest] = measured;
  if (newest === undefined) return [];
  const better = measured.find(
    ({ profile, at }) => profile !== 'fast' && newest.at.epochMilliseconds - at.epochMilliseconds <= BETTER_FOR_MS,
  );
  const { kind, profile, jobs } = better ?? newest;
  return measured.filter((one) => one.kind === kind && one.profile === profile && one.jobs === jobs);
}

export interface RtoSummary {
  readonly newest: MeasuredRto;
  readonly medianSeconds: number;
  readonly worst: MeasuredRto;
  readonly runs: number;
  /** By how much it grows, seconds per month of 30 days; null where there are too few runs, or too close together, to tell. */
  readonly trendSecondsPerMonth: number | null;
}

const DAY_MS = 24 * 3_600_000;
const MONTH_DAYS = 30;
const TREND_RUNS = 3;
const TREND_DAYS = 14;

/** A backup that was older when it was verified (`--sample`) says what a smaller database once took, and nothing of one that is lost now. */
const CURRENT_MS = 35 * DAY_MS;

/**
 * `newest` is of the newest backup that was measured, and of several verifications of it the last. The rest is of backups that were the
 * current ones when they were verified, as far as there are any. Undefined where nothing was measured. Takes what `comparableRuns` gives.
 */
export function summarizeRto(measured: readonly MeasuredRto[]): RtoSummary | undefined {
  const [newest] = measured.toSorted((a, b) => compareIds(b, a) || b.at.epochMilliseconds - a.at.epochMilliseconds);
  if (newest === undefined) return undefined;
  const runs = measured.filter((one) => one === newest || isCurrent(one));
  const points = runs.map(({ at, rtoSeconds }) => ({ x: at.epochMilliseconds / DAY_MS, y: rtoSeconds }));
  const days = points.map(({ x }) => x);
  const isLong = runs.length >= TREND_RUNS && Math.max(...days) - Math.min(...days) >= TREND_DAYS;
  const slope = isLong ? theilSenSlope(points) : undefined;
  return {
    newest,
    medianSeconds: medianOf(runs.map(({ rtoSeconds }) => rtoSeconds)),
    worst: runs.reduce((worst, one) => (one.rtoSeconds > worst.rtoSeconds ? one : worst), newest),
    runs: runs.length,
    trendSecondsPerMonth: slope === undefined ? null : slope * MONTH_DAYS,
  };
}

function compareIds(a: MeasuredRto, b: MeasuredRto): number {
  const [one, other] = [a.backup ?? '', b.backup ?? ''];
  return one < other ? -1 : Number(one > other);
}

function isCurrent({ backup, at }: MeasuredRto): boolean {
  return backup !== null && at.epochMilliseconds - idInstant(backup).epochMilliseconds <= CURRENT_MS;
}
