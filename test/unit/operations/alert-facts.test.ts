import { describe, expect, expectTypeOf, it } from 'vitest';
import { defaultPolicy } from '../../../src/alerts/policy.ts';
import { evaluate } from '../../../src/alerts/rules.ts';
import { JetbackupError } from '../../../src/core/errors.ts';
import type { JobStatus, SchedulerEvent } from '../../../src/daemon/scheduler.ts';
import { factsOf, type MissedRun, type MoreFacts, type ScheduledStatus, storageFacts } from '../../../src/operations/alert-facts.ts';
import type { LastRun } from '../../../src/operations/verification-history.ts';
import { createFaultyStore } from '../../support/faulty-store.ts';
import { createMemoryStore } from '../../support/memory-store.ts';
import { simulatedClock } from '../../support/simulated-time.ts';
import { NOW, reportOf, type Situation, statusIn } from '../../support/status-reports.ts';
import { GiB, idAt, verificationEntry } from '../../support/verifications.ts';

const HOUR = 3_600_000;
const objectives = { rpoMs: 26 * HOUR, rtoMs: 900_000 };
const never = new AbortController().signal;
const hoursAgo = (hours: number) => NOW.subtract({ hours });
const more: MoreFacts = { now: NOW, databases: [{ name: 'shop', objectives }] };

const shopIn = (situation: Situation, change: Partial<MoreFacts> = {}) => {
  const report = reportOf(statusIn('shop', { objectives, ...situation }));
  const [shop] = factsOf(report, { ...more, ...change }).databases;
  if (shop === undefined) throw new Error('there is one database');
  return shop;
};
const run = (hours: number, error: LastRun['error'] = null): LastRun => ({
  ...{ run: idAt(hoursAgo(hours).toString()), startedAt: hoursAgo(hours), finishedAt: hoursAgo(hours - 1) },
  ...{ result: error === null ? 'succeeded' : 'failed', error },
});
const verified = (hours: number, backup: number, outcome: 'proven' | 'failed' | null = 'proven') =>
  verificationEntry({
    at: hoursAgo(hours).toString(),
    change: { backup: idAt(hoursAgo(backup).toString()), result: outcome === 'proven' ? 'succeeded' : 'failed' },
    verification: {
      outcome,
      checks: [{ id: 'inventory', status: outcome === 'failed' ? 'fail' : 'pass', message: '', ms: 1 }],
    },
  });
const rulesOf = (facts: ReturnType<typeof factsOf>) => evaluate(facts, defaultPolicy).conditions.map(({ rule }) => rule);

