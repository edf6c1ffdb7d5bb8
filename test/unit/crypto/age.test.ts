import { randomBytes } from 'node:crypto';
import { inspect } from 'node:util';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type ByteStream, bytesOf, collect, KiB, MiB } from '../../../src/core/bytes.ts';
import { isJetbackupError, JetbackupError } from '../../../src/core/errors.ts';
import { createOpener, createSealer } from '../../../src/crypto/age.ts';
import { generateIdentity, parseIdentities } from '../../../src/crypto/identities.ts';

const chunk = 64 * KiB;
const { identity, recipient } = await generateIdentity();
const other = await generateIdentity();
const sealer = createSealer([recipient]);
const opener = createOpener(parseIdentities(identity, 'keys.txt'));

const seal = (plain: Uint8Array) => collect(sealer.seal(bytesOf(plain)), 64 * MiB);
const openAll = (sealed: Uint8Array) => collect(opener.open(bytesOf(sealed)), 64 * MiB);

/** What was released, and the error that ended it. */
async function openAnyhow(stream: ByteStream): Promise<{ released: Buffer; error: unknown }> {
  const chunks: Uint8Array[] = [];
  try {
    for await (const piece of opener.open(stream)) chunks.push(piece);
  } catch (error) {
    return { released: Buffer.concat(chunks), error };
  }
  return { released: Buffer.concat(chunks), error: undefined };
}

async function caught(run: () => unknown): Promise<JetbackupError> {
  try {
    await run();
  } catch (error) {
    if (error instanceof JetbackupError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

/** `bytes` cut at the given fractions. */
function cut(bytes: Uint8Array, at: readonly number[]): Uint8Array[] {
  const offsets = [0, ...at.map((fraction) => Math.floor(fraction * bytes.byteLength)).sort((a, b) => a - b), bytes.byteLength];
  return offsets.slice(1).map((end, index) => bytes.subarray(offsets[index], end));
}
const fractions = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 8 });

describe('what was sealed', () => {
  test.each([0, 1, chunk - 1, chunk, chunk + 1, 2 * chunk, 2 * chunk + 1, 8 * chunk, 8 * chunk + 1, 1_000_000])(
    'comes back equal at %i bytes',
    async (size) => {
      const plain = randomBytes(size);
      expect(plain.equals(await openAll(await seal(plain)))).toBe(true);
    },
  );

  test('comes back equal however both streams were cut into pieces', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: 3 * chunk }), fractions, fractions, async (size, cutsOfPlain, cutsOfSealed) => {
        const plain = randomBytes(size);
        const sealed = await collect(sealer.seal(bytesOf(...cut(plain, cutsOfPlain))), MiB);
        const opened = await collect(opener.open(bytesOf(...cut(sealed, cutsOfSealed))), MiB);
        expect(plain.equals(opened)).toBe(true);
      }),
      { numRuns: 60 },
    );
  });

  test('does not depend on pieces that their producer writes over afterwards', async () => {
    const plain = randomBytes(3 * chunk + 5);
    async function* reusing(bytes: Uint8Array): ByteStream {
      const buffer = Buffer.alloc(1000);
      for (let offset = 0; offset < bytes.byteLength; offset += buffer.byteLength) {
        const part = bytes.subarray(offset, offset + buffer.byteLength);
        buffer.set(part);
        yield buffer.subarray(0, part.byteLength);
        buffer.fill(0xff);
      }
    }
    const sealed = await collect(sealer.seal(reusing(plain)), MiB);
    expect(plain.equals(await collect(opener.open(reusing(sealed)), MiB))).toBe(true);
  });

  test('is different each time, also for equal content', async () => {
    const plain = Buffer.alloc(100);
    expect(await seal(plain)).not.toEqual(await seal(plain));
  });

  test('opens with each of several identities, and only with those', async () => {
    const plain = randomBytes(1000);
    const sealed = await collect(createSealer([recipient, other.recipient]).seal(bytesOf(plain)), MiB);
    for (const key of [identity, other.identity]) {
      const opened = await collect(createOpener(parseIdentities(key, 'keys.txt')).open(bytesOf(sealed)), MiB);
      expect(plain.equals(opened)).toBe(true);
    }
    const stranger = await generateIdentity();
    const error = await caught(() => collect(createOpener(parseIdentities(stranger.identity, 'keys.txt')).open(bytesOf(sealed)), MiB));
    expect(error.code).toBe('key-wrong');
    expect(error.message).toContain('2 recipients');
    expect(error.hint).toContain(stranger.recipient);
    expect(inspect(error, { depth: 9 })).not.toContain(stranger.identity);
  });
});

