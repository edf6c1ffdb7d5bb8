import { randomBytes } from 'node:crypto';
import { beforeAll, describe, expect, it } from 'vitest';
import { readArtifact } from '../../../src/catalog/artifact-reader.ts';
import { writeArtifact } from '../../../src/catalog/artifact-writer.ts';
import { authenticate } from '../../../src/catalog/authenticate.ts';
import { readManifest } from '../../../src/catalog/catalog.ts';
import { createCodec } from '../../../src/compression/all.ts';
import { bytesOf, KiB } from '../../../src/core/bytes.ts';
import { isJetbackupError } from '../../../src/core/errors.ts';
import { type Artifact, canonicalBytes, encodeManifest, type Manifest } from '../../../src/core/manifest.ts';
import { createOpener, createSealer } from '../../../src/crypto/age.ts';
import { generateIdentity, parseIdentities } from '../../../src/crypto/identities.ts';
import type { Opener } from '../../../src/crypto/sealer.ts';
import { generateSigningKey, loadSigningKey, sign } from '../../../src/crypto/signature.ts';
import { systemClock } from '../../../src/platform/clock.ts';
import { sampleManifest } from '../../support/manifests.ts';
import { createMemoryStore } from '../../support/memory-store.ts';

const PLACES = 1_000;
/** Another seed, another thousand places: JETBACKUP_TEST_SEED=… repeats one. */
const seed = Number(process.env['JETBACKUP_TEST_SEED'] ?? 20_261_123);

/** mulberry32: small, and the same everywhere. */
function random(): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

const store = createMemoryStore({ clock: systemClock });
const signingKey = loadSigningKey(generateSigningKey().privatePem, 'the test');
const codec = createCodec('gzip');
const never = new AbortController().signal;
const id = '20261120T020000Z-k3f9qa';
const folder = `jetadmin/${id}/`;
let opener: Opener;
let artifact: Artifact;
let manifest: Manifest;

beforeAll(async () => {
  const { identity, recipient } = await generateIdentity();
  opener = createOpener(parseIdentities(identity, 'the test'));
  const plain = Buffer.concat([Buffer.alloc(100 * KiB, 'a row that compresses\n'), randomBytes(150 * KiB)]);
  artifact = await writeArtifact(
    { store, sealer: createSealer([recipient]), codec },
    { kind: 'dump', folder, open: () => bytesOf(plain) },
    never,
  );
  manifest = sign(sampleManifest({ id, artifacts: [artifact] }), signingKey);
  await store.put(`${folder}manifest.json`, bytesOf(encodeManifest(manifest)));
});

/** One bit at a time, each at a place of its own choice. */
async function flipEach(key: string, attempt: (where: string) => Promise<void>): Promise<void> {
  const whole = store.objects.get(key);
  if (whole === undefined) throw new Error(`${key} is not there`);
  const next = random();
  try {
    for (let count = 0; count < PLACES; count += 1) {
      const at = next(whole.byteLength);
      const bit = next(8);
      const damaged = Uint8Array.from(whole);
      damaged[at] = (damaged[at] ?? 0) ^ (1 << bit);
      store.objects.set(key, damaged);
      await attempt(`seed ${seed}, flip ${count}: bit ${bit} of byte ${at}`);
    }
  } finally {
    store.objects.set(key, whole);
  }
}

describe(`with one bit turned over (seed ${seed})`, () => {
  it('a dump is damaged wherever that is, and not one byte of it comes out', async () => {
    const reading = { folder, artifact };
    await flipEach(`${folder}dump.pgc.gz.age`, async (where) => {
      let bytes = 0;
      let failure: unknown;
      try {
        for await (const chunk of readArtifact({ store, opener, codec: () => codec }, reading, never)) bytes += chunk.byteLength;
      } catch (error) {
        failure = error;
      }
      expect(isJetbackupError(failure, 'damaged'), `${where}: ${failure}`).toBe(true);
      expect(bytes, where).toBe(0);
    });
  });

  it('a manifest is refused wherever that is, unless it says exactly the same', async () => {
    let same = 0;
    await flipEach(`${folder}manifest.json`, async (where) => {
      try {
        const read = await readManifest(store, { database: 'jetadmin', id });
        authenticate(read.manifest, manifest.repository, [signingKey.publicKey]);
        // Such as the case of a hexadecimal digit in an escape of JSON.
        expect(Buffer.from(canonicalBytes(read.manifest)).equals(canonicalBytes(manifest)), where).toBe(true);
        same += 1;
      } catch (error) {
        expect(isJetbackupError(error, 'damaged', 'not-authentic'), `${where}: ${error}`).toBe(true);
      }
    });
    expect(same).toBeLessThan(PLACES / 50);
  });

  it('the originals are accepted', async () => {
    const read = await readManifest(store, { database: 'jetadmin', id });
    authenticate(read.manifest, manifest.repository, [signingKey.publicKey]);
    let bytes = 0;
    for await (const chunk of readArtifact({ store, opener, codec: () => codec }, { folder, artifact }, never)) bytes += chunk.byteLength;
    expect(bytes).toBe(250 * KiB);
  });
});
