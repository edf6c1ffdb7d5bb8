import { Temporal } from 'temporal-polyfill';
import { describe, expect, test } from 'vitest';
import { resolvePolicy } from '../../../retention/policy.ts';
import { bytesOf } from '../../../src/core/bytes.ts';
import { JetbackupError } from '../../../src/core/errors.ts';
import type { PruneResult } from '../../../src/operations/prune.ts';
import { createMemoryStore } from '../../support/memory-store.ts';
import { mortalStore, simulatedClock } from '../../support/simulated-time.ts';
import { smallArchive } from '../../support/small-archive.ts';
import { openSmallInstallation, type SmallOptions } from '../../support/small-installation.ts';

const start = Temporal.Instant.from('2026-10-01T02:00:00Z');
const policy = { daily: 3 };
const nothing = resolvePolicy({});

/** So many daily backups, and the clock an hour after the last. */
async function withBackups(count: number, options: Partial<SmallOptions> = {}) {
  const clock = simulatedClock(start);
  const memory = createMemoryStore({ clock });
  const store = mortalStore(memory);
  let rows = ['a row\n'];
  const installation = await openSmallInstallation({ store, clock, policy, rows: () => rows, ...options });
  const ids: string[] = [];
  for (let day = 0; day < count; day += 1) {
    clock.setTo(start.add({ hours: 24 * day }));
    ids.push((await installation.backup()).id);
  }
  const later = (hours: number) => clock.setTo(clock.now().add({ hours }));
  later(1);
  return {
    ...installation,
    ...{ clock, memory, store, ids, later },
    setRows: (next: string[]) => {
      rows = next;
    },
  };
}