describe('what the rules go by', () => {
  it('is what the status shows', () => {
    const failed = { code: 'dump-failed', message: 'pg_dump ended with status 1', hint: 'Look.' } as const;
    const shop = shopIn({
      ...{ newest: 2, newestProven: 26, frozenBy: '20261120T020000Z-k3f9qa', verifications: [verified(25, 26)] },
      history: { lastRuns: { backup: run(3, failed), verify: run(25) } },
      collapse: { pointId: '20261120T020000Z-k3f9qa', figure: 'rows', value: 4, median: 100, why: '' },
    });
    expect(shop).toMatchObject({
      ...{ newestPoint: hoursAgo(2), newestProven: hoursAgo(26), frozenBy: '20261120T020000Z-k3f9qa' },
      backup: { result: 'failed', at: hoursAgo(2), code: 'dump-failed', message: 'pg_dump ended with status 1', hint: 'Look.' },
      verify: { result: 'succeeded' },
      prune: null,
      rto: { seconds: 600, profile: 'durable' },
      collapse: { backup: '20261120T020000Z-k3f9qa', of: 'rows', share: 0.04 },
    });
    expect(shop.schedule).toBeUndefined();
  });

  it('knows no last run where a later record may not be read: that one may tell of a backup that was found bad', () => {
    const status = statusIn('shop', { objectives, newest: 2, history: { lastRuns: { backup: run(1), verify: run(25) } } });
    const [shop] = factsOf({ ...reportOf(status), deniedAt: hoursAgo(3) }, more).databases;
    expect(shop).toMatchObject({ backup: { result: 'succeeded' }, newestPoint: hoursAgo(2) });
    expect([shop?.verify, shop?.prune]).toEqual([undefined, undefined]);
  });

  it('is what is known to have failed, whatever a later record may say that nobody may read', () => {
    const failed = { code: 'dump-failed', message: 'pg_dump ended with status 1', hint: 'Look.' } as const;
    const lastRuns = { backup: run(4, failed), verify: run(5, failed) };
    const factsWith = (points: Situation) =>
      factsOf({ ...reportOf(statusIn('shop', { objectives, ...points, history: { lastRuns } })), deniedAt: hoursAgo(1) }, more)
        .databases[0];
    const standing = { backup: { result: 'failed' }, verify: { result: 'failed' }, prune: undefined };
    expect(factsWith({ newest: 6, newestProven: 6 })).toMatchObject(standing);
    // What is there to be seen has made it good: a backup after the one that failed, and that backup proven.
    expect(factsWith({ newest: 2, newestProven: 6 })).toMatchObject({ ...standing, backup: undefined });
    expect(factsWith({ newest: 2, newestProven: 2 })).toMatchObject({ ...standing, backup: undefined, verify: undefined });
  });

  it('of a repository without backups is that there are none', () => {
    expect(shopIn({})).toMatchObject({
      newestPoint: null,
      newestProven: null,
      backup: null,
      verify: null,
      rto: null,
      frozenBy: null,
      collapse: null,
    });
  });

  it('ages with the clock and not with the report', () => {
    const report = reportOf(statusIn('shop', { objectives, newest: 25, newestProven: 25, verifications: [verified(25, 25)] }));
    expect(rulesOf(factsOf(report, more))).not.toContain('recovery-point-old');
    expect(rulesOf(factsOf(report, { ...more, now: NOW.add({ hours: 2 }) }))).toContain('recovery-point-old');
  });

  it('is not known where the repository could not be read, but what is configured and due is', () => {
    const facts = factsOf(undefined, { ...more, schedule: { jobs: [], missed: [] } });
    expect(facts.databases).toEqual([{ name: 'shop', objectives, schedule: {} }]);
    expect(rulesOf(facts)).toEqual(['objective-unknown']);
    expect(evaluate(facts, defaultPolicy).unknown).toContain('verification-failed/shop');
  });

  it('does not take a run for none that may be among the records that were not read', () => {
    const report = { ...reportOf(statusIn('shop', { objectives, newest: 2 })), unreadBefore: hoursAgo(500) };
    expect(factsOf(report, more).databases[0]?.verify).toBeUndefined();
  });

  it('knows when the RTO is expected to break, and nothing of it where growth cannot be told', () => {
    const verifications = [30, 60, 90].map((days, index) =>
      verificationEntry({ at: hoursAgo(24 * days).toString(), rtoSeconds: 800 - index * 40, bytes: (10 - index) * GiB }),
    );
    const growing = shopIn({ newest: 2, verifications, growthPerDay: GiB / 20 });
    expect(growing.forecast?.atRiskAt?.epochMilliseconds).toBeGreaterThan(NOW.epochMilliseconds);
    expect(shopIn({ newest: 2, verifications }).forecast).toEqual({ atRiskAt: null });
    expect(shopIn({ newest: 2 }).forecast).toBeUndefined();
  });
});

describe('a backup that was found bad', () => {
  const bad = { result: 'failed', code: 'check-failed' };

  it('stays so although an older one was found good in the same go', () => {
    const verifications = [verified(1, 400), verified(2, 3, 'failed')];
    const { verify } = shopIn({ newest: 27, newestProven: 400, newestFailed: 3, verifications, history: { lastRuns: { verify: run(1) } } });
    expect(verify).toMatchObject({ ...bad, message: `backup ${idAt(hoursAgo(3).toString())} was found bad, by inventory` });
  });

  it('is overcome when it is proven after all, or one that was made since is', () => {
    const history = { lastRuns: { verify: run(1) } };
    const again = shopIn({ newest: 3, newestProven: 3, verifications: [verified(1, 3), verified(2, 3, 'failed')], history });
    expect(again.verify).toMatchObject({ result: 'succeeded' });
    const next = shopIn({
      newest: 2,
      newestProven: 2,
      newestFailed: 30,
      verifications: [verified(1, 2), verified(29, 30, 'failed')],
      history,
    });
    expect(next.verify).toMatchObject({ result: 'succeeded' });
  });

  it('is known by its signed proof where no record tells of it', () => {
    expect(shopIn({ newest: 27, newestProven: 27, newestFailed: 3 }).verify).toMatchObject(bad);
    expect(shopIn({ newest: 2, newestProven: 2, newestFailed: 3 }).verify).toBeNull();
  });

  it('does not hide that the last verification could not run', () => {
    const error = { code: 'sandbox-unavailable', message: 'no engine', hint: null } as const;
    const { verify } = shopIn({ newestFailed: 3, verifications: [verified(1, 3, null)], history: { lastRuns: { verify: run(1, error) } } });
    expect(verify).toMatchObject({ result: 'failed', code: 'sandbox-unavailable' });
  });
});

