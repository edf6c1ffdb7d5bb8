import { Temporal } from 'temporal-polyfill';
import { describe, expect, it, vi } from 'vitest';
import { dueBetween } from '../../../src/daemon/schedule.ts';
import { createFakeTime } from '../../support/fake-time.ts';
import { DAY_MS, daemon, failed, HOUR_MS, hopeless, jobOf, MINUTE_MS, records, runAt, short } from './jobs.ts';
import { at, instant, ms, zones } from './wall-clock.ts';

/** A repository whose nightly job ran last night. */
function caredFor(...ids: string[]) {
  const history = records();
  for (const job of ids.length === 0 ? ['backup:shop'] : ids) history.all.push({ job, ...runAt('2026-11-25T03:00:00Z') });
  return history;
}
const nightly = jobOf('0 2 * * *');

// Thousands of turns of the loop: a second each, and a loaded machine may take ten times that.
vi.setConfig({ testTimeout: 60_000 });

describe('two years of a daemon', () => {
  const beginnings: Readonly<Record<string, string>> = {
    'Pacific/Apia': '2011-01-01T12:00:00Z',
    'America/Sao_Paulo': '2017-06-01T12:00:00Z',
  };

  it.each(zones)('in %s run each job exactly once for each due time', async (zone) => {
    const start = beginnings[zone] ?? '2026-01-01T12:00:00Z';
    const end = ms(start) + 730 * DAY_MS;
    const expressions = ['30 2 * * *', '0 4 1 * *', '0 5 1 1,4,7,10 *'];
    const operations = ['backup', 'verify', 'drill'] as const;
    const jobs = expressions.map((cron, index) => jobOf(cron, { operation: operations[index] ?? 'prune', database: `db${index}`, zone }));
    const history = records();
    for (const { id } of jobs) history.all.push({ job: id, ...runAt(start) });
    const d = daemon({ start, jobs, history, longestSleepMs: DAY_MS, parallel: 3 });
    await d.time.advance(730 * DAY_MS);
    await d.kill();
    for (const job of jobs) {
      const due = dueBetween(job.cron, zone, instant(start), at(end), 10_000).map(short);
      const runs = d.started.filter((run) => run.job === job.id);
      expect(runs.map(({ dueAt }) => dueAt)).toEqual(due);
      expect(runs.map((run) => run.at)).toEqual(due);
      expect(new Set(runs.map(({ why }) => why))).toEqual(new Set(['due']));
    }
    expect(d.events.filter(({ type }) => type !== 'started' && type !== 'finished')).toEqual([]);
  });
});

describe('a daemon that looks at the clock each minute', () => {
  it.each([
    ['the hour that is skipped', '2026-03-28T12:00:00Z', ['2026-03-29T01:00Z', '2026-03-30T00:30Z']],
    ['the hour that comes twice', '2026-10-24T12:00:00Z', ['2026-10-25T00:30Z', '2026-10-26T01:30Z']],
  ])('runs a job of 02:30 once in the night of %s', async (_, start, expected) => {
    const history = records();
    history.all.push({ job: 'backup:shop', ...runAt(start) });
    const d = daemon({ start, jobs: [jobOf('30 2 * * *', { zone: 'Europe/Berlin' })], history });
    await d.time.advance(2 * DAY_MS);
    expect(d.started.map((run) => run.at)).toEqual(expected);
  });

  it('tells when it last looked, and that it is stuck when it has not for three minutes', async () => {
    const d = daemon({ jobs: [nightly], history: caredFor() });
    await d.time.advance(10 * MINUTE_MS);
    expect(d.scheduler.lastTick()).toEqual(d.time.now());
    expect(d.scheduler.isStuck()).toBe(false);
    d.host.stop();
    await d.time.advance(2 * MINUTE_MS);
    expect(d.scheduler.isStuck()).toBe(false);
    await d.time.advance(2 * MINUTE_MS);
    expect(d.scheduler.isStuck()).toBe(true);
    d.host.resume();
    await d.time.advance(MINUTE_MS);
    expect(d.scheduler.isStuck()).toBe(false);
  });
});

