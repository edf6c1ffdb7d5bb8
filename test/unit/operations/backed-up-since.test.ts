import { Temporal } from 'temporal-polyfill';
import { expect, it } from 'vitest';
import { bytesOf } from '../../../src/core/bytes.ts';
import { isBackedUpSince } from '../../../src/operations/backed-up-since.ts';
import { createFakeTime } from '../../support/fake-time.ts';
import { createMemoryStore } from '../../support/memory-store.ts';

const never = new AbortController().signal;
const since = Temporal.Instant.from('2026-11-25T02:00:00.700Z');

it.each([
  ['a backup that was begun in that second or later', 'shop/20261125T020000Z-aaaaaa/manifest.json', true],
  ['no backup that was begun before', 'shop/20261125T015959Z-aaaaaa/manifest.json', false],
  ['none of another database', 'shop2/20261125T020000Z-aaaaaa/manifest.json', false],
  ['none that was not committed', 'shop/20261125T020000Z-aaaaaa/dump.pgc.gz.age', false],
])('finds %s', async (_, key, found) => {
  const store = createMemoryStore({ clock: createFakeTime().host() });
  await store.put(key, bytesOf('{}'));
  expect(await isBackedUpSince(store, { database: 'shop', since }, never)).toBe(found);
});
