import { Temporal } from 'temporal-polyfill';
import { describe, expect, it } from 'vitest';
import { manifestKey } from '../../../src/catalog/layout.ts';
import { bytesOf } from '../../../src/core/bytes.ts';
import { encodeManifest, type UnsignedManifest } from '../../../src/core/manifest.ts';
import { generateSigningKey, loadSigningKey, parsePublicKey, type SigningKey, sign } from '../../../src/crypto/signature.ts';
import { isBackedUpSince } from '../../../src/operations/backed-up-since.ts';
import { createFakeTime } from '../../support/fake-time.ts';
import { sampleManifest } from '../../support/manifests.ts';
import { createMemoryStore } from '../../support/memory-store.ts';

const never = new AbortController().signal;
const since = Temporal.Instant.from('2026-11-25T02:00:00.700Z');
const newKey = () => {
  const { privatePem, publicKey } = generateSigningKey();
  return { key: loadSigningKey(privatePem, 'a test'), publicKey: parsePublicKey(publicKey, 'a test') };
};
const ours = newKey();

async function asked(manifests: readonly Partial<UnsignedManifest>[], key: SigningKey = ours.key): Promise<boolean> {
  const clock = createFakeTime('2026-11-25T02:00:10Z').host();
  const store = createMemoryStore({ clock });
  for (const change of manifests) {
    const manifest = sign(sampleManifest({ database: 'shop', ...change }), key);
    await store.put(manifestKey(manifest.database, manifest.id), bytesOf(encodeManifest(manifest)));
  }
  return await isBackedUpSince({ store, clock, publicKeys: [ours.publicKey] }, { database: 'shop', since }, never);
}
const at = (startedAt: string, id = `${startedAt.replaceAll(/[-:]/g, '')}-aaaaaa`) => ({ id, startedAt });

describe('a due time', () => {
  it.each([
    ['is stood for by a backup that was begun in that second or later', [at('2026-11-25T02:00:00Z')], true],
    ['is not by one that was begun before', [at('2026-11-25T01:59:59Z')], false],
    ['is not by one of another database', [{ ...at('2026-11-25T02:00:00Z'), database: 'shop2' }], false],
    ['is not by one that a clock a year ahead made', [at('2027-11-25T02:00:00Z')], false],
    [
      'is not by one that was begun before, whose id one of a year ahead pushed ahead',
      [at('2027-11-25T02:00:00Z'), at('2026-11-24T02:00:00Z', '20271125T020001Z-aaaaaa')],
      false,
    ],
    ['is by one whose id was pushed ahead so', [at('2027-11-25T02:00:00Z'), at('2026-11-25T02:00:05Z', '20271125T020001Z-aaaaaa')], true],
  ])('%s', async (_, manifests, found) => {
    expect(await asked(manifests)).toBe(found);
  });

  it('is not stood for by what somebody else signed, or by what is no manifest', async () => {
    expect(await asked([at('2026-11-25T02:00:00Z')], newKey().key)).toBe(false);
    const clock = createFakeTime('2026-11-25T02:00:10Z').host();
    const store = createMemoryStore({ clock });
    await store.put('shop/20261125T020000Z-aaaaaa/manifest.json', bytesOf('{}'));
    await store.put('shop/20261125T020001Z-aaaaaa/dump.pgc.gz.age', bytesOf('{}'));
    expect(await isBackedUpSince({ store, clock, publicKeys: [ours.publicKey] }, { database: 'shop', since }, never)).toBe(false);
  });
});
