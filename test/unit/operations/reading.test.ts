import { setImmediate } from 'node:timers/promises';
import { Temporal } from 'temporal-polyfill';
import { describe, expect, test } from 'vitest';
import { readerOf } from '../../../src/catalog/layout.ts';
import { writeNote } from '../../../src/catalog/readers.ts';
import { bytesOf } from '../../../src/core/bytes.ts';
import type { ProgressEvent } from '../../../src/core/progress.ts';
import { whileReading } from '../../../src/operations/reading.ts';
import type { ObjectStore } from '../../../src/storage/store.ts';
import { createFaultyStore } from '../../support/faulty-store.ts';
import { createMemoryStore } from '../../support/memory-store.ts';
import { mortalStore, simulatedClock } from '../../support/simulated-time.ts';
import { smallArchive } from '../../support/small-archive.ts';
import { DATABASE, openSmallInstallation } from '../../support/small-installation.ts';

const start = Temporal.Instant.from('2026-10-01T02:00:00Z');
const never = new AbortController().signal;

/** Six daily backups, of which the first three go. */
async function withReaders() {
  const clock = simulatedClock(start);
  const memory = createMemoryStore({ clock });
  const installation = await openSmallInstallation({ store: memory, clock, policy: { daily: 3 }, rows: () => ['a row\n'] });
  const ids: string[] = [];
  for (let day = 0; day < 6; day += 1) {
    clock.setTo(start.add({ hours: 24 * day }));
    ids.push((await installation.backup()).id);
  }
  /** Renewals that fall due happen. */
  const pass = async (minutes: number) => {
    clock.setTo(clock.now().add({ minutes }));
    for (let round = 0; round < 20; round += 1) await setImmediate();
  };
  await pass(60);
  const told: ProgressEvent[] = [];
  return {
    ...{ ...installation, clock, memory, ids, pass, told },
    notes: () => [...memory.objects.keys()].filter((key) => readerOf(key) !== undefined),
    /** Reads a backup until it is told to end. */
    async reading(id: string, store: ObjectStore = memory) {
      const began = Promise.withResolvers<AbortSignal>();
      const end = Promise.withResolvers<void>();
      const reading = { database: DATABASE, id, holder: 'restore on db1' };
      const over = whileReading({ store, clock, log: (event) => told.push(event) }, reading, never, async (signal) => {
        began.resolve(signal);
        const lost = new Promise<never>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
        await Promise.race([end.promise, lost]);
      });
      over.catch((error: unknown) => began.reject(error));
      const signal = await began.promise;
      const stop = async () => {
        end.resolve();
        await over;
      };
      return { signal, over, end: stop };
    },
  };
}

/** A note that a reader put which was killed at that moment. */
async function killedReader({ memory, clock }: Awaited<ReturnType<typeof withReaders>>, id: string): Promise<void> {
  const place = { database: DATABASE, id, note: '20261006T030000Z-killed' };
  await writeNote(memory, place, { holder: 'restore on db1', now: clock.now() }, never);
}

