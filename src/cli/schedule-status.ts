import type { Config } from '../config/config.ts';
import { scheduledJobs } from '../config/schedule.ts';
import { dueAround } from '../daemon/schedule.ts';
import type { DatabaseStatus, StatusReport } from '../operations/status.ts';
import type { Instant } from '../platform/clock.ts';

/** A job of one database: when it was last due, whether anything has run for that, and when it is due next. */
export interface ScheduledStatus {
  readonly operation: 'backup' | 'verify';
  readonly lastDue: Instant | undefined;
  /** It was due, and neither that run nor a later one has begun, whoever should have begun it. */
  readonly overdue: boolean;
  readonly next: Instant | undefined;
}

/** A daemon begins within its jitter, and catches up within ten minutes of waking; after this it is late, ms. */
const PATIENCE_MS = 15 * 60_000;

/**
 * What the configuration schedules for a database, against what ran. Nothing is overdue that was due before there was any backup, nor
 * what a run may have covered whose record this user may not read; but a backup that was made is there to be seen.
 */
export function scheduleOf(
  config: Config,
  { database, history, newest }: DatabaseStatus,
  { at: now, deniedAt }: Pick<StatusReport, 'at' | 'deniedAt'>,
): readonly ScheduledStatus[] {
  return scheduledJobs(config).flatMap(({ operation, database: of, cron, zone, jitterMs }) => {
    if (of !== database || operation === 'prune') return [];
    const { last, next } = dueAround(cron, zone, now);
    const ran = history.lastRuns[operation]?.startedAt;
    const isOver = last !== undefined && now.epochMilliseconds - last.epochMilliseconds > PATIENCE_MS + jitterMs;
    const unseen = operation === 'backup' ? newest?.at : deniedAt;
    const isCovered = last === undefined || [ran, unseen].some((at) => at !== undefined && at.epochMilliseconds >= last.epochMilliseconds);
    const wasThere = history.lastGoodBackup !== undefined && last !== undefined && hadBegun(history.tally.backups, last);
    return [{ operation, lastDue: last, next, overdue: isOver && !isCovered && wasThere }];
  });
}

/** Whether there was a backup before: a schedule that was written down yesterday was not missed last month. */
function hadBegun(backups: DatabaseStatus['history']['tally']['backups'], due: Instant): boolean {
  return backups.some(({ at }) => at < due.epochMilliseconds);
}