describe('what was missed', () => {
  it('while the daemon was not running is caught up once when it starts, after a spread', async () => {
    const d = daemon({ start: '2026-11-30T09:00:00Z', jobs: [nightly], history: caredFor() });
    await d.time.advance(11 * MINUTE_MS);
    expect(d.started).toMatchObject([{ why: 'catch-up', dueAt: '2026-11-30T02:00Z' }]);
    expect(d.reports()).toMatchObject([{ kind: 'missed', count: 5, caughtUp: true }]);
    await d.time.advance(DAY_MS);
    expect(d.started.slice(1)).toMatchObject([{ why: 'due', dueAt: '2026-12-01T02:00Z' }]);
  });

  it.each(['suspend', 'stop'] as const)('while the machine was asleep (%s) is caught up once when it wakes', async (how) => {
    const d = daemon({ jobs: [nightly], history: caredFor() });
    await d.time.advance(HOUR_MS);
    d.host[how]();
    await d.time.advance(4 * DAY_MS);
    d.host.resume();
    await d.time.advance(20 * MINUTE_MS);
    expect(d.started).toMatchObject([{ why: 'catch-up', dueAt: '2026-11-29T02:00Z' }]);
    expect(ms(`${d.started[0]?.at.slice(0, 16)}:00Z`)).toBeLessThanOrEqual(ms('2026-11-29T13:12:00Z'));
    await d.time.advance(DAY_MS);
    expect(d.started).toHaveLength(2);
  });

  it('is not caught up by a second daemon that starts meanwhile, nor again by a restarted one', async () => {
    const history = caredFor();
    const time = createFakeTime('2026-11-30T09:00:00Z');
    const first = daemon({ time, jobs: [nightly], history });
    await time.advance(20 * MINUTE_MS);
    await first.kill();
    const second = daemon({ time, jobs: [nightly], history });
    await time.advance(HOUR_MS);
    expect([first.started.length, second.started.length]).toEqual([1, 0]);
  });

  it('is not run when somebody else has run it while the daemon was waiting for its own minute', async () => {
    const history = caredFor();
    const d = daemon({ jobs: [{ ...nightly, jitterMs: 30 * MINUTE_MS }], history });
    await d.time.advance(14 * HOUR_MS);
    history.all.push({ job: 'backup:shop', ...runAt('2026-11-26T02:00:10Z') });
    await d.time.advance(2 * HOUR_MS);
    expect(d.started).toEqual([]);
    await d.time.advance(DAY_MS);
    expect(d.started).toHaveLength(1);
  });

  it('was not missed where the repository cannot be read, until it can be', async () => {
    const history = caredFor();
    let broken = true;
    const { read } = history;
    const unreadable = {
      ...history,
      read: async (...args: Parameters<typeof read>) => (broken ? Promise.reject(new Error('no store')) : read(...args)),
    };
    const d = daemon({ start: '2026-11-30T09:00:00Z', jobs: [nightly], history: unreadable });
    await d.time.advance(30 * MINUTE_MS);
    expect(d.started).toEqual([]);
    expect(d.events[0]).toEqual({ type: 'history-unreadable', text: 'no store' });
    broken = false;
    await d.time.advance(2 * MINUTE_MS);
    expect(d.started).toMatchObject([{ why: 'catch-up' }]);
  });

  it('is found even when the store does not answer at all, and the daemon is not stuck over it', async () => {
    const history = { ...caredFor(), read: () => new Promise<never>(() => {}) };
    const d = daemon({ start: '2026-11-30T01:30:00Z', jobs: [nightly], history });
    await d.time.advance(HOUR_MS);
    expect(d.scheduler.isStuck()).toBe(false);
    expect(d.started).toMatchObject([{ why: 'due', dueAt: '2026-11-30T02:00Z' }]);
  });

  it('after random outages is one run for each outage that held a due time, and each other due time has its own', async () => {
    // An own generator, so that the same numbers come each time.
    let seed = 7;
    const random = (below: number) => {
      seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31;
      return seed % below;
    };
    const job = jobOf('0 */6 * * *', { zone: 'Europe/Berlin' });
    const history = records();
    history.all.push({ job: job.id, ...runAt('2026-03-01T12:00:00Z') });
    const time = createFakeTime('2026-03-01T12:00:00Z');
    let expected = 0;
    let runs = 0;
    for (let outage = 0; outage < 40; outage += 1) {
      const d = daemon({ time, jobs: [job], history, longestSleepMs: HOUR_MS });
      const up = time.now();
      // Long enough for the spread; whole minutes and a half, so that nothing is due in the moment of the end.
      await time.advance((20 + random(2000)) * MINUTE_MS + 30_000);
      await d.kill();
      const down = time.now();
      const mine = dueBetween(job.cron, job.zone, up, down, 100).map(short);
      expect(d.started.filter(({ why }) => why === 'due').map(({ dueAt }) => dueAt)).toEqual(mine);
      expected += mine.length;
      runs += d.started.length;
      const asleep = random(3000) * MINUTE_MS;
      await time.advance(asleep);
      if (outage < 39 && dueBetween(job.cron, job.zone, down, time.now(), 1).length > 0) {
        expected += 1;
      }
    }
    // A due time that comes within the spread does for what was missed.
    expect(runs).toBeLessThanOrEqual(expected);
    expect(runs).toBeGreaterThanOrEqual(expected - 3);
  });
});

