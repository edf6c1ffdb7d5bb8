import type { Config } from '../config/config.ts';
import type { AgedPoint, DatabaseStatus, StatusReport } from '../operations/status.ts';
import type { VerificationEntry } from '../operations/verification-history.ts';
import type { Instant } from '../platform/clock.ts';
import type { StatusDocument, VerificationHistoryDocument } from './json-status.ts';
import { whyText } from './objective-words.ts';
import { scheduleOf } from './schedule-status.ts';

const text = (at: Instant | undefined): string | null => at?.toString({ smallestUnit: 'millisecond' }) ?? null;
const inSeconds = (ms: number | undefined): number | null => (ms === undefined ? null : ms / 1000);

const operations = ['backup', 'verify', 'restore', 'prune'] as const;

export function statusDocument(
  report: StatusReport,
  { repository, config }: { readonly repository: string; readonly config: Config },
): StatusDocument {
  const { timeZone } = config;
  return {
    command: 'status',
    repository,
    at: report.at.toString({ smallestUnit: 'millisecond' }),
    databases: report.databases.map((status) => ({
      database: status.database,
      newest:
        status.newest === undefined
          ? null
          : { ...pointDocument(status.newest), dumpBytes: status.newestBytes?.dump ?? null, storedBytes: status.newestBytes?.stored ?? 0 },
      newestProven: status.newestProven === undefined ? null : pointDocument(status.newestProven),
      newestFailed: status.newestFailed === undefined ? null : pointDocument(status.newestFailed),
      backups: status.backups,
      storedBytes: status.storedBytes,
      rpoObjectiveSeconds: inSeconds(status.objectives.rpoMs),
      rtoObjectiveSeconds: inSeconds(status.objectives.rtoMs),
      worstGapSeconds: status.worstGapSeconds,
      ...figuresDocument(status),
      lastRuns: operations.flatMap((operation) => {
        const last = status.history.lastRuns[operation];
        if (last === undefined) return [];
        const { run, startedAt, finishedAt, result, error } = last;
        return [{ operation, run, startedAt: startedAt.toString(), finishedAt: finishedAt.toString(), result, error }];
      }),
      schedule: scheduleOf(config, status, report).map(({ operation, lastDue, overdue, next }) => ({
        ...{ operation, overdue, lastDue: text(lastDue), next: text(next) },
      })),
      frozenBy: status.frozenBy ?? null,
      verdicts: status.verdicts.map(({ objective, state, wantedSeconds, why }) => ({
        ...{ objective, state, wantedSeconds, why: whyText(why, timeZone) },
      })),
    })),
    ...unreadDocument(report),
  };
}

export function historyDocument(report: StatusReport, repository: string): VerificationHistoryDocument {
  return {
    command: 'verify --history',
    repository,
    databases: report.databases.map((status) => ({
      database: status.database,
      verifications: status.history.verifications.map(verificationDocument),
      ...figuresDocument(status),
    })),
    ...unreadDocument(report),
  };
}

function unreadDocument({ unreadBefore, deniedAt }: StatusReport): Pick<StatusDocument, 'unreadBefore' | 'deniedAt'> {
  return { unreadBefore: text(unreadBefore), deniedAt: text(deniedAt) };
}

function pointDocument({ id, at, ageSeconds }: AgedPoint): NonNullable<StatusDocument['databases'][number]['newestProven']> {
  return { id, snapshotInstant: at.toString(), ageSeconds };
}

function verificationDocument(entry: VerificationEntry): VerificationHistoryDocument['databases'][number]['verifications'][number] {
  const { run, at, backup, outcome, attached, kind, profile, jobs, rtoSeconds, phases, bytes, rpoSeconds, worstGapSeconds, checks } = entry;
  return {
    ...{ run, at: at.toString(), backup, outcome, attached, kind, profile, jobs, rtoSeconds, phases: [...phases], bytes, rpoSeconds },
    ...{ worstGapSeconds, failedChecks: failedChecks(checks) },
  };
}

export function failedChecks(checks: VerificationEntry['checks']): VerificationEntry['checks'][number]['id'][] {
  return [...new Set(checks.flatMap(({ id, status }) => (status === 'fail' ? [id] : [])))];
}

type Figures = Pick<StatusDocument['databases'][number], 'rto' | 'forecast'>;

function figuresDocument({ rto, forecast }: DatabaseStatus): Figures {
  return { rto: rto === undefined ? null : rtoDocument(rto), forecast: forecast === undefined ? null : forecastDocument(forecast) };
}

function rtoDocument({ newest, medianSeconds, worst, runs, trendSecondsPerMonth }: NonNullable<DatabaseStatus['rto']>): Figures['rto'] {
  const { run, backup, at, rtoSeconds: seconds, phases, kind, profile, jobs } = newest;
  return {
    newest: { run, backup, at: at.toString(), seconds, phases: [...phases] },
    ...{ kind, profile, jobs, medianSeconds, worstSeconds: worst.rtoSeconds, runs, trendSecondsPerMonth },
  };
}

function forecastDocument({ method, basis, now, growth, projected, breaks }: NonNullable<DatabaseStatus['forecast']>): Figures['forecast'] {
  return {
    ...{ method, ...basis, now, bytesPerMonth: growth?.bytesPerMonth ?? null, projected: [...projected] },
    breaks: breaks === undefined ? null : { expected: text(breaks.expected), earliest: text(breaks.earliest) },
  };
}