describe('a sealed stream that is not whole', () => {
  const size = 2 * chunk + 1000;
  const plain = randomBytes(size);

  test('never ends normally when any one bit is flipped, and gives out only whole chunks from before the flip', async () => {
    const sealed = await seal(plain);
    const headerBytes = sealed.byteLength - size - 3 * 16;
    await fc.assert(
      fc.asyncProperty(fc.nat(sealed.byteLength - 1), fc.nat(7), async (at, bit) => {
        const flipped = Buffer.from(sealed);
        flipped.writeUInt8(flipped.readUInt8(at) ^ (1 << bit), at);
        const { released, error } = await openAnyhow(bytesOf(flipped));
        // In its header it may say that the key is another one; what comes after can only be damage.
        if (!isJetbackupError(error, 'damaged')) expect([at < headerBytes - 16, error]).toMatchObject([true, { code: 'key-wrong' }]);
        const intact = at < headerBytes ? 0 : Math.floor((at - headerBytes) / (chunk + 16)) * chunk;
        expect(released.byteLength).toBe(intact);
        expect(released.equals(plain.subarray(0, intact))).toBe(true);
      }),
      { numRuns: 300 },
    );
  });

  test('never ends normally when it is cut anywhere, and gives out only whole chunks from before the cut', async () => {
    const sealed = await seal(plain);
    const headerBytes = sealed.byteLength - size - 3 * 16;
    const interesting = [0, 1, headerBytes - 17, headerBytes - 1, headerBytes, headerBytes + chunk + 16, headerBytes + 2 * (chunk + 16)];
    await fc.assert(
      fc.asyncProperty(fc.oneof(fc.constantFrom(...interesting), fc.nat(sealed.byteLength - 1)), fractions, async (length, cuts) => {
        const { released, error } = await openAnyhow(bytesOf(...cut(sealed.subarray(0, length), cuts)));
        expect(error).toMatchObject({ code: 'damaged' });
        const intact = Math.max(0, Math.floor((length - headerBytes) / (chunk + 16)) * chunk);
        expect(released.byteLength).toBe(intact);
        expect(released.equals(plain.subarray(0, intact))).toBe(true);
      }),
      { numRuns: 100 },
    );
  });

  test('is refused with anything after its end', async () => {
    for (const bytes of [1, 16, chunk, chunk + 16]) {
      for (const content of [plain, plain.subarray(0, 2 * chunk)]) {
        const { error } = await openAnyhow(bytesOf(await seal(content), randomBytes(bytes)));
        expect(error).toMatchObject({ code: 'damaged' });
      }
    }
    const twice = await openAnyhow(bytesOf(await seal(plain.subarray(0, chunk)), await seal(plain)));
    expect(twice.error).toMatchObject({ code: 'damaged', message: expect.stringContaining('added after its end') });
  });

  test('is refused with two chunks exchanged', async () => {
    const sealed = await seal(plain);
    const start = sealed.byteLength - size - 3 * 16;
    const step = chunk + 16;
    const swapped = Buffer.concat([
      sealed.subarray(0, start),
      sealed.subarray(start + step, start + 2 * step),
      sealed.subarray(start, start + step),
      sealed.subarray(start + 2 * step),
    ]);
    const { released, error } = await openAnyhow(bytesOf(swapped));
    expect(error).toMatchObject({ code: 'damaged' });
    expect(released.byteLength).toBe(0);
  });

  test('says where it broke off', async () => {
    const sealed = await seal(plain);
    const start = sealed.byteLength - size - 3 * 16;
    expect((await openAnyhow(bytesOf(sealed.subarray(0, start + chunk + 16)))).error).toMatchObject({
      message: expect.stringContaining('ends early, after chunk 0'),
    });
    expect((await openAnyhow(bytesOf())).error).toMatchObject({ code: 'damaged', message: expect.stringContaining('empty') });
    expect((await openAnyhow(bytesOf('PGDMP and so on, much longer than a version line'))).error).toMatchObject({
      code: 'damaged',
      message: 'this is not an age file',
    });
    expect((await openAnyhow(bytesOf('-----BEGIN AGE ENCRYPTED FILE-----\n'))).error).toMatchObject({
      message: expect.stringContaining('armored'),
    });
  });
});

