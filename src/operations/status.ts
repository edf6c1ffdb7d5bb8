import { Temporal } from 'temporal-polyfill';
import type { Collapse } from '../../retention/anomaly.ts';
import type { RecoveryPoint } from '../../retention/points.ts';
import type { DatabaseName, Id } from '../core/ids.ts';
import type { Instant } from '../platform/clock.ts';
import { judgeObjectives, type Objectives, type Point, secondsSince, type Verdict } from './objectives.ts';
import { recoveryFiguresOf } from './recovery-gap.ts';
import { type DatabaseSurvey, type RetentionDeps, type RetentionInput, surveyRetention } from './retention.ts';
import { forecastRto, type RtoForecast } from './rto-forecast.ts';
import { comparableRuns, type DatabaseHistory, type RtoSummary, readHistory, summarizeRto } from './verification-history.ts';

/** Without a public key no backup is one, so whoever has none is refused before (`key-missing`). */
export type StatusDeps = RetentionDeps;

export interface StatusInput {
  readonly databases: readonly { readonly name: DatabaseName; readonly objectives: Objectives }[];
  /** Of the same databases. */
  readonly retention: RetentionInput;
}

export interface AgedPoint extends Point {
  readonly ageSeconds: number;
}

export interface DatabaseStatus {
  readonly database: DatabaseName;
  readonly objectives: Objectives;
  /** The newest recovery point: whole, authentic, and not found bad by a verification. */
  readonly newest: AgedPoint | undefined;
  /** The newest that a verification has restored, by its signed proof. Never taken for the one above. */
  readonly newestProven: AgedPoint | undefined;
  /** The newest that a verification has found bad. */
  readonly newestFailed: AgedPoint | undefined;
  /** Of `newest`, bytes: its dump before compression, and what lies in the store for it. */
  readonly newestBytes: { readonly dump: number | undefined; readonly stored: number } | undefined;
  /** Committed backups, usable or not, and the bytes of everything in the database's folder. */
  readonly backups: number;
  readonly storedBytes: number;
  /** See `RecoveryFigures`. */
  readonly worstGapSeconds: number | null;
  /** Of the verifications that compare; undefined where no RTO was measured. */
  readonly rto: RtoSummary | undefined;
  readonly forecast: RtoForecast | undefined;
  readonly history: DatabaseHistory;
  /** The backup whose collapse has frozen deletion. */
  readonly frozenBy: Id | undefined;
  /** Of the newest backup, where it has far less than those before it and nobody has accepted that. */
  readonly collapse: Collapse | undefined;
  readonly verdicts: readonly Verdict[];
}

export interface StatusReport {
  readonly at: Instant;
  readonly databases: readonly DatabaseStatus[];
  /** See `RunHistory`. */
  readonly unreadBefore: Instant | undefined;
  /** When the newest run record was begun that this user may not read. */
  readonly deniedAt: Instant | undefined;
}

/** What is dated further ahead is no recovery point: a clock that ran wrong must not hide that no backup comes any more. */
const AHEAD_MS = 3_600_000;

/**
 * Objectives against measured figures; changes nothing. Costs what `surveyRetention` costs, and one GET for each run record of the
 * last 24 months, 4,400 at most. Throws `repository-missing`, and what the store throws.
 */
export async function surveyStatus(deps: StatusDeps, input: StatusInput, signal: AbortSignal): Promise<StatusReport> {
  const survey = await surveyRetention(deps, input.retention, signal);
  const now = deps.clock.now();
  const names = input.databases.map(({ name }) => name);
  const history = await readHistory(deps.store, { databases: names, runs: survey.runs, now }, signal);
  const databases = input.databases.flatMap(({ name, objectives }) => {
    const surveyed = survey.databases.find(({ of }) => of.database === name);
    const told = history.databases.find(({ database }) => database === name);
    return surveyed === undefined || told === undefined ? [] : [statusOf(surveyed, told, { objectives, now })];
  });
  return { at: now, databases, unreadBefore: history.unreadBefore, deniedAt: history.deniedAt };
}

