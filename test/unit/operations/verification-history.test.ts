import { Temporal } from 'temporal-polyfill';
import { describe, expect, it } from 'vitest';
import { listRuns } from '../../../src/catalog/run-records.ts';
import { JetbackupError } from '../../../src/core/errors.ts';
import { comparableRuns, readHistory, summarizeRto } from '../../../src/operations/verification-history.ts';
import { systemClock } from '../../../src/platform/clock.ts';
import { createMemoryStore } from '../../support/memory-store.ts';
import { idAt, putRun, verificationEntry, verificationRecord } from '../../support/verifications.ts';
import { runRecord } from '../cli/command-line.ts';

const { signal } = new AbortController();
const now = Temporal.Instant.from('2026-11-20T12:00:00Z');

async function history(records: readonly Parameters<typeof putRun>[1][]) {
  const store = createMemoryStore({ clock: systemClock });
  for (const record of records) await putRun(store, record);
  return await readHistory(store, { databases: ['shop'], runs: await listRuns(store, signal), now }, signal);
}

const backupAt = (at: string, change: Partial<ReturnType<typeof runRecord>> = {}) => ({
  ...runRecord('backup'),
  ...{ id: idAt(at), backup: idAt(at), startedAt: at, finishedAt: at, ...change },
});

describe('the history of a database', () => {
  it('has its verifications, newest first, with bytes and rate of each phase', async () => {
    const found = await history([
      verificationRecord({ at: '2026-10-01T03:00:00Z' }),
      verificationRecord({ at: '2026-11-01T03:00:00Z', rtoSeconds: 100, bytes: 6_000_000_000 }),
      verificationRecord({ at: '2026-11-02T03:00:00Z', database: 'other' }),
    ]);
    const [shop] = found.databases;
    expect(shop?.verifications.map(({ at }) => at.toString())).toEqual(['2026-11-01T03:00:00Z', '2026-10-01T03:00:00Z']);
    expect(shop?.verifications[0]).toMatchObject({ outcome: 'proven', kind: 'container', profile: 'durable', jobs: 4, rtoSeconds: 100 });
    expect(shop?.verifications[0]?.phases).toContainEqual({
      ...{ phase: 'data', seconds: 60, bytes: 6_000_000_000, bytesPerSecond: 100_000_000 },
    });
    expect(shop?.verifications[0]?.phases[0]).toEqual({ phase: 'provision', seconds: 10, bytes: null, bytesPerSecond: null });
    expect(found.unreadBefore).toBeUndefined();
  });

  it('ends 24 months ago', async () => {
    const found = await history([verificationRecord({ at: '2024-11-20T11:00:00Z' }), verificationRecord({ at: '2024-11-20T13:00:00Z' })]);
    expect(found.databases[0]?.verifications.map(({ at }) => at.toString())).toEqual(['2024-11-20T13:00:00Z']);
  });

  it('has the newest run of each operation, and the newest backup that succeeded', async () => {
    const error = { code: 'dump-failed', message: 'no', hint: null } as const;
    const [shop] = (
      await history([
        backupAt('2026-11-18T02:00:00Z'),
        backupAt('2026-11-19T02:00:00Z', { result: 'failed', backup: null, error }),
        verificationRecord({ at: '2026-11-18T03:00:00Z' }),
      ])
    ).databases;
    expect(shop?.lastRuns.backup).toMatchObject({ run: idAt('2026-11-19T02:00:00Z'), result: 'failed', error });
    expect(shop?.lastRuns.verify?.result).toBe('succeeded');
    expect(shop?.lastRuns.prune).toBeUndefined();
    expect(shop?.lastGoodBackup?.run).toBe(idAt('2026-11-18T02:00:00Z'));
    expect(shop?.tally.backups).toEqual([{ backup: idAt('2026-11-18T02:00:00Z'), at: Date.parse('2026-11-18T02:00:00Z') }]);
  });

  it('says when there is a record that may not be read, and throws where none may', async () => {
    const store = createMemoryStore({ clock: systemClock });
    for (const at of ['2026-11-18T03:00:00Z', '2026-11-19T03:00:00Z']) await putRun(store, verificationRecord({ at }));
    const runs = await listRuns(store, signal);
    const denying = (...ids: string[]): typeof store => ({
      ...store,
      async get(key, options) {
        if (ids.some((id) => key.includes(id))) throw new JetbackupError('storage-denied', `${key} may not be read`);
        return await store.get(key, options);
      },
    });
    const read = (over: typeof store) => readHistory(over, { databases: ['shop'], runs, now }, signal);
    expect((await read(store)).deniedAt).toBeUndefined();
    const found = await read(denying(runs[1] ?? ''));
    expect(found.deniedAt?.toString()).toBe('2026-11-19T03:00:00Z');
    expect(found.databases[0]?.lastRuns.verify?.run).toBe(runs[0]);
    await expect(read(denying(...runs))).rejects.toMatchObject({ code: 'storage-denied' });
    // Of a host whose clock was wrong: it is not later than what follows.
    const ahead = idAt(now.add({ hours: 1 }).toString());
    expect(
      (await readHistory(denying(runs[1] ?? '', ahead), { databases: ['shop'], runs: [...runs, ahead], now }, signal)).deniedAt,
    ).toEqual(found.deniedAt);
  });

  it('says when there are more records than are read', async () => {
    const store = createMemoryStore({ clock: systemClock });
    const runs = Array.from({ length: 4_402 }, (_, index) =>
      idAt(new Date(now.epochMilliseconds - (4_402 - index) * 60_000).toISOString()),
    );
    let reads = 0;
    const counting: typeof store = {
      ...store,
      get: async (key, options) => {
        reads += 1;
        return await store.get(key, options);
      },
    };
    const found = await readHistory(counting, { databases: ['shop'], runs, now }, signal);
    expect(reads).toBe(4_400);
    expect(found.unreadBefore?.toString()).toBe(now.subtract({ minutes: 4_401 }).toString());
  });

  it('stops where it is told to', async () => {
    const store = createMemoryStore({ clock: systemClock });
    await putRun(store, verificationRecord({ at: '2026-11-01T03:00:00Z' }));
    const stopped = readHistory(
      store,
      { databases: ['shop'], runs: await listRuns(store, signal), now },
      AbortSignal.abort(new Error('enough')),
    );
    await expect(stopped).rejects.toThrow('enough');
  });
});

