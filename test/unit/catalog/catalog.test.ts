import { describe, expect, test } from 'vitest';
import { findBackup, idInstant, listCommitted, nextBackupId } from '../../../src/catalog/catalog.ts';
import { manifestKey, runRecordKey } from '../../../src/catalog/layout.ts';
import { parseMoment } from '../../../src/catalog/moment.ts';
import { bytesOf } from '../../../src/core/bytes.ts';
import { JetbackupError } from '../../../src/core/errors.ts';
import { newId } from '../../../src/core/ids.ts';
import { encodeManifest, type Manifest } from '../../../src/core/manifest.ts';
import { systemClock } from '../../../src/platform/clock.ts';
import { sampleManifest } from '../../support/manifest.ts';
import { createMemoryStore, type MemoryStore } from '../../support/memory-store.ts';

const context = { timeZone: 'UTC', now: idInstant('20261123T060000Z-aaaaaa') };
const trustAll = () => {};

async function repositoryOf(...backups: { id: string; snapshotInstant: string }[]): Promise<MemoryStore> {
  const store = createMemoryStore({ clock: systemClock });
  for (const backup of backups) await put(store, sampleManifest(backup));
  return store;
}

async function put(store: MemoryStore, manifest: Manifest): Promise<void> {
  await store.put(manifestKey(manifest.database, manifest.id), bytesOf(encodeManifest(manifest)));
}

const monday = { id: '20261116T020000Z-aaaaaa', snapshotInstant: '2026-11-16T02:00:03Z' };
const tuesday = { id: '20261117T020000Z-bbbbbb', snapshotInstant: '2026-11-17T02:00:03Z' };
const wednesday = { id: '20261118T020000Z-cccccc', snapshotInstant: '2026-11-18T02:00:03Z' };

describe('finding a backup', () => {
  const find = async (store: MemoryStore, when: string, accept: (manifest: Manifest) => void = trustAll) =>
    (await findBackup(store, 'jetadmin', parseMoment(when, context), accept)).id;

  test('takes the newest whose snapshot instant is at or before the moment', async () => {
    const store = await repositoryOf(monday, tuesday, wednesday);
    expect(await find(store, 'latest')).toBe(wednesday.id);
    expect(await find(store, '2026-11-17')).toBe(tuesday.id);
    expect(await find(store, '2026-11-18T02:00:03Z')).toBe(wednesday.id);
    expect(await find(store, '2026-11-18T02:00:02Z')).toBe(tuesday.id);
    expect(await find(store, monday.id)).toBe(monday.id);
  });

  test('goes by the signed snapshot instant where the clock of the backup host was wrong', async () => {
    const fast = { id: '20261117T120000Z-dddddd', snapshotInstant: '2026-11-16T14:00:00Z' };
    const store = await repositoryOf(monday, tuesday, fast);
    expect(await find(store, 'latest')).toBe(tuesday.id);
    expect(await find(store, '2026-11-16T15:00Z')).toBe(fast.id);
  });

  test('takes the one made last where the clock was turned back in between', async () => {
    const manifestSha256 = '0'.repeat(64);
    // Host and server were three days ahead at first; then both were set right.
    const early = { id: '20261119T020000Z-aaaaaa', snapshotInstant: '2026-11-19T02:00:03Z' };
    const late = { id: '20261119T020001Z-bbbbbb', snapshotInstant: '2026-11-16T14:00:00Z', previous: { id: early.id, manifestSha256 } };
    const store = await repositoryOf(early, late);
    expect(await find(store, 'latest')).toBe(late.id);
    // A standby may lag behind what was backed up from its primary before.
    const standby = sampleManifest(late);
    await put(store, { ...standby, server: { ...standby.server, standby: true } });
    expect(await find(store, 'latest')).toBe(early.id);
  });

  test('finds by its snapshot instant what has an id that is days too late', async () => {
    // The host was three days ahead, the server never.
    const first = { id: '20261119T020000Z-aaaaaa', snapshotInstant: '2026-11-16T02:00:03Z' };
    const second = { id: '20261119T020001Z-bbbbbb', snapshotInstant: '2026-11-17T02:00:03Z' };
    const store = await repositoryOf(first, second);
    expect(await find(store, '2026-11-16')).toBe(first.id);
    expect(await find(store, '2026-11-17')).toBe(second.id);
    expect(await find(store, 'latest')).toBe(second.id);
  });

  test('passes over a damaged manifest that is by its id too late for the moment', async () => {
    const store = await repositoryOf(monday, wednesday);
    store.objects.set(manifestKey('jetadmin', '20261120T020000Z-eeeeee'), Buffer.from('{'));
    expect(await find(store, '2026-11-16')).toBe(monday.id);
  });

  test('says what the oldest is when there is none so early', async () => {
    const store = await repositoryOf(tuesday);
    await expect(find(store, '2026-11-01')).rejects.toMatchObject({
      code: 'no-backup',
      message: 'no backup of "jetadmin" at or before 2026-11-01',
      hint: expect.stringContaining('2026-11-17T02:00:00Z'),
    });
    await expect(find(await repositoryOf(), 'latest')).rejects.toMatchObject({ code: 'no-backup' });
    await expect(find(store, '20261101T000000Z-zzzzzz')).rejects.toMatchObject({ code: 'no-backup' });
  });

  test('refuses a newest that is not authentic instead of going back to an older one', async () => {
    const store = await repositoryOf(monday, tuesday);
    const refuse = (manifest: Manifest) => {
      if (manifest.id === tuesday.id) throw new JetbackupError('not-authentic', 'forged');
    };
    await expect(find(store, 'latest', refuse)).rejects.toMatchObject({ code: 'not-authentic' });
    expect(await find(store, monday.id, refuse)).toBe(monday.id);
  });

  test('refuses a manifest that was copied over from another backup', async () => {
    const store = await repositoryOf(monday);
    store.objects.set(manifestKey('jetadmin', tuesday.id), encodeManifest(sampleManifest(monday)));
    await expect(find(store, 'latest')).rejects.toMatchObject({ code: 'not-authentic' });
  });

  test('refuses a manifest that is not JSON, or not one of ours', async () => {
    const store = await repositoryOf(monday);
    for (const bytes of ['{', '{}', '[]', '"x"', '\u0000', '{"format":9}']) {
      store.objects.set(manifestKey('jetadmin', tuesday.id), Buffer.from(bytes));
      await expect(find(store, 'latest')).rejects.toMatchObject({ code: 'damaged' });
    }
  });
});

