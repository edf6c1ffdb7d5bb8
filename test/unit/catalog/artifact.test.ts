import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { checkObjects, readArtifact, readSealed } from '../../../src/catalog/artifact-reader.ts';
import { writeArtifact } from '../../../src/catalog/artifact-writer.ts';
import type { Codec } from '../../../src/compression/codec.ts';
import { bytesOf, collect, MiB, segmentMeter } from '../../../src/core/bytes.ts';
import { JetbackupError } from '../../../src/core/errors.ts';
import type { Artifact } from '../../../src/core/manifest.ts';
import { systemClock } from '../../../src/platform/clock.ts';
import { createFaultyStore } from '../../support/faulty-store.ts';
import { sampleArtifact } from '../../support/manifest.ts';
import { createMemoryStore } from '../../support/memory-store.ts';

const folder = 'jetadmin/20261120T020000Z-k3f9qa/';
const plainCodec: Codec = { name: 'gzip', extension: '.gz', compress: (stream) => stream, decompress: (stream) => stream };
const plainSealer = { recipients: ['age1example'], seal: (stream: AsyncIterable<Uint8Array>) => stream };
/** What it gives out is its own, as what the real one decrypts. */
const plainOpener = {
  async *open(stream: AsyncIterable<Uint8Array>) {
    for await (const chunk of stream) yield Buffer.from(chunk);
  },
};
const signal = new AbortController().signal;

function writing(store: ReturnType<typeof createMemoryStore>, body: (signal: AbortSignal) => AsyncIterable<Uint8Array>): Promise<Artifact> {
  return writeArtifact({ store, sealer: plainSealer, codec: plainCodec }, { kind: 'dump', folder, open: body }, signal);
}

async function reading(store: Parameters<typeof readSealed>[0], artifact: Artifact): Promise<Buffer> {
  const stream = readArtifact({ store, opener: plainOpener, codec: () => plainCodec }, { folder, artifact }, signal);
  return Buffer.from(await collect(stream, 100 * MiB));
}

describe('writing an artifact', () => {
  test.each([0, 1, 99, 100, 101, 200, 1000])('%i bytes over objects of 100 come back, without an empty object at the end', async (size) => {
    const store = createMemoryStore({ clock: systemClock, capacity: 100 });
    const data = randomBytes(size);
    const artifact = await writing(store, () => bytesOf(...cut(data, 37)));
    expect(artifact.objects.length).toBe(Math.max(1, Math.ceil(size / 100)));
    expect([...store.objects.keys()].sort()).toEqual(artifact.objects.map(({ name }) => `${folder}${name}`));
    if (size > 0) expect(await reading(store, artifact)).toEqual(data);
  });

  test('a source that fails is reported as it is, and the object it was in does not appear', async () => {
    const store = createMemoryStore({ clock: systemClock });
    const failing = async function* () {
      yield randomBytes(10);
      throw new JetbackupError('dump-failed', 'pg_dump exited with status 1');
    };
    await expect(writing(store, failing)).rejects.toMatchObject({ code: 'dump-failed' });
    expect(store.objects.size).toBe(0);
  });

  test('a store that fails stops a source that is quiet', async () => {
    const store = {
      ...createMemoryStore({ clock: systemClock }),
      put: async (_key: string, body: AsyncIterable<Uint8Array>) => {
        void body[Symbol.asyncIterator]().next();
        throw new JetbackupError('storage-full', 'no space');
      },
    };
    let stopped = false;
    const quiet = async function* (stop: AbortSignal) {
      await new Promise((resolve) => stop.addEventListener('abort', resolve));
      stopped = true;
      yield randomBytes(1);
    };
    const written = writeArtifact({ store, sealer: plainSealer, codec: plainCodec }, { kind: 'dump', folder, open: quiet }, signal);
    await expect(written).rejects.toMatchObject({ code: 'storage-full' });
    expect(stopped).toBe(true);
  });
});

function cut(data: Buffer, size: number): Buffer[] {
  return Array.from({ length: Math.ceil(data.byteLength / size) }, (_, index) => data.subarray(index * size, (index + 1) * size));
}