describe('a clock that is set', () => {
  it.each([
    ['back by an hour after the run', '2026-11-26T02:10:00Z', { hours: -1 }],
    ['back by three days after the run', '2026-11-26T02:10:00Z', { hours: -72 }],
    ['on by an hour before the run, and back', '2026-11-26T01:30:00Z', { hours: 1 }],
  ])('%s neither doubles nor loses a run', async (_, when, by) => {
    const d = daemon({ jobs: [nightly], history: caredFor() });
    await d.time.advance(ms(when) - d.time.now().epochMilliseconds);
    d.host.jump(by);
    await d.time.advance(5 * MINUTE_MS);
    const back = Temporal.Duration.from(by).negated();
    if (by.hours > 0) d.host.jump(back);
    await d.time.advance(6 * DAY_MS);
    const due = d.started.map(({ dueAt }) => dueAt);
    expect(new Set(due).size).toBe(due.length);
    // Nights that the clock shows again from before the daemon began are nights all the same.
    const all = dueBetween(nightly.cron, 'UTC', instant('2026-11-25T12:00:00Z'), d.host.now(), 100).map(short);
    expect(due.filter((one) => one >= '2026-11-25T12').toSorted()).toEqual(all);
  });

  it('on by a year runs one job for all of it, and back again the usual ones', async () => {
    const quarterly = jobOf('*/15 * * * *');
    const history = caredFor();
    history.all.push({ job: 'backup:shop', ...runAt('2026-11-25T12:00:00Z') });
    const d = daemon({ jobs: [quarterly], history });
    await d.time.advance(37 * MINUTE_MS);
    expect(d.started).toHaveLength(2);
    d.host.jump({ hours: 365 * 24 });
    await d.time.advance(6 * MINUTE_MS);
    expect(d.started.slice(2)).toMatchObject([{ why: 'catch-up', dueAt: '2027-11-25T12:30Z' }]);
    d.host.jump({ hours: -365 * 24 });
    await d.time.advance(60 * MINUTE_MS);
    expect(d.started.slice(3).map(({ dueAt, why }) => `${why} ${dueAt}`)).toEqual([
      'due 2026-11-25T12:45Z',
      'due 2026-11-25T13:00Z',
      'due 2026-11-25T13:15Z',
      'due 2026-11-25T13:30Z',
    ]);
  });

  it('a year ahead when the daemon starts, and right later on, does not make it catch up twice', async () => {
    const time = createFakeTime('2026-11-30T09:00:00Z');
    const host = time.host({ ahead: { hours: 365 * 24 } });
    const d = daemon({ time, host, jobs: [nightly], history: caredFor() });
    await time.advance(15 * MINUTE_MS);
    host.jump({ hours: -365 * 24 });
    await time.advance(2 * DAY_MS);
    expect(d.started.map(({ why, dueAt }) => `${why} ${dueAt}`)).toEqual([
      'catch-up 2027-11-30T02:00Z',
      'due 2026-12-01T02:00Z',
      'due 2026-12-02T02:00Z',
    ]);
  });

  it('back and forth all day, by up to two hours, leaves each due time of every quarter with one run', async () => {
    const job = jobOf('*/15 * * * *', { catchUpMs: undefined });
    const history = records();
    history.all.push({ job: job.id, ...runAt('2026-11-25T12:00:00Z') });
    const d = daemon({ jobs: [job], history });
    for (const minutes of [-7, -50, 20, -3, -120, 0.2, -16, 90, -90, -31]) {
      await d.time.advance(47 * MINUTE_MS);
      d.host.jump({ seconds: minutes * 60 });
    }
    await d.time.advance(8 * HOUR_MS);
    const due = d.started.map(({ dueAt }) => dueAt);
    expect(new Set(due).size).toBe(due.length);
    // 15:20 became 16:50, and that 16:07 later on: what lies between was never shown.
    const all = dueBetween(job.cron, 'UTC', instant('2026-11-25T12:00:00Z'), d.host.now(), 1000).map(short);
    expect(all.filter((one) => !due.includes(one))).toEqual(['2026-11-25T15:30Z', '2026-11-25T15:45Z', '2026-11-25T16:00Z']);
  });
});