describe('median, longest and trend', () => {
  const runs = (figures: readonly (readonly [at: string, rto: number])[]) =>
    comparableRuns(figures.map(([at, rtoSeconds]) => verificationEntry({ at: `${at}T03:00:00Z`, rtoSeconds })));

  it('are of those that compare', () => {
    const summary = summarizeRto(
      runs([
        ['2026-08-01', 500],
        ['2026-08-31', 900],
        ['2026-09-30', 520],
        ['2026-10-30', 530],
      ]),
    );
    expect(summary).toMatchObject({ runs: 4, medianSeconds: 525, newest: { rtoSeconds: 530 }, worst: { rtoSeconds: 900 } });
    // The one at 900 does not bend it.
    expect(summary?.trendSecondsPerMonth).toBeCloseTo(10, 9);
  });

  it('are not taken from an old, small backup that was verified after the newest', () => {
    const old = verificationEntry({
      at: '2026-11-01T05:00:00Z',
      rtoSeconds: 60,
      change: { backup: idAt('2024-11-01T03:00:00Z', 'bbbbbb') },
    });
    const current = ['2026-08-01', '2026-09-01', '2026-10-01', '2026-11-01'].map((at) =>
      verificationEntry({ at: `${at}T03:00:00Z`, rtoSeconds: 2700 }),
    );
    expect(summarizeRto(comparableRuns([...current, old]))).toMatchObject({
      ...{ newest: { rtoSeconds: 2700 }, runs: 4, medianSeconds: 2700, worst: { rtoSeconds: 2700 } },
    });
    expect(summarizeRto(comparableRuns([old]))).toMatchObject({ newest: { rtoSeconds: 60 }, runs: 1 });
    // Of the same backup the last counts.
    const again = verificationEntry({ at: '2026-11-03T03:00:00Z', rtoSeconds: 900, change: { backup: current[3]?.backup ?? null } });
    expect(summarizeRto(comparableRuns([...current, again, old]))?.newest.rtoSeconds).toBe(900);
  });

  it('know no trend of two runs, or of runs within days', () => {
    const trend = (figures: Parameters<typeof runs>[0]) => summarizeRto(runs(figures))?.trendSecondsPerMonth;
    expect(
      trend([
        ['2026-08-01', 500],
        ['2026-10-30', 530],
      ]),
    ).toBeNull();
    expect(
      trend([
        ['2026-08-01', 500],
        ['2026-08-02', 510],
        ['2026-08-14', 530],
      ]),
    ).toBeNull();
    expect(
      trend([
        ['2026-08-01', 500],
        ['2026-08-02', 510],
        ['2026-08-15', 530],
      ]),
    ).toBeGreaterThan(0);
    expect(summarizeRto([])).toBeUndefined();
  });
});
