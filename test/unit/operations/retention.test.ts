import { describe, expect, it } from 'vitest';
import { resolvePolicy } from '../../../retention/policy.ts';
import { manifestKey } from '../../../src/catalog/layout.ts';
import { bytesOf } from '../../../src/core/bytes.ts';
import { encodeManifest, type Manifest } from '../../../src/core/manifest.ts';
import { generateSigningKey, loadSigningKey, sign } from '../../../src/crypto/signature.ts';
import { surveyRetention } from '../../../src/operations/retention.ts';
import { systemClock } from '../../../src/platform/clock.ts';
import { sampleManifest } from '../../support/manifests.ts';
import { createMemoryStore } from '../../support/memory-store.ts';

const { signal } = new AbortController();
const key = loadSigningKey(generateSigningKey().privatePem, 'the key');
const REPOSITORY = '7c9a8f0e-2f4b-4a53-9c86-4b7d1f3f2a10';
const input = { timeZone: 'UTC', databases: [{ database: 'shop', policy: resolvePolicy({ daily: 1 }), collapseRatio: 0.5 }] };

/** A repository of three backups, and which objects were read of it. */
async function repository() {
  const store = createMemoryStore({ clock: systemClock });
  await store.put('jetbackup.json', bytesOf(JSON.stringify({ format: 1, id: REPOSITORY, createdAt: '2026-11-01T00:00:00Z' })));
  const manifests: Manifest[] = [];
  for (const day of ['18', '19', '20']) {
    const instant = `2026-11-${day}T02:00:00Z`;
    const id = `202611${day}T020000Z-aaaaaa`;
    const manifest = sign(sampleManifest({ id, database: 'shop', repository: REPOSITORY, snapshotInstant: instant, pin: null }), key);
    await store.put(`shop/${id}/dump.pgc.gz.age`, bytesOf('x'.repeat(123)));
    await store.put(manifestKey('shop', id), bytesOf(encodeManifest(manifest)));
    manifests.push(manifest);
  }
  const read: string[] = [];
  const watched: typeof store = {
    ...store,
    get: async (wanted, options) => {
      read.push(wanted);
      return await store.get(wanted, options);
    },
  };
  return { deps: { store: watched, clock: systemClock, publicKeys: [key.publicKey] }, manifests, read };
}

describe('a survey', () => {
  it('that is given the manifests reads none of them once more, and comes to the same', async () => {
    const { deps, manifests, read } = await repository();
    const fresh = await surveyRetention(deps, input, signal);
    expect(read.filter((one) => one.endsWith('manifest.json'))).toHaveLength(3);
    read.length = 0;
    expect(await surveyRetention(deps, { ...input, manifests }, signal)).toEqual(fresh);
    expect(read.filter((one) => one.endsWith('manifest.json'))).toEqual([]);
    expect(fresh.databases[0]?.plan.expire).toHaveLength(2);
  });

  it.each([
    ['of a newer jetbackup', (manifest: Manifest) => JSON.stringify({ ...manifest, format: 2 }), 'unknown-format'],
    ['that is damaged', (manifest: Manifest) => JSON.stringify({ ...manifest, format: 0 }), 'unreadable'],
  ] as const)('sets a backup aside whose manifest is one %s, keeps it, and gives the reason', async (_, changed, reason) => {
    const { deps, manifests } = await repository();
    const [oldest] = manifests;
    if (oldest === undefined) throw new Error('there are three');
    await deps.store.delete(manifestKey('shop', oldest.id));
    await deps.store.put(manifestKey('shop', oldest.id), bytesOf(changed(oldest)));
    const [survey] = (await surveyRetention(deps, input, signal)).databases;
    expect(survey?.points.map(({ state }) => state)).toEqual([reason, 'ok', 'ok']);
    expect(survey?.plan.keep.find(({ point }) => point.id === oldest.id)?.reasons).toEqual([{ kind: reason }]);
    expect(survey?.plan.expire.map(({ point }) => point.id)).toEqual([manifests[1]?.id]);
    expect(survey?.plan.notes).toContainEqual({ database: 'shop', kind: 'set-aside', reason, count: 1 });
  });

  it('trusts no manifest that it is given more than one that it reads', async () => {
    const { deps, manifests } = await repository();
    const forged = manifests.map((manifest) => ({ ...manifest, snapshotInstant: '2020-01-01T00:00:00Z' }));
    const { databases } = await surveyRetention(deps, { ...input, manifests: forged }, signal);
    expect(databases[0]?.points.map(({ state }) => state)).toEqual(['unreadable', 'unreadable', 'unreadable']);
    expect(databases[0]?.plan.expire).toEqual([]);
  });
});