describe('the id of the next backup', () => {
  const next = (store: MemoryStore, now: string) => nextBackupId(store, 'jetadmin', idInstant(now));

  test('is the present where that is later than every backup', async () => {
    const store = await repositoryOf(monday, tuesday);
    expect(await next(store, wednesday.id)).toMatch(/^20261118T020000Z-/);
    expect(await next(await repositoryOf(), wednesday.id)).toMatch(/^20261118T020000Z-/);
  });

  test('stays the present in the second of the newest, so that a run which fails after it sorts behind it', async () => {
    const at = (milliseconds: number) => idInstant(tuesday.id).add({ milliseconds });
    const id = newId(at(300));
    const store = await repositoryOf(monday, { ...tuesday, id });
    const second = await nextBackupId(store, 'jetadmin', at(700));
    expect([id, second, newId(at(800))].toSorted()).toEqual([id, second, expect.stringMatching(/^20261117T020000Z-/)]);
  });

  test('sorts behind the newest where the clock was turned back, or stands still', async () => {
    const store = await repositoryOf(monday, tuesday);
    for (const now of [monday.id, tuesday.id]) expect(await next(store, now)).toMatch(/^20261117T020001Z-/);
  });

  test('sorts behind the attempts that failed since, where the clock was turned back', async () => {
    const store = await repositoryOf(monday, tuesday);
    for (const failed of ['20261117T020001Z-zzzzzz', '20261117T020002Z-000000']) await store.put(runRecordKey(failed), bytesOf('{}'));
    expect(await next(store, monday.id)).toMatch(/^20261117T020003Z-/);
    for (const code of ['storage-denied', 'storage-failed'] as const) {
      const blind: typeof store = {
        ...store,
        list: (prefix, signal) => {
          if (prefix.startsWith('runs/')) throw new JetbackupError(code, 'no list of records');
          return store.list(prefix, signal);
        },
      };
      expect(await next(blind, monday.id)).toMatch(/^20261117T020001Z-/);
    }
  });
});

describe('listing', () => {
  test('shows only what has a manifest, of the database asked for', async () => {
    const store = await repositoryOf(monday, tuesday);
    await put(store, sampleManifest({ ...wednesday, database: 'other' }));
    for (const key of [
      'jetadmin/20261119T020000Z-eeeeee/dump.pgc.gz.age',
      'jetadmin/not-an-id/manifest.json',
      'runs/2026/11/x.json',
      'jetbackup.json',
    ]) {
      await store.put(key, bytesOf('x'));
    }
    const ids = async (database?: string) => (await Array.fromAsync(listCommitted(store, database))).map(({ id }) => id);
    expect(await ids('jetadmin')).toEqual([monday.id, tuesday.id]);
    expect(await ids()).toEqual([monday.id, tuesday.id, wednesday.id]);
  });
});
