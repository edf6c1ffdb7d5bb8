import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Config } from '../../../src/config/config.ts';
import { loadConfig } from '../../../src/config/load.ts';
import { problemsOf } from '../../../src/config/problems.ts';
import { scheduledJobs } from '../../../src/config/schedule.ts';

let cwd: string;
beforeEach(() => {
  cwd = mkdtempSync(join(tmpdir(), 'jetbackup-schedule-'));
});
afterEach(() => rmSync(cwd, { recursive: true, force: true }));

function load(yaml: string | undefined, env: Record<string, string> = {}): Config {
  if (yaml !== undefined) writeFileSync(join(cwd, 'jetbackup.yaml'), yaml, { mode: 0o600 });
  return loadConfig({ cwd, env, search: [join(cwd, 'jetbackup.yaml')] });
}

function complaints(yaml: string, env: Record<string, string> = {}): string[] {
  try {
    load(yaml, env);
  } catch (error) {
    return problemsOf(error).map(
      ({ source, line, column, message }) => `${source}${line === undefined ? '' : `:${line}:${column}`}: ${message}`,
    );
  }
  return [];
}

const base = 'repository: file:///b\ntimezone: Europe/Berlin\n';
const shop = 'databases:\n  - name: shop\n    url: postgres://app@db/shop\n';
const jobs = (config: Config) => scheduledJobs(config).map(({ id, cron, zone }) => `${id} ${cron.text} ${zone}`);

describe('without a word about schedules', () => {
  it('databases are backed up at two each night, verified monthly, pruned after each backup, and what was missed is caught up', () => {
    const config = load(base + shop);
    expect(jobs(config)).toEqual(['backup:shop 0 2 * * * Europe/Berlin', 'verify:shop 0 4 1 * * Europe/Berlin']);
    expect(config.daemon).toMatchObject({
      parallel: 2,
      jitterMs: 0,
      catchUpMs: 600_000,
      retry: { attempts: 3, backoffMs: 300_000, windowMs: 21_600_000 },
      prune: 'after-backup',
      drill: { text: '0 5 1 1,4,7,10 *' },
    });
    expect(config.warnings).toEqual([]);
  });
});

describe('a schedule', () => {
  it('of a database stands before that of all, and may be off', () => {
    const config = load(
      `${base}schedule: 0 3 * * *\n${shop}  - { name: b, url: postgres://app@db/b, schedule: "*/15 * * * *" }\n  - { name: c, url: postgres://app@db/c, schedule: off }\nverify: { schedule: off }\n`,
    );
    expect(jobs(config)).toEqual(['backup:shop 0 3 * * * Europe/Berlin', 'backup:b */15 * * * * Europe/Berlin']);
    expect(jobs(load(`${base}schedule: off\n${shop}verify: { schedule: off }\n`))).toEqual([]);
  });

  it('of verifying and of pruning is read beside what else they have', () => {
    const config = load(`${base}${shop}verify: { schedule: 0 4 * * sun#1, profile: durable }\nprune: { schedule: "@weekly" }\n`);
    expect(jobs(config).slice(1)).toEqual(['verify:shop 0 4 * * sun#1 Europe/Berlin', 'prune @weekly Europe/Berlin']);
    expect(load(`${base}${shop}prune: { schedule: off }\n`).daemon.prune).toBeUndefined();
  });

  it('of drills is read, with a warning that nothing runs by it yet', () => {
    expect(load(`${base}${shop}drill: { schedule: 0 5 1 6 * }\n`).warnings).toEqual([
      expect.objectContaining({ text: expect.stringContaining('runs no drills yet') }),
    ]);
  });

  it('comes from JETBACKUP_SCHEDULE where no file configures databases', () => {
    const env = { JETBACKUP_REPOSITORY: 'file:///b', DATABASE_URL: 'postgres://app@db/shop', JETBACKUP_SCHEDULE: '30 1 * * *' };
    expect(jobs(load(undefined, env))[0]).toBe('backup:shop 30 1 * * * UTC');
  });
});

describe('the daemon', () => {
  it('has its limits read', () => {
    const { daemon } = load(
      `${base}${shop}daemon: { parallel: 4, jitter: 20m, catchUp: off, retry: { attempts: 0, backoff: 1m, window: 2h } }\n`,
    );
    expect(daemon).toMatchObject({
      parallel: 4,
      jitterMs: 1_200_000,
      catchUpMs: undefined,
      retry: { attempts: 0, backoffMs: 60_000, windowMs: 7_200_000 },
    });
  });
});

describe('what is wrong is refused with its place', () => {
  it.each([
    ['schedule: 0 25 * * *', 'jetbackup.yaml:3:1: "schedule": hour: "25" is not from 0 to 23'],
    ['schedule: nightly', 'jetbackup.yaml:3:1: "schedule": "nightly" has 1 of the five fields'],
    ['verify: { schedule: 0 4 30 2 * }', 'jetbackup.yaml:3:11: "verify.schedule": no month that is meant has a day 30'],
    ['prune: { schedule: after }', 'jetbackup.yaml:3:10: "prune.schedule": "after" has 1 of the five fields'],
    ['drill: { schedule: 0 0 0 0 0 }', 'jetbackup.yaml:3:10: "drill.schedule": day of month: "0" is not from 1 to 31'],
    ['daemon: { parallel: 0 }', 'jetbackup.yaml:3:11: "daemon.parallel": must be a whole number from 1 to 64'],
    ['daemon: { catchUp: never }', 'jetbackup.yaml:3:11: "daemon.catchUp": must be off, or a duration'],
    ['daemon: { jitter: 1mo }', 'jetbackup.yaml:3:11: "daemon.jitter": must be a duration'],
    ['daemon: { retry: { backoff: 5s } }', 'jetbackup.yaml:3:20: "daemon.retry.backoff": must be 1m or more'],
    ['daemon: { retrys: {} }', 'jetbackup.yaml:3:11: unknown key "retrys"; did you mean "retry"?'],
  ])('%s', (line, expected) => {
    expect(complaints(`${base}${line}\n${shop}`)[0]).toContain(expected);
  });

  it('with every problem of it at once, in a database too', () => {
    expect(complaints(`${base}${shop}    schedule: 61 25 * * *\n`)).toEqual([
      expect.stringContaining('"databases[0].schedule": minute: "61" is not from 0 to 59'),
      expect.stringContaining('"databases[0].schedule": hour: "25" is not from 0 to 23'),
    ]);
  });
});
