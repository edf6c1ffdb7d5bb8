import { Temporal } from 'temporal-polyfill';
import type { Collapse } from '../../retention/anomaly.ts';
import { judgeObjectives, type Objectives } from '../../src/operations/objectives.ts';
import { forecastRto } from '../../src/operations/rto-forecast.ts';
import type { AgedPoint, DatabaseStatus, StatusReport } from '../../src/operations/status.ts';
import { comparableRuns, type DatabaseHistory, summarizeRto, type VerificationEntry } from '../../src/operations/verification-history.ts';
import { GiB, idAt } from './verifications.ts';

export const NOW = Temporal.Instant.from('2026-11-20T12:00:00Z');
const DAY_MS = 86_400_000;

export interface Situation {
  readonly objectives?: Partial<Objectives>;
  /** Hours ago. */
  readonly newest?: number;
  readonly newestProven?: number;
  readonly newestFailed?: number;
  readonly worstGapSeconds?: number | null;
  /** Newest first. */
  readonly verifications?: readonly VerificationEntry[];
  readonly history?: Partial<DatabaseHistory>;
  readonly growthPerDay?: number;
  readonly frozenBy?: string;
  readonly collapse?: Collapse;
}

/** What `surveyStatus` says of a database in this situation: real verdicts and forecasts. */
export function statusIn(database: string, situation: Situation): DatabaseStatus {
  const objectives = { rpoMs: undefined, rtoMs: undefined, ...situation.objectives };
  const aged = (hours: number | undefined): AgedPoint | undefined => {
    if (hours === undefined) return undefined;
    const at = NOW.subtract({ hours });
    return { id: idAt(at.toString()), at, ageSeconds: hours * 3600 };
  };
  const { verifications = [], worstGapSeconds = null, growthPerDay = 0 } = situation;
  const runs = comparableRuns(verifications);
  const sizes = Array.from({ length: 60 }, (_, index) => ({
    at: NOW.epochMilliseconds - index * DAY_MS,
    bytes: 10 * GiB - index * growthPerDay,
  }));
  const rtoMs = objectives.rtoMs;
  const figures = {
    ...{ objectives, now: NOW, newest: aged(situation.newest), newestProven: aged(situation.newestProven) },
    ...{ newestFailed: aged(situation.newestFailed), worstGapSeconds, rto: summarizeRto(runs) },
    forecast: forecastRto({ runs, sizes, now: NOW, objectiveSeconds: rtoMs === undefined ? undefined : rtoMs / 1000 }),
  };
  const { now: _, ...shown } = figures;
  return {
    ...{ database, ...shown, newestBytes: situation.newest === undefined ? undefined : { dump: 10 * GiB, stored: 2 * GiB } },
    ...{ backups: 9, storedBytes: 20 * GiB, frozenBy: situation.frozenBy, collapse: situation.collapse },
    history: {
      database,
      verifications,
      lastRuns: {},
      lastGoodBackup: undefined,
      tally: { backups: [], verdicts: new Map() },
      ...situation.history,
    },
    verdicts: judgeObjectives({ ...figures, lastVerification: verifications[0] }),
  };
}

export function reportOf(...databases: readonly DatabaseStatus[]): StatusReport {
  return { at: NOW, databases, unreadBefore: undefined, deniedAt: undefined };
}
