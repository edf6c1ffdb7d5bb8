import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type JobState, planJob, type Situation } from '../../../src/daemon/plan.ts';
import { DAY_MS, failed, HOUR_MS, hopeless, jobOf, MINUTE_MS, runAt } from './jobs.ts';
import { at, instant, ms } from './wall-clock.ts';

const nightly = jobOf('0 2 * * *');
const none: JobState = { runs: [], running: undefined };
const situation = (now: string | Situation['now'], rest: Partial<Situation> = {}): Situation => ({
  now: typeof now === 'string' ? instant(now) : now,
  awakeSince: instant('2026-11-01T00:00:00Z'),
  host: 'backup-1',
  knownSince: instant('2026-01-01T00:00:00Z'),
  ...rest,
});
const ran = (...runs: JobState['runs']): JobState => ({ runs, running: undefined });
const yesterday = runAt('2026-11-24T02:00:03Z');

describe('a job that came due while the daemon was awake', () => {
  it('starts, and waits for the next one when it has run', () => {
    expect(planJob(nightly, ran(yesterday), situation('2026-11-25T02:00:00Z')).start).toMatchObject({
      dueAt: instant('2026-11-25T02:00:00Z'),
      why: 'due',
      attempt: 1,
    });
    const plan = planJob(nightly, ran(yesterday, runAt('2026-11-25T02:00:01Z')), situation('2026-11-25T02:01:00Z'));
    expect(plan).toMatchObject({ start: undefined, next: { at: instant('2026-11-26T02:00:00Z'), why: 'due' }, reports: [] });
  });

  it('is not started when somebody else has run it since', () => {
    expect(planJob(nightly, ran(yesterday, runAt('2026-11-25T02:00:30Z')), situation('2026-11-25T02:01:00Z')).start).toBeUndefined();
  });

  it('is started although somebody ran it shortly before', () => {
    expect(planJob(nightly, ran(yesterday, runAt('2026-11-25T01:50:00Z')), situation('2026-11-25T02:01:00Z')).start).toMatchObject({
      why: 'due',
    });
  });

  it('starts at the host’s own minute where there is jitter, which is the same every night', () => {
    const job = { ...nightly, jitterMs: 30 * MINUTE_MS };
    const own = planJob(job, ran(yesterday), situation('2026-11-25T01:00:00Z')).next?.at.epochMilliseconds ?? 0;
    expect(own - ms('2026-11-25T02:00:00Z')).toBeGreaterThan(0);
    expect(own - ms('2026-11-25T02:00:00Z')).toBeLessThan(30 * MINUTE_MS);
    expect(planJob(job, ran(yesterday), situation('2026-11-25T02:00:00Z')).start).toBeUndefined();
    expect(planJob(job, ran(yesterday), situation(at(own))).start).toMatchObject({ why: 'due' });
    const next = planJob(job, ran(runAt(at(own))), situation('2026-11-25T03:00:00Z')).next?.at.epochMilliseconds ?? 0;
    expect(next - own).toBe(DAY_MS);
  });
});