describe('a backup that is being read', () => {
  test('is the one that a prune leaves, and says who reads it; the next prune after that takes it', async () => {
    const { prune, reading, committed, ids, notes, memory } = await withReaders();
    const [first = '', second = ''] = ids;
    const reader = await reading(second);
    const { databases } = await prune();
    expect(databases[0]?.inUse).toMatchObject([{ id: second, by: ['restore on db1'] }]);
    expect(databases[0]?.deleted.map(({ id }) => id)).toEqual([first, ids[2]]);
    expect(databases[0]?.run?.pruned?.inUse).toEqual([{ id: second, by: ['restore on db1'], until: '2026-10-06T04:00:00Z' }]);
    expect(databases[0]?.run?.pruned?.kept).toBe(4);
    expect(await committed()).toEqual([second, ...ids.slice(3)]);
    await reader.end();
    expect(notes()).toEqual([]);
    expect(memory.objects.has('deleting.json')).toBe(false);
    expect((await prune()).databases[0]?.deleted.map(({ id }) => id)).toEqual([second]);
  });

  test('is shown by a dry run, which changes nothing', async () => {
    const { prune, reading, ids, memory } = await withReaders();
    const reader = await reading(ids[1] ?? '');
    const before = new Map(memory.objects);
    expect((await prune({ dryRun: true })).databases[0]?.inUse).toMatchObject([{ id: ids[1], by: ['restore on db1'] }]);
    expect(memory.objects).toEqual(before);
    await reader.end();
  });

  test('stays for as long as that takes, in one note', async () => {
    const { prune, reading, committed, ids, notes, pass, told } = await withReaders();
    const reader = await reading(ids[0] ?? '');
    for (let minutes = 0; minutes < 60 * 12; minutes += 5) {
      await pass(5);
      expect(notes()).toHaveLength(1);
      if (minutes % 60 === 0) await prune();
    }
    expect(await committed()).toEqual([ids[0], ...ids.slice(3)]);
    expect(told).toEqual([]);
    await reader.end();
    expect(notes()).toEqual([]);
  });

  test('may be read by others, also in the middle of a prune that leaves it for the first', async () => {
    const { prune, reading, ids, memory, committed, notes } = await withReaders();
    const [first = ''] = ids;
    const one = await reading(first);
    let other: Awaited<ReturnType<typeof reading>> | undefined;
    const slow = {
      ...memory,
      async delete(key: string, signal?: AbortSignal) {
        if (key.endsWith('/manifest.json')) other ??= await reading(first);
        await memory.delete(key, signal);
      },
    };
    expect((await prune({}, slow)).databases[0]).toMatchObject({ inUse: [{ id: first }] });
    expect(notes()).toHaveLength(2);
    await Promise.all([one.end(), other?.end()]);
    expect(notes()).toEqual([]);
    expect(await committed()).toEqual([first, ...ids.slice(3)]);
  });

  test('through an export is kept from its first byte to its last', async () => {
    const shop = await withReaders();
    const { prune, committed, ids, notes } = shop;
    const exported: Uint8Array[] = [];
    await shop.export(ids[0] ?? '', async (plain) => {
      for await (const chunk of plain) {
        exported.push(chunk);
        expect((await prune()).databases[0]?.inUse).toMatchObject([{ id: ids[0], by: ['export on test'] }]);
      }
    });
    expect(Buffer.concat(exported)).toEqual(smallArchive(['a row\n']));
    expect(notes()).toEqual([]);
    expect(await committed()).toEqual([ids[0], ...ids.slice(3)]);
  });
});

describe('a reader that was killed', () => {
  test('keeps its backup for an hour, and its note is swept after another', async () => {
    const shop = await withReaders();
    const { prune, committed, ids, notes, pass } = shop;
    await killedReader(shop, ids[0] ?? '');
    await pass(59);
    await prune();
    expect(await committed()).toEqual([ids[0], ...ids.slice(3)]);
    await pass(2);
    expect((await prune()).databases[0]?.deleted.map(({ id }) => id)).toEqual([ids[0]]);
    expect(notes()).toHaveLength(1);
    await pass(60);
    await prune();
    expect(notes()).toEqual([]);
  });

  test('keeps it also with a note that cannot be read', async () => {
    const { prune, ids, memory } = await withReaders();
    await memory.put(`readers/${DATABASE}/${ids[0]}/20261006T030000Z-killed.json`, bytesOf('{}'));
    expect((await prune()).databases[0]?.inUse).toMatchObject([{ id: ids[0], by: ['a reader that left no name'] }]);
  });
});

describe('a prune that was killed', () => {
  test('at any step never lets a reader into a backup that is not whole, and after twenty minutes stands in nobody’s way', async () => {
    const shop = await withReaders();
    const { ids, memory, clock, pass } = shop;
    const before = new Map(memory.objects);
    const now = clock.now();
    const seen = new Set<string>();
    for (let step = 0; ; step += 1) {
      memory.objects.clear();
      for (const [key, bytes] of before) memory.objects.set(key, bytes);
      clock.setTo(now);
      const mortal = mortalStore(memory);
      mortal.dieAfter(step);
      await shop.prune({}, mortal).catch(() => {});
      if (!mortal.dead) break;
      for (const minutes of [0, 21]) {
        await pass(minutes);
        for (const id of ids) {
          const there = memory.objects.has(`${DATABASE}/${id}/manifest.json`);
          const outcome = await shop.reading(id).then(
            async ({ end }) => {
              await shop.dump(id);
              await end();
              return 'read';
            },
            (error: { code: string; message: string }) =>
              `${error.code}${error.message.includes('being deleted by prune on test') ? ': being deleted' : ''}`,
          );
          if (!there) expect(outcome).toMatch(/^no-backup/);
          if (minutes > 20) expect(outcome).toBe(there ? 'read' : 'no-backup');
          seen.add(`${there ? 'there' : 'gone'} after ${minutes}: ${outcome}`);
        }
      }
    }
    expect(seen).toContain('there after 0: no-backup: being deleted');
    expect(seen).toContain('there after 21: read');
    expect(seen).toContain('gone after 21: no-backup');
  });

  test('does so, too, where what it left cannot be read', async () => {
    const { reading, ids, memory, pass } = await withReaders();
    await memory.put('deleting.json', bytesOf('{'));
    await expect(reading(ids.at(-1) ?? '')).rejects.toMatchObject({ code: 'no-backup', hint: expect.stringContaining('deleting.json') });
    await pass(21);
    await (await reading(ids.at(-1) ?? '')).end();
  });

  test('by Ctrl-C takes back what it said, unless a delete is still unanswered', async () => {
    for (const [on, left] of [
      [`${DATABASE}/`, false],
      ['manifest', true],
    ] as const) {
      const { prune, memory } = await withReaders();
      const key = left ? /manifest\.json$/ : /dump/;
      await expect(prune({}, createFaultyStore(memory, { on: 'delete', key, fault: 'storage-unreachable' })), on).rejects.toThrow();
      expect(memory.objects.has('deleting.json')).toBe(left);
    }
  });
});

