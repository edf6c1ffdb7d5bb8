import { Temporal } from 'temporal-polyfill';
import { describe, expect, test } from 'vitest';
import { removeDeadRuns, removeUncommitted, surveyDatabase, writeClaim } from '../../../src/catalog/uncommitted.ts';
import { bytesOf } from '../../../src/core/bytes.ts';
import { systemClock } from '../../../src/platform/clock.ts';
import { createMemoryStore, type MemoryStore } from '../../support/memory-store.ts';

const now = Temporal.Instant.from('2026-11-23T06:00:00Z');
const signal = new AbortController().signal;
const committed = '20261122T020000Z-aaaaaa';
const dead = '20261123T020000Z-bbbbbb';
const elsewhere = '20261123T030000Z-cccccc';
const silent = '20261101T020000Z-dddddd';

/** A store whose clock is `minutes` before now while `work` writes to it. */
function storeWithClock() {
  let time = now;
  const store = createMemoryStore({ clock: { ...systemClock, now: () => time } });
  const ago = async (minutes: number, work: () => Promise<unknown>) => {
    time = now.subtract({ minutes });
    await work();
    time = now;
  };
  return { store, ago };
}

const data = (store: MemoryStore, id: string) => store.put(`jetadmin/${id}/dump.pgc.gz.age`, bytesOf('x'));
const claim = (store: MemoryStore, id: string, source: string, committing = false) =>
  writeClaim(store, { database: 'jetadmin', id }, { source, committing }, signal);
const left = (store: MemoryStore) => [...store.objects.keys()].sort();
const sweep = async (store: MemoryStore) => {
  const { uncommitted } = await surveyDatabase(store, 'jetadmin', signal);
  return await removeDeadRuns(store, 'jetadmin', uncommitted, { source: 'server A', now }, signal);
};

describe('what a run left uncommitted', () => {
  test('goes at once when its claim names the source whose lock we hold, and nothing else goes', async () => {
    const { store } = storeWithClock();
    for (const id of [committed, dead, elsewhere]) await data(store, id);
    await store.put(`jetadmin/${committed}/manifest.json`, bytesOf('{}'));
    await claim(store, committed, 'server A');
    await claim(store, dead, 'server A');
    await claim(store, elsewhere, 'server B');
    await store.put(`other/${dead}/dump.pgc.gz.age`, bytesOf('x'));
    expect(await sweep(store)).toEqual([dead]);
    expect(left(store)).toEqual([
      `jetadmin/${committed}/claim.json`,
      `jetadmin/${committed}/dump.pgc.gz.age`,
      `jetadmin/${committed}/manifest.json`,
      `jetadmin/${elsewhere}/claim.json`,
      `jetadmin/${elsewhere}/dump.pgc.gz.age`,
      `other/${dead}/dump.pgc.gz.age`,
    ]);
  });

  test('is told apart from a backup whose run ended before it removed its claim', async () => {
    const { store } = storeWithClock();
    for (const id of [silent, committed, dead]) await data(store, id);
    for (const id of [silent, committed]) await store.put(`jetadmin/${id}/manifest.json`, bytesOf('{}'));
    for (const id of [committed, dead]) await claim(store, id, 'server A', true);
    expect(await surveyDatabase(store, 'jetadmin', signal)).toMatchObject({
      committed: [silent, committed],
      uncommitted: [{ id: dead }],
      claimed: [committed],
    });
  });

  test('goes after 48 hours without a sign of life, by the store’s clock and not by its name', async () => {
    const { store, ago } = storeWithClock();
    await ago(49 * 60, () => data(store, elsewhere));
    await ago(47 * 60, () => data(store, silent));
    expect(await sweep(store)).toEqual([elsewhere]);
    expect(left(store)).toEqual([`jetadmin/${silent}/dump.pgc.gz.age`]);
  });

  test('stays while a run of another source refreshes its claim, however old its objects are', async () => {
    const { store, ago } = storeWithClock();
    await ago(100 * 60, () => data(store, silent));
    await ago(60, () => claim(store, silent, 'server B'));
    expect(await sweep(store)).toEqual([]);
    expect(left(store)).toEqual([`jetadmin/${silent}/claim.json`, `jetadmin/${silent}/dump.pgc.gz.age`]);
  });

  test('stays for an hour when the run was committing, since its manifest may be on its way', async () => {
    const { store, ago } = storeWithClock();
    await ago(30, async () => [await data(store, dead), await claim(store, dead, 'server A', true)]);
    expect(await sweep(store)).toEqual([]);
    expect(left(store)).toEqual([`jetadmin/${dead}/claim.json`, `jetadmin/${dead}/dump.pgc.gz.age`]);
    await ago(120, async () => [await data(store, dead), await claim(store, dead, 'server A', true)]);
    expect(await sweep(store)).toEqual([dead]);
    expect(left(store)).toEqual([]);
  });

  test('stays when the manifest arrives between the look and the first delete', async () => {
    const { store } = storeWithClock();
    await data(store, dead);
    const late = {
      ...store,
      sweepUnfinished: async () => {
        await store.put(`jetadmin/${dead}/manifest.json`, bytesOf('{}'));
        return [];
      },
    };
    await removeUncommitted(late, { database: 'jetadmin', id: dead }, now, signal);
    expect(left(store)).toEqual([`jetadmin/${dead}/dump.pgc.gz.age`, `jetadmin/${dead}/manifest.json`]);
  });

  test('stays once a manifest is there', async () => {
    const { store } = storeWithClock();
    await data(store, committed);
    await store.put(`jetadmin/${committed}/manifest.json`, bytesOf('{}'));
    await removeUncommitted(store, { database: 'jetadmin', id: committed }, now, signal);
    expect(left(store)).toEqual([`jetadmin/${committed}/dump.pgc.gz.age`, `jetadmin/${committed}/manifest.json`]);
  });

  test('stays when its claim cannot be read: that vouches for nothing', async () => {
    const { store } = storeWithClock();
    await data(store, dead);
    store.objects.set(`jetadmin/${dead}/claim.json`, Buffer.from('not json'));
    expect(await sweep(store)).toEqual([]);
    expect(left(store)).toEqual([`jetadmin/${dead}/claim.json`, `jetadmin/${dead}/dump.pgc.gz.age`]);
  });
});
