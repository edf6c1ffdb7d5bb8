import { Temporal } from 'temporal-polyfill';
import { describe, expect, it } from 'vitest';
import { scheduleOf } from '../../../src/cli/schedule-status.ts';
import { loadConfig } from '../../../src/config/load.ts';
import type { DatabaseStatus } from '../../../src/operations/status.ts';

const at = (text: string) => Temporal.Instant.from(text);
const config = loadConfig({
  env: {
    JETBACKUP_REPOSITORY: 'file:///backups',
    DATABASE_URL: 'postgres://app@db/shop',
    JETBACKUP_SCHEDULE: '0 2 * * *',
    JETBACKUP_TIMEZONE: 'Europe/Berlin',
  },
  cwd: '/nowhere',
  search: [],
});

function status(backups: readonly string[]): DatabaseStatus {
  const last = backups.at(-1);
  const run = last === undefined ? undefined : { startedAt: at(last) };
  return {
    database: 'shop',
    history: {
      tally: { backups: backups.map((text) => ({ backup: null, at: at(text).epochMilliseconds })) },
      lastGoodBackup: run,
      lastRuns: run === undefined ? {} : { backup: run },
    },
  } as unknown as DatabaseStatus;
}

const backupOf = (now: string, backups: readonly string[]) => {
  const found = scheduleOf(config, status(backups), { at: at(now), deniedAt: undefined }).find(({ operation }) => operation === 'backup');
  return { lastDue: found?.lastDue?.toString(), overdue: found?.overdue, next: found?.next?.toString() };
};

describe('what status says of the schedule', () => {
  it('knows the last and the next time, in the configured zone', () => {
    expect(backupOf('2026-11-20T12:00:00Z', ['2026-11-20T01:00:00Z'])).toEqual({
      lastDue: '2026-11-20T01:00:00Z',
      overdue: false,
      next: '2026-11-21T01:00:00Z',
    });
  });

  it('calls a backup overdue when its time has passed by a quarter of an hour and nothing has run', () => {
    const before = ['2026-11-19T01:00:00Z'];
    expect(backupOf('2026-11-20T01:14:00Z', before).overdue).toBe(false);
    expect(backupOf('2026-11-20T01:16:00Z', before).overdue).toBe(true);
  });

  it('calls no verification overdue that a run may have been whose record may not be read; a backup can be seen', () => {
    const overdue = (denied: string | undefined, newest?: string) => {
      const report = { at: at('2026-12-01T04:00:00Z'), deniedAt: denied === undefined ? undefined : at(denied) };
      const seen = newest === undefined ? {} : { newest: { at: at(newest) } };
      const found = scheduleOf(config, { ...status(['2026-11-19T01:00:00Z']), ...seen } as DatabaseStatus, report);
      return found.filter((one) => one.overdue).map(({ operation }) => operation);
    };
    expect(overdue(undefined)).toEqual(['backup', 'verify']);
    expect(overdue('2026-12-01T03:30:00Z')).toEqual(['backup']);
    expect(overdue('2026-12-01T03:30:00Z', '2026-12-01T01:00:05Z')).toEqual([]);
    expect(overdue('2026-11-20T01:00:00Z', '2026-12-01T01:00:05Z')).toEqual(['verify']);
  });

  it('takes a later backup for it, whoever made it', () => {
    expect(backupOf('2026-11-20T12:00:00Z', ['2026-11-19T01:00:00Z', '2026-11-20T09:00:00Z']).overdue).toBe(false);
  });

  it('misses nothing before the first backup', () => {
    expect(backupOf('2026-11-20T12:00:00Z', []).overdue).toBe(false);
  });
});