describe('prune', () => {
  test('deletes what goes, whole, oldest first, and records each with its reasons', async () => {
    const { prune, committed, ids, memory, strays } = await withBackups(6);
    const { databases } = await prune();
    expect(databases[0]?.deleted.map(({ id }) => id)).toEqual(ids.slice(0, 3));
    expect(await committed()).toEqual(ids.slice(3));
    expect(await strays()).toEqual([]);
    const record = databases[0]?.run;
    expect(record?.pruned?.deleted.map(({ reasons }) => reasons.length > 0)).toEqual([true, true, true]);
    expect([...memory.objects.keys()]).toContain(`runs/${record?.id.slice(0, 4)}/${record?.id.slice(4, 6)}/${record?.id}.json`);
    expect((await prune()).databases[0]?.deleted).toEqual([]);
  });

  test('in a dry run says the same and changes nothing', async () => {
    const { prune, ids, memory } = await withBackups(6);
    const before = new Map(memory.objects);
    const { databases } = await prune({ dryRun: true });
    expect(databases[0]?.plan.expire.map(({ point }) => point.id)).toEqual(ids.slice(0, 3));
    expect(memory.objects).toEqual(before);
  });

  test('without a policy deletes nothing', async () => {
    const { prune, committed, ids } = await withBackups(6, { policy: {} });
    await prune();
    expect(await committed()).toEqual(ids);
  });

  test('killed at any step leaves every backup that stays, and no half one; the next one finishes', async () => {
    const { prune, committed, ids, memory, store, strays, later, clock } = await withBackups(7);
    const before = new Map(memory.objects);
    const now = clock.now();
    for (let step = 0; ; step += 1) {
      memory.objects.clear();
      for (const [key, bytes] of before) memory.objects.set(key, bytes);
      clock.setTo(now);
      store.dieAfter(step);
      const finished = await prune().then(
        () => true,
        () => false,
      );
      if (finished && !store.dead) {
        expect(step).toBeGreaterThan(15);
        return;
      }
      store.revive();
      // `committed` refuses a backup that lacks an object.
      const left = await committed();
      expect(left.slice(-3), `step ${step}`).toEqual(ids.slice(-3));
      // Beyond the lease of the dead one, and beyond the age at which what it left counts as dead.
      later(72);
      await prune();
      expect(await committed()).toEqual(ids.slice(-3));
      expect(await strays()).toEqual([]);
    }
  });

  test('beside another prune stands back, or finds nothing left to do; what stays is whole', async () => {
    const { prune, committed, ids, strays } = await withBackups(12);
    const results = await Promise.allSettled(Array.from({ length: 4 }, () => prune()));
    const refused = results.filter((result) => result.status === 'rejected');
    for (const { reason } of refused) expect(reason).toMatchObject({ code: 'locked' });
    // Each that went was deleted by one of them, and by nobody else.
    const deleted = results.flatMap((result) => (result.status === 'fulfilled' ? (result.value.databases[0]?.deleted ?? []) : []));
    expect(deleted.map(({ id }) => id)).toEqual(ids.slice(0, -3));
    expect(await committed()).toEqual(ids.slice(-3));
    expect(await strays()).toEqual([]);
  });

  test('beside a backup leaves that alone, however long it takes to commit', async () => {
    const { prune, backup, committed, ids, memory, clock, setRows } = await withBackups(6);
    let pruned: Promise<PruneResult> | undefined;
    const during = mortalStore(memory);
    const put = during.put.bind(during);
    const slow = {
      ...during,
      async put(...args: Parameters<typeof put>) {
        // Everything is stored, and nothing committed.
        if (args[0].endsWith('/manifest.json')) {
          pruned = prune();
          await pruned;
        }
        return await put(...args);
      },
    };
    clock.setTo(clock.now().add({ hours: 23 }));
    setRows(['another row\n']);
    const { id } = await backup({}, slow);
    const [shop] = (await pruned)?.databases ?? [];
    expect(shop?.deleted.map((one) => one.id)).toEqual(ids.slice(0, 3));
    expect(shop?.orphans).toEqual([]);
    expect(await committed()).toEqual([...ids.slice(-3), id]);
  });

  test('beside a reader of a backup that stays does not disturb it', async () => {
    const { prune, dump, ids } = await withBackups(6);
    const [read] = await Promise.all([dump(ids.at(-1) ?? ''), prune()]);
    expect(Buffer.from(read)).toEqual(smallArchive(['a row\n']));
  });

  test('spares what somebody pins, before or in the middle of it, and lets it go when the pin is taken back', async () => {
    const { prune, mark, committed, ids, later } = await withBackups(6);
    await mark(ids[0] ?? '', { pin: { reason: 'the audit' } });
    await prune();
    expect(await committed()).toEqual([ids[0], ...ids.slice(3)]);
    later(1);
    await mark(ids[0] ?? '', { pin: null });
    await prune();
    expect(await committed()).toEqual(ids.slice(3));
  });

  test('notices a pin that came after its plan', async () => {
    const { prune, mark, committed, ids, store } = await withBackups(6);
    const stat = store.stat.bind(store);
    let marked = false;
    const meanwhile = {
      ...store,
      async stat(...args: Parameters<typeof stat>) {
        if (!marked && args[0].endsWith('/mark.json')) {
          marked = true;
          await mark(ids[1] ?? '', { pin: { reason: 'just now' } });
        }
        return await stat(...args);
      },
    };
    const { databases } = await prune({}, meanwhile);
    expect(databases[0]?.spared).toEqual([ids[1]]);
    expect(await committed()).toEqual([ids[1], ...ids.slice(3)]);
  });

  test('keeps a backup whose mark somebody has damaged, or copied from another', async () => {
    const { prune, mark, committed, ids, memory } = await withBackups(6);
    await mark(ids[0] ?? '', { pin: null });
    const bytes = memory.objects.get(`shop/${ids[0]}/mark.json`) ?? new Uint8Array();
    memory.objects.set(`shop/${ids[1]}/mark.json`, bytes.slice());
    memory.objects.set(`shop/${ids[2]}/mark.json`, new TextEncoder().encode('{"pin":null}'));
    await prune();
    expect(await committed()).toEqual(ids.slice(1));
  });

  test('never deletes a manifest that it cannot read or trust, nor what may belong to it', async () => {
    const { prune, ids, memory } = await withBackups(6);
    memory.objects.set(`shop/${ids[0]}/manifest.json`, new TextEncoder().encode('{}'));
    const objects = () => [...memory.objects.keys()].filter((key) => ids.slice(0, 2).some((id) => key.startsWith(`shop/${id}/`)));
    const before = objects();
    expect(before).toHaveLength(6);
    const forged = new TextDecoder().decode(memory.objects.get(`shop/${ids[1]}/manifest.json`)).replace('15.8', '15.9');
    memory.objects.set(`shop/${ids[1]}/manifest.json`, new TextEncoder().encode(forged));
    const { databases } = await prune();
    expect(databases[0]?.deleted.map(({ id }) => id)).toEqual([ids[2]]);
    expect(objects()).toEqual(before);
  });

  test('deletes nothing while the newest backup run has failed', async () => {
    let fails = false;
    const shop = await withBackups(6, {
      rows() {
        if (fails) throw new JetbackupError('dump-failed', 'no space left on the database’s disk');
        return ['a row\n'];
      },
    });
    fails = true;
    shop.later(23);
    await expect(shop.backup()).rejects.toMatchObject({ code: 'dump-failed' });
    shop.later(1);
    expect((await shop.prune()).databases[0]?.deleted).toEqual([]);
    expect(await shop.committed()).toEqual(shop.ids);
    fails = false;
    const { id } = await shop.backup();
    await shop.prune();
    expect(await shop.committed()).toEqual([...shop.ids.slice(4), id]);
  });

  test('is frozen by a backup that collapsed, until somebody accepts it', async () => {
    const { setRows, later, backup, prune, committed, accept, ids } = await withBackups(6);
    setRows(['x'.repeat(5_000)]);
    const grown: string[] = [];
    for (let day = 0; day < 7; day += 1) {
      later(24);
      grown.push((await backup()).id);
    }
    setRows([]);
    later(24);
    const { id: empty } = await backup();
    const frozen = await prune();
    expect(frozen.databases[0]).toMatchObject({ frozenBy: empty, deleted: [] });
    expect(await committed()).toEqual([...ids, ...grown, empty]);
    await accept(empty, 'the tenants were moved to another database');
    await prune();
    expect(await committed()).toEqual([...grown.slice(-2), empty]);
    // The acceptance outlives the backup that it names.
    for (let day = 0; day < 5; day += 1) {
      later(24);
      await backup();
    }
    expect((await prune()).databases[0]?.frozenBy).toBeUndefined();
  });

  test('removes what a dead run left only after 48 hours of silence', async () => {
    const { prune, memory, later, strays } = await withBackups(2);
    const orphan = 'shop/20261003T020000Z-dddddd/dump.pgc.gz.age';
    await memory.put(orphan, bytesOf('x'));
    later(47);
    await prune();
    expect(await strays()).toEqual([orphan]);
    later(2);
    const { databases } = await prune();
    expect(databases[0]?.orphans).toEqual(['20261003T020000Z-dddddd']);
    expect(await strays()).toEqual([]);
  });

  test('removes run records two years older than the newest backup, and none because time went by without one', async () => {
    const { prune, backup, memory, later, clock } = await withBackups(2);
    const records = () => [...memory.objects.keys()].filter((key) => key.startsWith('runs/'));
    const old = records();
    clock.setTo(clock.now().add({ hours: 24 * 800 }));
    await prune();
    expect(records()).toEqual(expect.arrayContaining(old));
    await backup();
    later(1);
    expect((await prune()).runRecords).toBe(old.length);
    for (const key of old) expect(records()).not.toContain(key);
  });

  test('refuses to judge ages where this machine’s clock and the store’s differ by more than an hour', async () => {
    const { committed, ids, memory, store, clock, prune } = await withBackups(6);
    const before = [...memory.objects.keys()];
    const behind = {
      ...store,
      async stat(...args: Parameters<typeof store.stat>) {
        const info = await store.stat(...args);
        return info && { ...info, modified: clock.now().subtract({ hours: 2 }) };
      },
    };
    await expect(prune({}, behind)).rejects.toMatchObject({
      code: 'storage-failed',
      message: expect.stringContaining('120 minutes ahead'),
    });
    expect(await committed()).toEqual(ids);
    // Nor anything else, such as run records or what a dead run left.
    expect([...memory.objects.keys()]).toEqual(expect.arrayContaining(before));
  });

  test('lets no hollow backup stand for a whole one', async () => {
    const { prune, ids, memory, committed } = await withBackups(6);
    const [, , , hollow = '', short = ''] = ids;
    memory.objects.delete(`shop/${hollow}/dump.pgc.gz.age`);
    memory.objects.set(`shop/${short}/dump.pgc.gz.age`, new Uint8Array(3));
    const { databases } = await prune();
    // Three days, of what is whole; what is not stays until somebody has looked.
    expect(databases[0]?.deleted.map(({ id }) => id)).toEqual([ids[0]]);
    await expect(committed()).rejects.toThrow(/lacks dump/);
    expect(databases[0]?.plan.notes).toContainEqual({ database: 'shop', kind: 'set-aside', reason: 'incomplete', count: 2 });
  });

  test('takes nothing that stands in the place of a manifest for a success after a failed run', async () => {
    let fails = false;
    const shop = await withBackups(6, {
      rows() {
        if (fails) throw new JetbackupError('dump-failed', 'no space left on the database’s disk');
        return ['a row\n'];
      },
    });
    fails = true;
    shop.later(23);
    await expect(shop.backup()).rejects.toMatchObject({ code: 'dump-failed' });
    shop.later(2);
    await shop.memory.put('shop/20261007T040000Z-zzzzzz/manifest.json', bytesOf('{}'));
    expect((await shop.prune()).databases[0]?.deleted).toEqual([]);
  });

  test('keeps the record of a failed backup that nothing has made good, however old', async () => {
    let fails = false;
    const shop = await withBackups(2, {
      rows() {
        if (fails) throw new JetbackupError('dump-failed', 'no space left on the database’s disk');
        return ['a row\n'];
      },
    });
    fails = true;
    shop.later(1);
    await expect(shop.backup()).rejects.toMatchObject({ code: 'dump-failed' });
    const failed = [...shop.memory.objects.keys()].filter((key) => key.startsWith('runs/')).at(-1) ?? '';
    fails = false;
    shop.later(24 * 800);
    await shop.backup({ database: 'other' });
    await shop.prune({
      databases: [
        { database: 'shop', policy: { ...nothing, daily: 1 }, collapseRatio: 0 },
        { database: 'other', policy: { ...nothing, daily: 1 }, collapseRatio: 0 },
      ],
    });
    expect([...shop.memory.objects.keys()]).toContain(failed);
    expect(await shop.committed()).toHaveLength(2);
  });
});