describe('a job that was missed', () => {
  const since = (now: string) => situation(now, { awakeSince: instant(now) });

  it('is caught up once, later than waking by a spread of ten minutes at most, and says how many times it was missed', () => {
    const plan = planJob(nightly, ran(runAt('2026-11-20T02:00:00Z')), since('2026-11-25T09:00:00Z'));
    expect(plan.start).toBeUndefined();
    expect(plan.next).toMatchObject({ why: 'catch-up', dueAt: instant('2026-11-25T02:00:00Z') });
    const wait = (plan.next?.at.epochMilliseconds ?? 0) - ms('2026-11-25T09:00:00Z');
    expect(wait).toBeGreaterThan(0);
    expect(wait).toBeLessThan(10 * MINUTE_MS);
    expect(plan.reports).toMatchObject([{ kind: 'missed', count: 5, caughtUp: true }]);
    const after = planJob(nightly, ran(runAt('2026-11-25T09:05:00Z')), since('2026-11-25T09:10:00Z'));
    expect(after).toMatchObject({ start: undefined, next: { at: instant('2026-11-26T02:00:00Z') }, reports: [] });
  });

  it('is caught up within a quarter of its period where that is less', () => {
    const job = jobOf('*/15 * * * *', { catchUpMs: HOUR_MS });
    const plan = planJob(job, ran(runAt('2026-11-24T02:00:00Z')), since('2026-11-25T09:01:00Z'));
    expect((plan.next?.at.epochMilliseconds ?? 0) - ms('2026-11-25T09:01:00Z')).toBeLessThan(3.75 * MINUTE_MS);
    expect(plan.reports).toMatchObject([{ kind: 'missed', count: 100 }]);
  });

  it('is left and reported where catching up is off', () => {
    const plan = planJob({ ...nightly, catchUpMs: undefined }, ran(runAt('2026-11-23T02:00:00Z')), since('2026-11-25T09:00:00Z'));
    expect(plan).toMatchObject({ start: undefined, next: { at: instant('2026-11-26T02:00:00Z') } });
    expect(plan.reports).toMatchObject([{ kind: 'missed', count: 2, caughtUp: false }]);
  });

  it('counts as missed only where records tell of the time: a first verification comes when it is due, a first backup at once', () => {
    const verify = jobOf('0 4 1 * *', { operation: 'verify' });
    const young = { ...since('2026-11-25T09:00:00Z'), knownSince: instant('2026-11-20T00:00:00Z') };
    expect(planJob(verify, none, young).next).toMatchObject({ at: instant('2026-12-01T04:00:00Z'), why: 'due' });
    expect(planJob(verify, none, { ...young, knownSince: instant('2026-10-20T00:00:00Z') }).next).toMatchObject({ why: 'catch-up' });
    expect(planJob(nightly, none, young).next).toMatchObject({ why: 'catch-up' });
    expect(planJob(nightly, none, { ...young, knownSince: instant('2026-11-25T08:59:00Z') }).next).toMatchObject({ why: 'catch-up' });
    expect(planJob(nightly, none, { ...young, knownSince: undefined }).next).toMatchObject({ why: 'due' });
  });
});

describe('a job that failed', () => {
  const first = runAt('2026-11-25T02:00:00Z', failed, 10);

  it('is tried again, later by twice as much each time', () => {
    const wait = (...runs: JobState['runs']) => {
      const end = runs.at(-1)?.finishedAt.epochMilliseconds ?? 0;
      const { next } = planJob(nightly, ran(...runs), situation(at(end)));
      return next === undefined ? undefined : [next.why, next.attempt, (next.at.epochMilliseconds - end) / MINUTE_MS];
    };
    const second = runAt('2026-11-25T02:16:00Z', failed);
    const third = runAt('2026-11-25T02:30:00Z', failed);
    const between = (least: number, most: number) => expect.toSatisfy((value: number) => value >= least && value <= most);
    expect(wait(first)).toEqual(['retry', 2, between(5, 6.25)]);
    expect(wait(first, second)).toEqual(['retry', 3, between(10, 12.5)]);
    expect(wait(first, second, third)).toEqual(['retry', 4, between(20, 25)]);
  });

  it.each([
    ['as often as is meant', nightly, [1, 2, 3, 4].map((hour) => runAt(`2026-11-25T0${hour + 1}:00:00Z`, failed))],
    ['in a way that will not pass', nightly, [runAt('2026-11-25T02:00:00Z', hopeless)]],
    ['beyond its window', nightly, [runAt('2026-11-25T02:00:00Z', failed, 7 * 60)]],
    ['so that a retry would come near the next', jobOf('0 */2 * * *'), [runAt('2026-11-25T10:00:00Z', failed, 110)]],
  ])('%s is left until it is due again, and that is reported', (_, job, runs) => {
    const plan = planJob(job, ran(...runs), situation('2026-11-25T11:55:00Z'));
    expect(plan).toMatchObject({ start: undefined, next: { why: 'due' }, reports: [{ kind: 'gave-up', attempts: runs.length }] });
  });

  it('after it was caught up has its whole window', () => {
    const caughtUp = runAt('2026-11-25T16:00:00Z', failed);
    expect(planJob(nightly, ran(caughtUp), situation('2026-11-25T16:02:00Z')).next).toMatchObject({ why: 'retry' });
  });

  it('is not tried again when it succeeded since, or is due anew', () => {
    expect(planJob(nightly, ran(first, runAt('2026-11-25T03:00:00Z')), situation('2026-11-25T03:10:00Z'))).toMatchObject({
      reports: [],
      next: { why: 'due' },
    });
    expect(planJob(nightly, ran(first), situation('2026-11-26T02:00:00Z')).start).toMatchObject({ why: 'due', attempt: 1 });
  });
});