/** Whether an objective is missed in any database. What was never measured is said and not missed. */
export function isMissed({ databases }: StatusReport): boolean {
  return databases.some(({ verdicts }) => verdicts.some(({ state }) => state === 'missed'));
}

/** The same report at a later time: ages and verdicts are those of `now`, and what was read is what it was. Pure. */
export function judgedAt(report: StatusReport, now: Instant): StatusReport {
  const aged = (point: AgedPoint | undefined) => point && { ...point, ageSeconds: secondsSince(point.at, now) };
  const databases = report.databases.map((status): DatabaseStatus => {
    const { newest, newestProven, newestFailed } = status;
    const later = { ...status, newest: aged(newest), newestProven: aged(newestProven), newestFailed: aged(newestFailed) };
    return { ...later, verdicts: judgeObjectives({ ...later, now, lastVerification: status.history.verifications[0] }) };
  });
  return { ...report, at: now, databases };
}

function statusOf(
  { of, points, folders, frozenBy, collapse }: DatabaseSurvey,
  history: DatabaseHistory,
  { objectives, now }: { readonly objectives: Objectives; readonly now: Instant },
): DatabaseStatus {
  const usable = points
    .filter(({ state, instant }) => state === 'ok' && instant <= now.epochMilliseconds + AHEAD_MS)
    .toSorted((a, b) => a.instant - b.instant);
  const good = usable.filter(({ proof }) => proof !== 'failed');
  const newestGood = good.at(-1);
  const aged = (point: RecoveryPoint | undefined): AgedPoint | undefined => {
    if (point === undefined) return undefined;
    const at = Temporal.Instant.fromEpochMilliseconds(point.instant);
    return { id: point.id, at, ageSeconds: secondsSince(at, now) };
  };
  // A signed proof outweighs a record. One that says nothing leaves it to the record.
  const proofs = usable.flatMap(({ id, proof }) => (proof === 'unproven' ? [] : [[id, proof === 'proven'] as const]));
  const tally = { backups: history.tally.backups, verdicts: new Map([...history.tally.verdicts, ...proofs]) };
  const there = usable.map(({ id, instant }) => ({ backup: id, at: instant }));
  const figures = {
    ...{ objectives, now, newest: aged(newestGood) },
    newestProven: aged(usable.findLast(({ proof }) => proof === 'proven')),
    newestFailed: aged(usable.findLast(({ proof }) => proof === 'failed')),
    worstGapSeconds: recoveryFiguresOf(tally, there, now).worstGapSeconds,
    ...rtoFigures(history, good, { objectives, now }),
  };
  return {
    database: of.database,
    ...figures,
    newestBytes: newestGood === undefined ? undefined : { dump: newestGood.plainBytes, stored: newestGood.bytes },
    backups: points.length,
    storedBytes: folders.reduce((sum, { bytes }) => sum + bytes, 0),
    history,
    frozenBy,
    collapse: collapse?.pointId === usable.at(-1)?.id ? collapse : undefined,
    verdicts: judgeObjectives({ ...figures, lastVerification: history.verifications[0] }),
  };
}

function rtoFigures(
  { verifications }: DatabaseHistory,
  points: readonly RecoveryPoint[],
  { objectives, now }: { readonly objectives: Objectives; readonly now: Instant },
): { readonly rto: RtoSummary | undefined; readonly forecast: RtoForecast | undefined } {
  const runs = comparableRuns(verifications);
  const sizes = points.flatMap(({ instant, plainBytes }) => (plainBytes === undefined ? [] : [{ at: instant, bytes: plainBytes }]));
  const objectiveSeconds = objectives.rtoMs === undefined ? undefined : objectives.rtoMs / 1000;
  return { rto: summarizeRto(runs), forecast: forecastRto({ runs, sizes, now, objectiveSeconds }) };
}
