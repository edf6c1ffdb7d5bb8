import { Temporal } from 'temporal-polyfill';
import { describe, expect, it } from 'vitest';
import { runRecordKey } from '../../../src/catalog/layout.ts';
import { bytesOf } from '../../../src/core/bytes.ts';
import { type ErrorCode, JetbackupError } from '../../../src/core/errors.ts';
import type { RunRecord } from '../../../src/core/run-record.ts';
import { createLastRunsReader, type LastRuns, type RunKind } from '../../../src/operations/last-runs.ts';
import { systemClock } from '../../../src/platform/clock.ts';
import { createMemoryStore } from '../../support/memory-store.ts';

const { signal } = new AbortController();
const backup: RunKind = { operation: 'backup', database: 'shop' };
const prune: RunKind = { operation: 'prune', database: null };

/** A record of a run that took ten seconds. */
function record(startedAt: string, rest: Partial<RunRecord> = {}): RunRecord {
  const start = Temporal.Instant.from(startedAt);
  const id = `${startedAt.replaceAll(/[-:]/g, '')}-${(rest.database ?? 'shop').padEnd(6, '0').slice(0, 6)}`;
  return {
    format: 1,
    id,
    operation: 'backup',
    database: 'shop',
    backup: null,
    jetbackup: '0.1.0',
    host: 'h',
    startedAt: start.toString(),
    finishedAt: start.add({ seconds: 10 }).toString(),
    result: 'succeeded',
    error: null,
    phases: [],
    rtoSeconds: null,
    rpoSeconds: null,
    ...rest,
  };
}
const failure = (code: ErrorCode): Partial<RunRecord> => ({
  result: 'failed',
  error: { code, message: 'm', hint: null },
});

async function repository(...records: RunRecord[]) {
  const store = createMemoryStore({ clock: systemClock });
  const counts = { get: 0, list: [] as string[] };
  const add = (one: RunRecord) => store.put(runRecordKey(one.id), bytesOf(JSON.stringify(one)));
  for (const one of records) await add(one);
  const counting = Object.assign(Object.create(store) as typeof store, {
    get: (...args: Parameters<typeof store.get>) => {
      counts.get += 1;
      return store.get(...args);
    },
    list: (...args: Parameters<typeof store.list>) => {
      counts.list.push(args[0]);
      return store.list(...args);
    },
  });
  return { store: counting, add, counts };
}
const now = Temporal.Instant.from('2026-11-25T12:00:00Z');
const starts = (last: LastRuns, kind: RunKind) => last.of(kind).map(({ startedAt, result }) => `${startedAt} ${result}`);