describe('a job that fails', () => {
  it('is tried again with longer and longer waits, and then left', async () => {
    const d = daemon({ jobs: [nightly], history: caredFor(), work: () => ({ outcome: failed }) });
    await d.time.advance(DAY_MS);
    expect(d.started).toMatchObject([
      { why: 'due', attempt: 1, at: '2026-11-26T02:00Z' },
      { why: 'retry', attempt: 2 },
      { why: 'retry', attempt: 3 },
      { why: 'retry', attempt: 4 },
    ]);
    const minutes = d.started.map((run) => (ms(run.at.replace('Z', ':00Z')) - ms('2026-11-26T02:00:00Z')) / MINUTE_MS);
    expect(minutes[1]).toBeLessThanOrEqual(7);
    expect(minutes[3]).toBeGreaterThanOrEqual(35);
    expect(minutes[3]).toBeLessThanOrEqual(45);
    expect(d.reports()).toMatchObject([{ kind: 'gave-up', attempts: 4 }]);
  });

  it('and would again is left until the next night', async () => {
    const d = daemon({
      jobs: [nightly],
      history: caredFor(),
      work: (_, count) => ({ outcome: count === 0 ? hopeless : { result: 'succeeded', retryable: false } }),
    });
    await d.time.advance(2 * DAY_MS);
    expect(d.started).toMatchObject([{ why: 'due' }, { why: 'due' }]);
    expect(d.reports()).toMatchObject([{ kind: 'gave-up', attempts: 1 }]);
  });

  it('counts its attempts over a restart of the daemon', async () => {
    const history = caredFor();
    const time = createFakeTime('2026-11-26T01:00:00Z');
    const first = daemon({ time, jobs: [nightly], history, work: () => ({ outcome: failed }) });
    await time.advance(75 * MINUTE_MS);
    await first.kill();
    const second = daemon({ time, jobs: [nightly], history, work: () => ({ outcome: failed }) });
    await time.advance(20 * HOUR_MS);
    expect([...first.started, ...second.started].map(({ attempt }) => attempt)).toEqual([1, 2, 3, 4]);
  });
});