/** An artifact of small segments, made by hand. */
async function stored(data: Buffer, segmentBytes: number, objectBytes: number) {
  const store = createMemoryStore({ clock: systemClock });
  const meter = segmentMeter(segmentBytes);
  const objects: Artifact['objects'] = [];
  for await (const block of meter.through(bytesOf(...cut(data, objectBytes)))) {
    const name = objects.length === 0 ? 'dump.pgc.gz.age' : `dump.pgc.gz.age.${String(objects.length + 1).padStart(4, '0')}`;
    await store.put(`${folder}${name}`, bytesOf(block));
    objects.push({ name, bytes: block.byteLength });
  }
  const measured = meter.measure();
  const artifact = sampleArtifact({
    objects,
    plain: measured,
    compressed: measured,
    sealed: measured,
    segmentBytes,
    segments: [...meter.segments()],
  });
  return { store, artifact };
}

describe('reading an artifact', () => {
  test('segments that lie across objects come back in order', async () => {
    const data = randomBytes(10_000);
    const { store, artifact } = await stored(data, 640, 999);
    await checkObjects(store, folder, artifact);
    expect(await reading(store, artifact)).toEqual(data);
  });

  test('a bit flipped anywhere is damage, and no byte of its segment is released', async () => {
    const data = randomBytes(5_000);
    const { store, artifact } = await stored(data, 640, 999);
    for (let place = 0; place < data.byteLength; place += 97) {
      const key = `${folder}${artifact.objects[Math.floor(place / 999)]?.name}`;
      const object = store.objects.get(key);
      if (object === undefined) throw new Error(key);
      object[place % 999] = (object[place % 999] ?? 0) ^ 4;
      const released: Uint8Array[] = [];
      const read = async () => {
        for await (const chunk of readSealed(store, folder, artifact, signal)) released.push(Buffer.from(chunk));
      };
      await expect(read()).rejects.toMatchObject({ code: 'damaged' });
      expect(Buffer.concat(released)).toEqual(data.subarray(0, Math.floor(place / 640) * 640));
      object[place % 999] = (object[place % 999] ?? 0) ^ 4;
    }
    expect(await reading(store, artifact)).toEqual(data);
  });

  test('a transfer that was broken once is read again', async () => {
    const data = randomBytes(5_000);
    const { store, artifact } = await stored(data, 640, 5_000);
    expect(await reading(createFaultyStore(store, { on: 'get', fault: 'flip-bit', nth: 3, afterBytes: 5 }), artifact)).toEqual(data);
  });

  test('a missing object and one of the wrong length are found before anything is read', async () => {
    const { store, artifact } = await stored(randomBytes(3_000), 640, 999);
    const [first, second] = artifact.objects.map(({ name }) => `${folder}${name}`);
    if (first === undefined || second === undefined) throw new Error('two objects');
    const whole = store.objects.get(first) ?? new Uint8Array();
    store.objects.set(first, whole.subarray(1));
    await expect(checkObjects(store, folder, artifact)).rejects.toMatchObject({ code: 'damaged', message: expect.stringContaining('998') });
    store.objects.set(first, whole);
    store.objects.delete(second);
    await expect(checkObjects(store, folder, artifact)).rejects.toMatchObject({
      code: 'damaged',
      message: expect.stringContaining('missing'),
    });
  });

  test('plaintext that is not what was backed up is damage at the end, even where every segment is right', async () => {
    const { store, artifact } = await stored(randomBytes(3_000), 640, 999);
    const lied = { ...artifact, plain: { ...artifact.plain, sha256: 'f'.repeat(64) } };
    await expect(reading(store, lied)).rejects.toMatchObject({ code: 'damaged' });
  });

  test('leaving early stops the segments that are under way', async () => {
    const { store, artifact } = await stored(randomBytes(10_000), 640, 999);
    for await (const _ of readSealed(store, folder, artifact, signal)) break;
    await expect(reading(createFaultyStore(store, { on: 'get', fault: 'storage-unreachable', nth: 2 }), artifact)).rejects.toMatchObject({
      code: 'storage-unreachable',
    });
  });
});