describe('a reader that cannot leave a note', () => {
  test.each(['storage-denied', 'storage-full', 'storage-unreachable'] as const)(
    'reads all the same, and says that one should pin (%s)',
    async (fault) => {
      const { reading, ids, memory, told, notes } = await withReaders();
      const store = createFaultyStore(memory, { on: 'put', fault });
      await (await reading(ids[0] ?? '', store)).end();
      expect(told).toMatchObject([{ type: 'warning', hint: expect.stringContaining(`jetbackup pin ${ids[0]}`) }]);
      expect(notes()).toEqual([]);
      // No right that it lacks is asked for twice.
      if (fault === 'storage-denied') expect(store.calls).toHaveLength(1);
    },
  );

  test('or may not look what is being deleted, reads all the same', async () => {
    const { reading, ids, memory, told } = await withReaders();
    await (await reading(ids[0] ?? '', createFaultyStore(memory, { on: 'get', key: 'deleting.json', fault: 'storage-denied' }))).end();
    expect(told).toMatchObject([{ type: 'warning' }]);
  });

  test('any more, for an hour, says so; if the backup is gone then it stops, and else goes on with a new note', async () => {
    for (const pruned of [true, false]) {
      const { reading, prune, ids, memory, told, notes, pass } = await withReaders();
      const store = createFaultyStore(memory);
      const reader = await reading(ids[0] ?? '', store);
      const [old] = notes();
      reader.over.catch(() => {});
      store.add({ on: 'put', fault: 'storage-unreachable' });
      for (let minutes = 0; minutes < 80; minutes += 1) await pass(1);
      expect(told).toMatchObject([{ type: 'warning', text: expect.stringContaining('for an hour') }]);
      expect(reader.signal.aborted).toBe(false);
      if (pruned) expect((await prune()).databases[0]?.deleted.map(({ id }) => id)).toContain(ids[0]);
      store.heal();
      await pass(1);
      expect(reader.signal.aborted).toBe(pruned);
      if (pruned) {
        await expect(reader.over).rejects.toMatchObject({ code: 'no-backup' });
      } else {
        expect(notes()).toHaveLength(1);
        expect(notes()).not.toEqual([old]);
        await reader.end();
      }
      expect(notes()).toEqual([]);
    }
  });
});

describe('a prune', () => {
  test('that may not say what it deletes deletes nothing', async () => {
    const { prune, committed, ids, memory } = await withReaders();
    const store = createFaultyStore(memory, { on: 'put', key: 'deleting.json', fault: 'storage-denied' });
    await expect(prune({}, store)).rejects.toMatchObject({ code: 'storage-denied', hint: expect.stringContaining('deleting.json') });
    expect(await committed()).toEqual(ids);
  });

  test('that may not look who reads deletes nothing', async () => {
    const { prune, committed, ids, memory } = await withReaders();
    const store = createFaultyStore(memory, { on: 'list', key: `readers/${DATABASE}/`, fault: 'storage-denied' });
    await expect(prune({}, store)).rejects.toMatchObject({ code: 'storage-denied', hint: expect.stringContaining('readers/') });
    expect(await committed()).toEqual(ids);
  });

  test('deletes a proof and a mark with their backup, also those that came after it had listed', async () => {
    const { prune, memory, strays } = await withReaders();
    const late = {
      ...memory,
      async delete(key: string, signal?: AbortSignal) {
        await memory.delete(key, signal);
        if (!key.endsWith('/dump.pgc.gz.age')) return;
        for (const name of ['proof.json', 'mark.json']) await memory.put(key.replace('dump.pgc.gz.age', name), bytesOf('{}'));
      },
    };
    expect((await prune({}, late)).databases[0]?.deleted).toHaveLength(3);
    expect(await strays()).toEqual([]);
  });
});
