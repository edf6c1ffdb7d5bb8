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

const backupOf = (now: string, backups: readonly string[], denied?: string) => {
  const report = { at: at(now), deniedAt: denied === undefined ? undefined : at(denied) };
  const found = scheduleOf(config, status(backups), report).find(({ operation }) => operation === 'backup');
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

  it('calls nothing overdue that a run may have covered whose record may not be read', () => {
    const before = ['2026-11-19T01:00:00Z'];
    expect(backupOf('2026-11-20T01:16:00Z', before, '2026-11-20T01:00:03Z').overdue).toBe(false);
    expect(backupOf('2026-11-20T01:16:00Z', before, '2026-11-20T00:59:00Z').overdue).toBe(true);
  });

  it('takes a later backup for it, whoever made it', () => {
    expect(backupOf('2026-11-20T12:00:00Z', ['2026-11-19T01:00:00Z', '2026-11-20T09:00:00Z']).overdue).toBe(false);
  });

  it('misses nothing before the first backup', () => {
    expect(backupOf('2026-11-20T12:00:00Z', []).overdue).toBe(false);
  });
});