describe('a job that is running', () => {
  const running = (startedFor: string): JobState => ({ runs: [], running: { dueAt: instant(startedFor) } });

  it('is never started beside itself; when it is due again that is reported', () => {
    expect(planJob(nightly, running('2026-11-25T02:00:00Z'), situation('2026-11-25T20:00:00Z'))).toMatchObject({
      start: undefined,
      reports: [],
    });
    expect(planJob(nightly, running('2026-11-24T02:00:00Z'), situation('2026-11-25T02:00:00Z'))).toMatchObject({
      start: undefined,
      reports: [{ kind: 'overrun', dueAt: instant('2026-11-25T02:00:00Z'), startedFor: instant('2026-11-24T02:00:00Z') }],
    });
  });
});

describe('a run that lies in the future', () => {
  it('was that of its own due time, and holds nothing else up', () => {
    const ahead = { ...runAt('2027-11-25T02:00:01Z'), dueAt: instant('2027-11-25T02:00:00Z') };
    expect(planJob(nightly, ran(ahead), situation('2026-11-26T02:00:00Z')).start).toMatchObject({ why: 'due' });
    const soon = { ...runAt('2026-11-26T02:00:01Z'), dueAt: instant('2026-11-26T02:00:00Z'), startedAt: instant('2026-11-25T23:00:00Z') };
    expect(planJob(nightly, ran(soon), situation('2026-11-26T02:00:00Z')).start).toBeUndefined();
    const recorded = { ...runAt('2026-11-26T02:00:01Z'), startedAt: instant('2026-11-25T23:00:00Z') };
    expect(planJob(nightly, ran(recorded), situation('2026-11-26T01:40:00Z')).start).toBeUndefined();
    expect(planJob(nightly, ran(recorded), situation('2026-11-26T02:00:00Z')).start).toBeUndefined();
    expect(planJob(nightly, ran(recorded), situation('2026-11-27T02:00:00Z')).start).toMatchObject({ why: 'due' });
  });

  it('by less than ten minutes is another host’s clock, and counts', () => {
    expect(
      planJob(
        nightly,
        ran(runAt('2026-11-25T09:05:00Z')),
        situation('2026-11-25T09:00:00Z', { awakeSince: instant('2026-11-25T09:00:00Z') }),
      ).next,
    ).toMatchObject({ why: 'due' });
  });
});

describe('whatever ran and whatever the clock shows', () => {
  it('nothing starts twice, beside itself, before it is due, or later than is said', () => {
    const minute = fc.integer({ min: 0, max: 3 * 24 * 60 });
    const run = fc.record({ from: minute, minutes: fc.integer({ min: 1, max: 300 }), outcome: fc.constantFrom(failed, hopeless) });
    fc.assert(
      fc.property(
        fc.constantFrom('0 2 * * *', '*/15 * * * *', '0 */6 * * *', '0 4 1 * *'),
        fc.array(run, { maxLength: 6 }),
        minute,
        minute,
        fc.integer({ min: 0, max: 60 }),
        (cron, runs, now, awake, jitter) => {
          const begin = ms('2026-11-25T00:00:00Z');
          const moment = (minutes: number) => at(begin + minutes * MINUTE_MS);
          const job = jobOf(cron, { jitterMs: jitter * MINUTE_MS });
          const state = ran(
            ...runs
              .filter(({ from }) => from <= now)
              .sort((a, b) => a.from - b.from)
              .map(({ from, minutes, outcome }) => runAt(moment(from), outcome, minutes)),
          );
          const here = situation(moment(now), { awakeSince: moment(Math.min(now, awake)) });
          const { start, next } = planJob(job, state, here);
          expect(start === undefined || next === undefined).toBe(true);
          if (start !== undefined) {
            expect(start.dueAt.epochMilliseconds).toBeLessThanOrEqual(here.now.epochMilliseconds);
            // Once it has run and succeeded, it is not started again, at the same moment or later before it is due.
            const done = planJob(job, ran(...state.runs, runAt(here.now)), here);
            expect(done.start).toBeUndefined();
            expect(done.next?.why).toBe('due');
          }
          if (next !== undefined) {
            expect(next.at.epochMilliseconds).toBeGreaterThan(here.now.epochMilliseconds);
            // It starts then, and not a minute before.
            expect(planJob(job, state, { ...here, now: next.at }).start).toMatchObject({ why: next.why });
            expect(planJob(job, state, { ...here, now: next.at.subtract({ milliseconds: 1 }) }).start).toBeUndefined();
          }
        },
      ),
      { numRuns: 150 },
    );
  });
});