describe('a header without an end', () => {
  test('is given up after 256 KiB', async () => {
    let asked = 0;
    async function* endless(): ByteStream {
      yield Buffer.from('age-encryption.org/v1\n-> X25519 ');
      for (;;) {
        asked += 1;
        yield Buffer.alloc(16 * KiB, 'a');
      }
    }
    const { error } = await openAnyhow(endless());
    expect(error).toMatchObject({ code: 'damaged', message: expect.stringContaining('longer than') });
    expect(asked).toBeLessThanOrEqual(17);
  });

  test('is given up at once when the first bytes are not those of an age file', async () => {
    let asked = 0;
    async function* garbage(): ByteStream {
      for (;;) {
        asked += 1;
        yield Buffer.from('x');
      }
    }
    expect((await openAnyhow(garbage())).error).toMatchObject({ code: 'damaged' });
    expect(asked).toBe(1);
  });
});

describe('when a neighbour fails', () => {
  test('a plaintext that throws gives a sealed stream that throws the same, and what is there does not open to a normal end', async () => {
    const failure = new Error('pg_dump exited with status 1');
    async function* failing(): ByteStream {
      yield randomBytes(20 * chunk);
      throw failure;
    }
    const written: Uint8Array[] = [];
    await expect(
      (async () => {
        for await (const piece of sealer.seal(failing())) written.push(piece);
      })(),
    ).rejects.toBe(failure);
    expect(Buffer.concat(written).byteLength).toBeGreaterThan(8 * chunk);
    expect((await openAnyhow(bytesOf(...written))).error).toMatchObject({ code: 'damaged' });
  });

  test('an error of the store comes through the opener unchanged', async () => {
    const failure = new JetbackupError('storage-failed', 'the connection broke');
    const sealed = await seal(randomBytes(3 * chunk));
    for (const length of [10, 100, 2 * chunk]) {
      async function* failing(): ByteStream {
        yield sealed.subarray(0, length);
        throw failure;
      }
      expect((await openAnyhow(failing())).error).toBe(failure);
    }
  });

  test('a consumer that leaves early releases the producer', async () => {
    const sealed = await seal(randomBytes(3 * chunk));
    for (const run of [(stream: ByteStream) => sealer.seal(stream), (stream: ByteStream) => opener.open(stream)]) {
      let released = false;
      async function* producer(): ByteStream {
        try {
          yield sealed;
          for (;;) yield randomBytes(chunk);
        } finally {
          released = true;
        }
      }
      for await (const _ of run(producer())) break;
      expect(released).toBe(true);
    }
  });
});

describe('keys that cannot be used', () => {
  test('no recipient, a bad one, a secret in its place and a mixture of kinds are refused before anything is sealed', async () => {
    const hybrid = `age1pq1${'q'.repeat(100)}`;
    for (const recipients of [[], ['age1nonsense'], [identity], ['ssh-ed25519 AAAA'], [`${recipient}x`], [recipient, hybrid]]) {
      const error = await caught(() => createSealer(recipients));
      expect(error.code).toBe('config-invalid');
      expect(inspect(error, { depth: 9 })).not.toContain(identity);
    }
  });

  test('an opener without any identity says which setting is missing', async () => {
    const error = await caught(() => createOpener([]));
    expect(error.code).toBe('key-missing');
    expect(error.hint).toContain('JETBACKUP_IDENTITY_FILE');
  });

  test('a recipient given twice is one', () => {
    expect(createSealer([recipient, recipient]).recipients).toEqual([recipient]);
  });
});