describe('the last runs of each job', () => {
  it.each(['key-missing', 'key-wrong', 'tools-missing', 'sandbox-unavailable'] as const)(
    'are none that failed for what its host lacks (%s): another host may do it, or the same one afterwards',
    async (code) => {
      const { store } = await repository(record('2026-11-24T02:00:00Z'), record('2026-11-25T02:00:00Z', failure(code)));
      const last = await createLastRunsReader(store, [backup]).read(now, signal);
      expect(starts(last, backup)).toEqual(['2026-11-24T02:00:00Z succeeded']);
    },
  );

  it('are its last success and what failed after it, oldest first, with whether trying again may help', async () => {
    const { store } = await repository(
      record('2026-11-22T02:00:00Z'),
      record('2026-11-23T02:00:00Z'),
      record('2026-11-24T02:00:00Z', failure('damaged')),
      record('2026-11-25T02:00:00Z', failure('storage-unreachable')),
      record('2026-11-25T03:00:00Z', { database: 'other' }),
      record('2026-11-25T04:00:00Z', { operation: 'restore' }),
      record('2026-11-25T05:00:00Z', { result: 'interrupted' }),
    );
    const last = await createLastRunsReader(store, [backup, { operation: 'verify', database: 'shop' }]).read(now, signal);
    expect(last.of(backup).map(({ startedAt, result, retryable }) => [startedAt.toString().slice(8, 13), result, retryable])).toEqual([
      ['23T02', 'succeeded', false],
      ['24T02', 'failed', false],
      ['25T02', 'failed', true],
      ['25T05', 'interrupted', true],
    ]);
    expect(last.of({ operation: 'verify', database: 'shop' })).toEqual([]);
    expect(last.since?.toString()).toBe('2026-11-22T02:00:00Z');
  });

  it('are none, and nothing is known, where nothing ever ran', async () => {
    const { store } = await repository();
    const last = await createLastRunsReader(store, [backup]).read(now, signal);
    expect([last.of(backup), last.since]).toEqual([[], undefined]);
  });

  it('are read no further than they must be, and only once', async () => {
    const many = Array.from({ length: 200 }, (_, day) => record(`${Temporal.PlainDate.from('2026-05-01').add({ days: day })}T02:00:00Z`));
    const { store, add, counts } = await repository(...many);
    const reader = createLastRunsReader(store, [backup]);
    await reader.read(now, signal);
    expect(counts).toEqual({ get: 16, list: ['runs/'] });
    await add(record('2026-11-25T12:30:00Z'));
    const again = await reader.read(now.add({ hours: 1 }), signal);
    expect(starts(again, backup)).toEqual(['2026-11-25T12:30:00Z succeeded']);
    expect(counts).toEqual({ get: 17, list: ['runs/', 'runs/2026/11/'] });
  });

  it('are found over the end of a month', async () => {
    const { store, add, counts } = await repository(record('2026-11-30T02:00:00Z'));
    const reader = createLastRunsReader(store, [backup]);
    await reader.read(Temporal.Instant.from('2026-11-30T12:00:00Z'), signal);
    await add(record('2026-12-01T02:00:00Z'));
    const last = await reader.read(Temporal.Instant.from('2027-01-01T03:00:00Z'), signal);
    expect(starts(last, backup)).toEqual(['2026-12-01T02:00:00Z succeeded']);
    expect(counts.list.slice(1)).toEqual(['runs/2026/11/', 'runs/2026/12/', 'runs/2027/01/']);
  });

  it('of a prune of several databases are one, which failed where one of them did', async () => {
    const prunes = (day: number, second: 'ok' | 'bad') => [
      record(`2026-11-${day}T03:00:00Z`, { operation: 'prune', database: 'a' }),
      record(`2026-11-${day}T03:00:11Z`, {
        operation: 'prune',
        database: 'b',
        ...(second === 'bad' ? failure('storage-unreachable') : {}),
      }),
      record(`2026-11-${day}T03:00:22Z`, { operation: 'prune', database: 'c' }),
    ];
    const { store } = await repository(...prunes(22, 'ok'), ...prunes(23, 'ok'), ...prunes(24, 'bad'));
    const last = await createLastRunsReader(store, [prune]).read(now, signal);
    expect(starts(last, prune).slice(-2)).toEqual(['2026-11-23T03:00:00Z succeeded', '2026-11-24T03:00:00Z failed']);
    expect(last.of(prune).at(-1)?.finishedAt.toString()).toBe('2026-11-24T03:00:32Z');
  });

  it('that are dated in the future count as of when they were first seen; those of a clock a little ahead as they are', async () => {
    const { store } = await repository(record('2026-11-25T12:09:00Z', { database: 'other' }), record('2027-11-25T02:00:00Z'));
    const reader = createLastRunsReader(store, [backup, { operation: 'backup', database: 'other' }]);
    await reader.read(now, signal);
    const last = await reader.read(now.add({ hours: 5 }), signal);
    expect(last.of(backup)).toMatchObject([{ startedAt: now, recordedAt: Temporal.Instant.from('2027-11-25T02:00:00Z') }]);
    expect(starts(last, { operation: 'backup', database: 'other' })).toEqual(['2026-11-25T12:09:00Z succeeded']);
  });

  it('that may not be read are an error while they are there, and none once one could be read', async () => {
    const old = record('2026-11-23T02:00:00Z');
    const denied = record('2026-11-24T02:00:00Z');
    const later = record('2026-11-25T02:00:00Z');
    const { store, add } = await repository(denied);
    const guarded = Object.assign(Object.create(store) as typeof store, {
      get: async (...args: Parameters<typeof store.get>) => {
        if (args[0] !== runRecordKey(old.id) && (await store.stat(args[0]))) throw new JetbackupError('storage-denied', 'AccessDenied');
        return store.get(...args);
      },
    });
    const reader = createLastRunsReader(guarded, [backup]);
    await expect(reader.read(now, signal)).rejects.toMatchObject({ code: 'storage-denied' });
    await store.delete(runRecordKey(denied.id));
    expect(starts(await reader.read(now, signal), backup)).toEqual([]);
    await add(old);
    expect(starts(await reader.read(now, signal), backup)).toEqual(['2026-11-23T02:00:00Z succeeded']);
    await add(later);
    expect(starts(await reader.read(now, signal), backup)).toEqual(['2026-11-23T02:00:00Z succeeded']);
  });
});