describe('a schedule', () => {
  const job = { operation: 'backup', database: 'shop' } as const;
  const overdue = (status: Partial<ScheduledStatus>, missedHours?: number, situation: Situation = {}) => {
    const missed = missedHours === undefined ? [] : [{ job, dueAt: hoursAgo(missedHours) }];
    return shopIn(situation, { schedule: { jobs: [{ job, running: undefined, next: undefined, ...status }], missed } }).schedule?.backup
      ?.overdueSince;
  };
  const next = (at: number, dueAt: number, why: 'due' | 'catch-up' | 'retry' = 'due') => ({
    next: { at: hoursAgo(at), dueAt: hoursAgo(dueAt), why },
  });

  it('is taken as the scheduler tells of it', () => {
    expectTypeOf<JobStatus>().toExtend<ScheduledStatus>();
    expectTypeOf<Extract<SchedulerEvent, { type: 'report' }>['report']>().toExtend<MissedRun>();
  });

  it('is kept while the next run is still to come, or one is running', () => {
    expect(overdue(next(-3, -3))).toBeNull();
    expect(overdue({ running: {} })).toBeNull();
    expect(overdue(next(-1, 9, 'catch-up'))).toBeNull();
  });

  it('is not where a run is due and waits', () => {
    expect(overdue(next(0, 3))).toEqual(hoursAgo(3));
    expect(overdue(next(0, 9, 'catch-up'))).toEqual(hoursAgo(9));
  });

  it('says nothing of what has begun and failed, which another rule tells', () => {
    expect(overdue(next(0, 3, 'retry'))).toBeNull();
  });

  it('is not where a run was missed and nothing catches it up, until there was one', () => {
    expect(overdue(next(-9, -9), 9)).toEqual(hoursAgo(9));
    expect(overdue(next(-9, -9), 9, { history: { lastRuns: { backup: run(5) } } })).toBeNull();
    expect(overdue(next(-9, -9), 9, { history: { lastRuns: { backup: run(12) } } })).toEqual(hoursAgo(9));
  });

  it('that has no job of the database is nothing to be late for', () => {
    expect(
      shopIn({}, { schedule: { jobs: [{ job: { ...job, database: 'crm' }, running: undefined, ...next(0, 3) }], missed: [] } }).schedule,
    ).toEqual({});
  });

  it('is told once it lasts for half an hour: what waits for room begins by itself', () => {
    const schedule = { jobs: [{ job, running: undefined, ...next(0, 3) }], missed: [] };
    const facts = factsOf(reportOf(statusIn('shop', { newest: 2 })), { ...more, schedule });
    expect(evaluate(facts, defaultPolicy).conditions.find(({ rule }) => rule === 'backup-overdue')).toMatchObject({ holdMs: HOUR / 2 });
  });
});

describe('the storage', () => {
  const clock = simulatedClock(NOW);
  const report = reportOf(statusIn('shop', {}));

  it('is as full as its file system', async () => {
    const store = createMemoryStore({ clock, room: () => ({ totalBytes: 100, freeBytes: 29 }) });
    expect(await storageFacts({ store, clock }, { report }, never)).toEqual({
      ...{ location: 'memory:', usedBytes: 20 * GiB, failure: undefined },
      capacity: { bytes: 100, usedBytes: 71 },
    });
  });

  it('has no end where the store tells of none', async () => {
    const store = createMemoryStore({ clock });
    expect((await storageFacts({ store, clock }, { report }, never)).capacity).toBeNull();
  });

  it('that gives no answer is unknown, with the reason why nothing is known', async () => {
    const store = createFaultyStore(createMemoryStore({ clock }), { on: 'room', fault: 'storage-unreachable' });
    const failure = new JetbackupError('storage-unreachable', 'no answer');
    expect(await storageFacts({ store, clock }, { failure }, never)).toEqual({
      ...{ location: 'memory:', usedBytes: undefined, capacity: undefined },
      failure: { code: 'storage-unreachable', message: 'no answer' },
    });
  });
});
