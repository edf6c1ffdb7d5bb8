import { Temporal } from 'temporal-polyfill';
import { describe, expect, it } from 'vitest';
import { DAY_MS, daemon, failed, HOUR_MS, jobOf, MINUTE_MS, records, runAt, short, succeeded } from './jobs.ts';

const elsewhere = { ...failed, elsewhere: true };
const nightly = jobOf('0 2 * * *', { retry: { attempts: 0, backoffMs: HOUR_MS, windowMs: 0 } });

function caredFor() {
  const history = records();
  history.all.push({ job: 'backup:shop', ...runAt('2026-11-25T03:00:00Z') });
  return history;
}

describe('a job that another instance is doing', () => {
  it('is looked at again after seconds, then less and less often, each minute at last: for hours, whatever it says of retries', async () => {
    const d = daemon({ start: '2026-11-26T01:59:00Z', jobs: [nightly], history: caredFor(), work: () => ({ ms: 0, outcome: elsewhere }) });
    const seconds: number[] = [];
    d.scheduler.status();
    for (let second = 0; second < 3600; second += 1) {
      const before = d.started.length;
      await d.time.advance(1000);
      if (d.started.length > before) seconds.push(second - 59);
    }
    expect(seconds.slice(0, 6)).toEqual([0, 5, 10, 15, 20, 25]);
    const gaps = seconds.slice(1).map((at, index) => at - (seconds[index] ?? 0));
    expect(gaps.toSorted((a, b) => a - b)).toEqual(gaps);
    expect(gaps.slice(-30)).toEqual(new Array(30).fill(60));
    await d.time.advance(10 * HOUR_MS);
    expect(d.started.length).toBeGreaterThan(seconds.length + 590);
  });

  it('is told once as begun and once as being done elsewhere, and counts as no failure', async () => {
    const d = daemon({ start: '2026-11-26T01:59:00Z', jobs: [nightly], history: caredFor(), work: () => ({ ms: 0, outcome: elsewhere }) });
    await d.time.advance(2 * HOUR_MS);
    expect(d.events.map(({ type }) => type)).toEqual(['started', 'elsewhere']);
  });

  it('is taken over when that instance dies, for the same due time', async () => {
    const until = '2026-11-26T03:10:00Z';
    const d = daemon({
      ...{ start: '2026-11-26T01:59:00Z', jobs: [nightly], history: caredFor() },
      work: () => (short(d.host.now()) < until ? { ms: 0, outcome: elsewhere } : { ms: 10_000, outcome: succeeded }),
    });
    await d.time.advance(20 * HOUR_MS);
    expect(d.started.at(-1)).toMatchObject({ dueAt: '2026-11-26T02:00Z' });
    expect(d.started.at(-1)?.at.slice(0, 15)).toBe('2026-11-26T03:1');
    expect(d.events.map(({ type }) => type)).toEqual(['started', 'elsewhere', 'finished']);
    await d.time.advance(DAY_MS);
    expect(d.events.slice(3)).toMatchObject([
      { type: 'started', start: { dueAt: Temporal.Instant.from('2026-11-27T02:00:00Z') } },
      { type: 'finished' },
    ]);
  });

  it('is done with once that instance’s run is on record', async () => {
    const history = caredFor();
    const d = daemon({ start: '2026-11-26T01:59:00Z', jobs: [nightly], history, work: () => ({ ms: 0, outcome: elsewhere }) });
    await d.time.advance(30 * MINUTE_MS);
    history.all.push({ job: 'backup:shop', ...runAt('2026-11-26T02:00:00Z', succeeded, 29) });
    await d.time.advance(3 * MINUTE_MS);
    const looks = d.started.length;
    await d.time.advance(20 * HOUR_MS);
    expect(d.started).toHaveLength(looks);
    expect(d.reports()).toEqual([]);
  });

  it('is shown with the time of the next look, so that nobody takes it for overdue', async () => {
    const d = daemon({ start: '2026-11-26T01:59:00Z', jobs: [nightly], history: caredFor(), work: () => ({ ms: 0, outcome: elsewhere }) });
    await d.time.advance(31 * MINUTE_MS);
    const [status] = d.scheduler.status();
    expect(status?.running).toBeUndefined();
    expect(status?.next?.why).toBe('retry');
    expect(Number(status?.next?.at.epochMilliseconds)).toBeGreaterThan(d.host.now().epochMilliseconds);
    expect(short(status?.next?.dueAt ?? d.host.now())).toBe('2026-11-26T02:00Z');
  });

  it('keeps no other job from its turn', async () => {
    const history = caredFor();
    const jobs = [nightly, jobOf('10 2 * * *', { database: 'crm' })];
    history.all.push({ job: 'backup:crm', ...runAt('2026-11-25T03:00:00Z') });
    const work = ({ job }: { job: { id: string } }) => ({ ms: 0, outcome: job.id === 'backup:shop' ? elsewhere : succeeded });
    const d = daemon({ start: '2026-11-26T01:59:00Z', jobs, parallel: 1, history, work });
    await d.time.advance(HOUR_MS);
    expect(d.started.filter(({ job }) => job === 'backup:crm')).toMatchObject([{ at: '2026-11-26T02:10Z' }]);
  });
});

it('a scheduler that is being stopped is not stuck, however long its jobs take to end', async () => {
  const d = daemon({ start: '2026-11-26T01:59:00Z', jobs: [nightly], history: caredFor(), work: () => ({ ms: HOUR_MS }) });
  await d.time.advance(2 * MINUTE_MS);
  const stopped = d.scheduler.stop(2 * HOUR_MS);
  await d.time.advance(30 * MINUTE_MS);
  expect(d.scheduler.isStuck()).toBe(false);
  await d.time.advance(HOUR_MS);
  await stopped;
});