describe('jobs at once', () => {
  const jobs = ['a', 'b', 'c', 'd'].map((database) => jobOf('0 2 * * *', { database }));
  const ids = jobs.map(({ id }) => id);

  it('are no more than the limit, and all of them run', async () => {
    const d = daemon({ jobs, history: caredFor(...ids), work: () => ({ ms: 20 * MINUTE_MS }) });
    await d.time.advance(DAY_MS);
    expect(Math.max(...d.concurrent.map((one) => one.length))).toBe(2);
    expect(d.started.map(({ job }) => job).toSorted()).toEqual(ids);
    expect(d.started.map((run) => run.at)).toEqual(['2026-11-26T02:00Z', '2026-11-26T02:00Z', '2026-11-26T02:20Z', '2026-11-26T02:20Z']);
    expect(d.started.every(({ why }) => why === 'due')).toBe(true);
  });

  it('are of one database a backup and a verification at most', async () => {
    const both = [nightly, jobOf('0 2 * * *', { operation: 'verify' })];
    const d = daemon({ jobs: both, history: caredFor('backup:shop', 'verify:shop'), work: () => ({ ms: 20 * MINUTE_MS }) });
    await d.time.advance(DAY_MS);
    expect(d.started).toHaveLength(2);
    expect(Math.max(...d.concurrent.map((one) => one.length))).toBe(2);
  });

  it('are backups first: verifications that take hours leave them a place', async () => {
    const names = ['a', 'b', 'c', 'd'];
    const jobs = names.flatMap((database) => [
      jobOf('0 * * * *', { database, id: `backup:${database}` }),
      jobOf('0 4 * * *', { operation: 'verify', database, id: `verify:${database}` }),
    ]);
    const d = daemon({
      jobs,
      history: caredFor(...jobs.map(({ id }) => id)),
      work: ({ job }) => ({ ms: job.operation === 'verify' ? 60 * MINUTE_MS : MINUTE_MS }),
    });
    await d.time.advance(DAY_MS);
    const backups = d.started.filter(({ job }) => job.startsWith('backup:'));
    // Each of the 24 hours of each database, but for the first that lies before the start.
    expect(backups.length).toBeGreaterThanOrEqual(4 * 23);
    expect(d.started.filter(({ job, why }) => job.startsWith('verify:') && why === 'due')).toHaveLength(4);
  });

  it('that outlive their schedule are reported, not doubled, and run once for what came due meanwhile', async () => {
    const history = caredFor();
    history.all.push({ job: 'backup:shop', ...runAt('2026-11-25T12:00:00Z') });
    const d = daemon({ jobs: [jobOf('*/15 * * * *')], history, work: (_, count) => ({ ms: count === 0 ? 50 * MINUTE_MS : 1000 }) });
    await d.time.advance(80 * MINUTE_MS);
    expect(d.reports().map(({ kind, dueAt }) => `${kind} ${short(dueAt)}`)).toEqual([
      'overrun 2026-11-25T12:30Z',
      'overrun 2026-11-25T12:45Z',
      'overrun 2026-11-25T13:00Z',
      'missed 2026-11-25T13:00Z',
    ]);
    expect(d.started.map((run) => `${run.dueAt} ${run.at}`)).toEqual([
      '2026-11-25T12:15Z 2026-11-25T12:15Z',
      '2026-11-25T13:00Z 2026-11-25T13:05Z',
      '2026-11-25T13:15Z 2026-11-25T13:15Z',
    ]);
  });

  it('are shown with what runs and what comes next', async () => {
    const d = daemon({
      jobs: [nightly, jobOf('0 3 * * *', { database: 'other' })],
      history: caredFor('backup:shop', 'backup:other'),
      work: () => ({ ms: HOUR_MS / 2 }),
    });
    await d.time.advance(14 * HOUR_MS + 5 * MINUTE_MS);
    expect(d.scheduler.status()).toMatchObject([
      { running: { why: 'due', startedAt: instant('2026-11-26T02:00:00Z') }, next: undefined },
      { running: undefined, next: { at: instant('2026-11-26T03:00:00Z'), why: 'due' } },
    ]);
  });
});

describe('a daemon that is asked to stop', () => {
  const long = () =>
    daemon({
      jobs: [nightly, jobOf('5 2 * * *', { database: 'other' })],
      history: caredFor('backup:shop', 'backup:other'),
      work: () => ({ ms: HOUR_MS }),
    });

  it('starts nothing more and waits for what runs', async () => {
    const d = long();
    await d.time.advance(14 * HOUR_MS + 60_000);
    const stopped = d.scheduler.stop(2 * HOUR_MS);
    await d.time.advance(61 * MINUTE_MS);
    await stopped;
    await d.over;
    expect(d.started).toHaveLength(1);
    expect(d.history.all.at(-1)).toMatchObject({ result: 'succeeded' });
  });

  it('aborts what runs when the grace is over', async () => {
    const d = long();
    await d.time.advance(14 * HOUR_MS + 60_000);
    const stopped = d.scheduler.stop(10_000);
    await d.time.advance(11_000);
    await stopped;
    await d.over;
    expect(d.events.at(-1)).toMatchObject({ type: 'finished', outcome: { result: 'interrupted' } });
    expect(d.aborted).toEqual([expect.objectContaining({ code: 'terminated' })]);
  });

  it('before it has done anything just ends', async () => {
    const d = long();
    await d.scheduler.stop(0);
    await d.over;
    expect(d.started).toEqual([]);
  });
});
