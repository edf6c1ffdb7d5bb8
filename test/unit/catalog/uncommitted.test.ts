import { Temporal } from 'temporal-polyfill';
import { describe, expect, test } from 'vitest';
import { removeDeadRuns, removeUncommitted, surveyDatabase, writeClaim } from '../../../src/catalog/uncommitted.ts';
import { bytesOf } from '../../../src/core/bytes.ts';
import { systemClock } from '../../../src/platform/clock.ts';
import { createMemoryStore } from '../../support/memory-store.ts';

const now = Temporal.Instant.from('2026-11-23T06:00:00Z');
const signal = new AbortController().signal;
const committed = '20261122T020000Z-aaaaaa';
const dead = '20261123T020000Z-bbbbbb';
const elsewhere = '20261123T030000Z-cccccc';
const ancient = '20261101T020000Z-dddddd';

async function repository() {
  const store = createMemoryStore({ clock: systemClock });
  for (const id of [committed, dead, elsewhere, ancient]) await store.put(`jetadmin/${id}/dump.pgc.gz.age`, bytesOf('x'));
  await store.put(`jetadmin/${committed}/manifest.json`, bytesOf('{}'));
  await writeClaim(store, { database: 'jetadmin', id: dead }, 'server A', signal);
  await writeClaim(store, { database: 'jetadmin', id: elsewhere }, 'server B', signal);
  await writeClaim(store, { database: 'jetadmin', id: committed }, 'server A', signal);
  await store.put(`other/${dead}/dump.pgc.gz.age`, bytesOf('x'));
  return store;
}

describe('what dead runs left', () => {
  test('goes when its claim names the source whose lock we hold, or after 48 hours; nothing else goes', async () => {
    const store = await repository();
    const survey = await surveyDatabase(store, 'jetadmin', signal);
    expect(survey).toEqual({ committed: [committed], uncommitted: [ancient, dead, elsewhere] });
    const removed = await removeDeadRuns(store, 'jetadmin', survey.uncommitted, { source: 'server A', now }, signal);
    expect(removed).toEqual([ancient, dead]);
    expect([...store.objects.keys()].filter((key) => key.startsWith('jetadmin/')).sort()).toEqual([
      `jetadmin/${committed}/claim.json`,
      `jetadmin/${committed}/dump.pgc.gz.age`,
      `jetadmin/${committed}/manifest.json`,
      `jetadmin/${elsewhere}/claim.json`,
      `jetadmin/${elsewhere}/dump.pgc.gz.age`,
    ]);
    expect(store.objects.has(`other/${dead}/dump.pgc.gz.age`)).toBe(true);
  });

  test('is left alone once a manifest is there', async () => {
    const store = await repository();
    await removeUncommitted(store, { database: 'jetadmin', id: committed }, now, signal);
    expect(store.objects.has(`jetadmin/${committed}/dump.pgc.gz.age`)).toBe(true);
  });

  test('a claim that cannot be read vouches for nothing', async () => {
    const store = await repository();
    store.objects.set(`jetadmin/${dead}/claim.json`, Buffer.from('not json'));
    expect(await removeDeadRuns(store, 'jetadmin', [dead], { source: 'server A', now }, signal)).toEqual([]);
  });
});
