import { describe, expect, it } from 'vitest';
import { runRecordKey } from '../../../src/catalog/layout.ts';
import { failedSince, isDenied, listRuns, readRuns, recentBackups, runReader } from '../../../src/catalog/run-records.ts';
import { bytesOf } from '../../../src/core/bytes.ts';
import { JetbackupError } from '../../../src/core/errors.ts';
import type { RunRecord } from '../../../src/core/run-record.ts';
import { systemClock } from '../../../src/platform/clock.ts';
import { createMemoryStore } from '../../support/memory-store.ts';

const { signal } = new AbortController();

function record(day: number, rest: Partial<RunRecord> = {}): RunRecord {
  const date = `2026-11-${String(day).padStart(2, '0')}`;
  const id = `${date.replaceAll('-', '')}T020000Z-aaaaaa`;
  return {
    format: 1,
    id,
    operation: 'backup',
    database: 'shop',
    backup: id,
    jetbackup: '0.1.0',
    host: 'h',
    startedAt: `${date}T02:00:00Z`,
    finishedAt: `${date}T02:00:09Z`,
    result: 'succeeded',
    error: null,
    phases: [],
    rtoSeconds: null,
    rpoSeconds: null,
    ...rest,
  };
}

async function recent(records: readonly RunRecord[], wanted: number, databases = ['shop']) {
  const store = createMemoryStore({ clock: systemClock });
  for (const one of records) await store.put(runRecordKey(one.id), bytesOf(JSON.stringify(one)));
  const found = await recentBackups(store, await listRuns(store, signal), { databases, wanted }, signal);
  return Object.fromEntries([...found].map(([database, made]) => [database, made.map(({ id }) => id.slice(6, 8)).sort()]));
}

describe('the last backups by run records', () => {
  it('are those that succeeded, of the databases asked for, whether they are still there or not', async () => {
    const records = [
      record(1),
      record(2, { result: 'failed', backup: null }),
      record(3, { operation: 'prune', backup: null }),
      record(4, { database: 'other' }),
      record(5, { operation: 'restore' }),
      record(6),
    ];
    expect(await recent(records, 14)).toEqual({ shop: ['01', '06'] });
    expect(await recent(records, 14, ['shop', 'other', 'third'])).toEqual({ shop: ['01', '06'], other: ['04'], third: [] });
  });

  it('are the newest, and not many more than are wanted', async () => {
    const records = Array.from({ length: 28 }, (_, index) => record(index + 1));
    const { shop } = await recent(records, 14);
    expect(shop?.at(-1)).toBe('28');
    expect(shop).toHaveLength(16);
  });

  it('pass over a record that cannot be read', async () => {
    const store = createMemoryStore({ clock: systemClock });
    await store.put(runRecordKey(record(1).id), bytesOf('{'));
    await store.put(runRecordKey(record(2).id), bytesOf(JSON.stringify(record(2))));
    const found = await recentBackups(store, await listRuns(store, signal), { databases: ['shop'], wanted: 14 }, signal);
    expect(found.get('shop')).toHaveLength(1);
  });
});

describe('a record that this user may not read', () => {
  async function storeOf(records: readonly RunRecord[], denied: readonly RunRecord[]) {
    const store = createMemoryStore({ clock: systemClock });
    for (const one of records) await store.put(runRecordKey(one.id), bytesOf(JSON.stringify(one)));
    const keys = new Set(denied.map(({ id }) => runRecordKey(id)));
    const get: typeof store.get = async (key, options) => {
      if (keys.has(key)) throw new JetbackupError('storage-denied', `${key} may not be read`);
      return await store.get(key, options);
    };
    return { ...store, get };
  }
  const [one, two, three] = [record(1), record(2), record(3)];

  it('stands in the way of no other one, and is told from one that says nothing', async () => {
    const store = await storeOf([one, two, three], [three]);
    const read = await readRuns(store, [one.id, three.id, '20261125T020000Z-aaaaaa'], signal);
    expect(read).toMatchObject([{ id: one.id }, { code: 'storage-denied' }, undefined]);
    expect(read.map(isDenied)).toEqual([false, true, false]);
  });

  it('holds deletion back as a failed backup does, until a newer one succeeds', async () => {
    const store = await storeOf([one, two, three], [two]);
    const runs = await listRuns(store, signal);
    const since = (id: string) => failedSince(store, runs, new Map([['shop', id]]), signal);
    expect(await since(one.id)).toEqual(new Set());
    const older = await storeOf([one, two], [two]);
    expect(await failedSince(older, await listRuns(older, signal), new Map([['shop', one.id]]), signal)).toEqual(new Set(['shop']));
  });
});

describe('whoever would take no record for no history', () => {
  const records = Array.from({ length: 28 }, (_, index) => record(index + 1));
  const ids = records.map(({ id }) => id).toReversed();

  /** Reads them sixteen at once, as everybody does, where the newest so many may not be read. */
  async function readAll(denied: number, stored: readonly RunRecord[] = records) {
    const store = createMemoryStore({ clock: systemClock });
    for (const one of stored) await store.put(runRecordKey(one.id), bytesOf(JSON.stringify(one)));
    const hidden = ids.slice(0, denied).map((id) => runRecordKey(id));
    const reader = runReader({
      ...store,
      async get(key, options) {
        if (hidden.includes(key)) throw new JetbackupError('storage-denied', `${key} may not be read`);
        return await store.get(key, options);
      },
    });
    const found = [...(await reader.read(ids.slice(0, 16), signal)), ...(await reader.read(ids.slice(16), signal))];
    reader.ended();
    return found.filter((one) => one !== undefined && !isDenied(one)).length;
  }

  it('goes on past those that may not be read to one that may', async () => {
    expect(await readAll(0)).toBe(28);
    expect(await readAll(27)).toBe(1);
  });

  it('is told so where none may, whether or not some have gone meanwhile', async () => {
    await expect(readAll(28)).rejects.toMatchObject({ code: 'storage-denied' });
    await expect(readAll(27, records.slice(1))).rejects.toMatchObject({ code: 'storage-denied' });
  });
});
