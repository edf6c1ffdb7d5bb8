import { randomBytes } from 'node:crypto';
import { createGunzip, createZstdDecompress, gzipSync, zstdCompressSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { blocksInFlight, codecs, createCodec } from '../../../src/compression/all.ts';
import { decompressMembers, engineOptions } from '../../../src/compression/engine.ts';
import { type ByteStream, bytesOf, collect, KiB, MiB } from '../../../src/core/bytes.ts';
import { JetbackupError } from '../../../src/core/errors.ts';
import { codecNames } from '../../../src/core/manifest.ts';

/** `size` bytes that compress, but not to nothing. */
function rows(size: number): Buffer {
  const noise = randomBytes(Math.ceil(size / 8) + 1).toString('hex');
  let text = '';
  for (let row = 0; text.length < size; row += 1)
    text += `{"id":${row},"note":"${noise.slice((row * 13) % 64, ((row * 13) % 64) + 16)}"}\n`;
  return Buffer.from(text).subarray(0, size);
}

function cut(bytes: Uint8Array, at: readonly number[]): Uint8Array[] {
  const offsets = [0, ...at.map((fraction) => Math.floor(fraction * bytes.byteLength)).sort((a, b) => a - b), bytes.byteLength];
  return offsets.slice(1).map((end, index) => bytes.subarray(offsets[index], end));
}
const fractions = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 8 });

const each = (bytes: Uint8Array) => [...bytes].map((byte) => Uint8Array.of(byte));

describe.each(codecNames)('%s', (name) => {
  const codec = createCodec(name, { parallel: 3 });
  const stock = (text: string | Uint8Array): Buffer => (name === 'gzip' ? gzipSync(text) : zstdCompressSync(text));
  const decompress = (...chunks: Uint8Array[]) => collect(codec.decompress(bytesOf(...chunks)), 64 * MiB);

  async function outcome(...chunks: Uint8Array[]): Promise<{ released: string; error: unknown }> {
    let released = '';
    try {
      for await (const piece of codec.decompress(bytesOf(...chunks))) released += Buffer.from(piece).toString();
    } catch (error) {
      return { released, error };
    }
    return { released, error: undefined };
  }

  test.each([0, 1, MiB - 1, MiB, MiB + 1, 3 * MiB + 17])('brings %i bytes back equal', async (size) => {
    const plain = rows(size);
    const compressed = await collect(codec.compress(bytesOf(plain)), 64 * MiB);
    expect(plain.equals(await decompress(compressed))).toBe(true);
    if (size > 1000) expect(compressed.byteLength).toBeLessThan(size / 2);
  });

  test('compresses the tenth block as it does the first', async () => {
    const block = rows(MiB);
    const one = await collect(codec.compress(bytesOf(block)), 64 * MiB);
    const ten = await collect(codec.compress(bytesOf(...Array.from({ length: 10 }, () => block))), 64 * MiB);
    expect(Buffer.concat(Array.from({ length: 10 }, () => one)).equals(ten)).toBe(true);
  });

  test('brings bytes back that do not compress', async () => {
    const plain = randomBytes(2 * MiB + 5);
    expect(plain.equals(await decompress(await collect(codec.compress(bytesOf(plain)), 64 * MiB)))).toBe(true);
  });

  test('brings bytes back however both streams were cut into pieces', async () => {
    const source = rows(3 * MiB);
    await fc.assert(
      fc.asyncProperty(fc.nat(source.byteLength), fractions, fractions, async (size, cutsOfPlain, cutsOfCompressed) => {
        const plain = source.subarray(0, size);
        const compressed = await collect(codec.compress(bytesOf(...cut(plain, cutsOfPlain))), 64 * MiB);
        expect(plain.equals(await decompress(...cut(compressed, cutsOfCompressed)))).toBe(true);
      }),
      { numRuns: 25 },
    );
  });

  test('reads files of several members however they are cut, also byte by byte', async () => {
    const parts = ['first ', '', 'second '.repeat(1000), 'third'];
    const file = Buffer.concat(parts.map(stock));
    const expected = parts.join('');
    expect(Buffer.from(await decompress(file)).toString()).toBe(expected);
    expect(Buffer.from(await decompress(...each(file))).toString()).toBe(expected);
    expect(Buffer.from(await decompress(...parts.map(stock))).toString()).toBe(expected);
    for (let at = 0; at <= file.byteLength; at += 1) {
      expect(Buffer.from(await decompress(file.subarray(0, at), file.subarray(at))).toString()).toBe(expected);
    }
  });

  test('refuses a file cut anywhere but between two members', async () => {
    const first = stock('first '.repeat(50));
    const file = Buffer.concat([first, stock('second '.repeat(50))]);
    for (let length = 0; length < file.byteLength; length += 1) {
      if (length === first.byteLength) continue; // a whole file by itself; the sealed stream around it knows better
      for (const chunks of [[file.subarray(0, length)], each(file.subarray(0, length))]) {
        expect((await outcome(...chunks)).error, `cut at ${length}`).toMatchObject({ code: 'damaged' });
      }
    }
  });

  test.each([
    ['text', Buffer.from('garbage')],
    ['one zero byte', Buffer.alloc(1)],
    ['a block of zeros', Buffer.alloc(512)],
    ['zeros and another member', Buffer.concat([Buffer.alloc(10), gzipSync('x'), zstdCompressSync('x')])],
    ['the first byte of a member', Buffer.of(0x1f)],
  ])('refuses %s after the end, together with it or on its own', async (_, tail) => {
    const whole = stock('content');
    for (const chunks of [[Buffer.concat([whole, tail])], [whole, tail], [whole, ...each(tail)], each(Buffer.concat([whole, tail]))]) {
      const { released, error } = await outcome(...chunks);
      expect(error).toBeInstanceOf(JetbackupError);
      expect(error).toMatchObject({ code: 'damaged' });
      expect(['', 'content']).toContain(released);
    }
  });

  test('refuses nothing at all, and what is not its format', async () => {
    const foreign = name === 'gzip' ? zstdCompressSync('x') : gzipSync('x');
    for (const chunks of [[], [Buffer.from('PGDMP')], [foreign], [Buffer.alloc(100)]]) {
      expect((await outcome(...chunks)).error).toMatchObject({ code: 'damaged' });
    }
  });

  test('finds a changed byte of the content by its checksum', async () => {
    const plain = randomBytes(1000); // stored as it is, so that only the checksum can tell
    const file = Buffer.from(await collect(codec.compress(bytesOf(plain)), MiB));
    const at = file.indexOf(plain.subarray(100, 110));
    expect(at).toBeGreaterThan(0);
    file.writeUInt8(file.readUInt8(at) ^ 1, at);
    expect((await outcome(file)).error).toMatchObject({ code: 'damaged' });
  });

  test('stops working on a bomb while nobody asks for more', async () => {
    const bomb = stock(new Uint8Array(64 * MiB));
    expect(bomb.byteLength).toBeLessThan(100 * KiB);
    const engine = name === 'gzip' ? createGunzip(engineOptions) : createZstdDecompress(engineOptions);
    const stream = decompressMembers(bytesOf(bomb), name, () => engine);
    await stream.next();
    let held = -1;
    while (engine.readableLength > held) {
      held = engine.readableLength;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    expect(held).toBeGreaterThan(0);
    expect(held).toBeLessThanOrEqual(2 * MiB);
    await stream.return();
    expect(engine.destroyed).toBe(true);
  });

  test('passes an error of its source on, in both directions, and releases it when left early', async () => {
    const failure = new JetbackupError('storage-failed', 'the connection broke');
    const whole = await collect(codec.compress(bytesOf(rows(MiB))), MiB);
    for (const run of [codec.compress, codec.decompress]) {
      async function* failing(): ByteStream {
        yield whole.subarray(0, 1000);
        throw failure;
      }
      await expect(collect(run(failing()), 64 * MiB)).rejects.toBe(failure);

      let released = false;
      async function* endless(): ByteStream {
        try {
          for (;;) yield whole;
        } finally {
          released = true;
        }
      }
      for await (const _ of run(endless())) break;
      expect(released).toBe(true);
    }
  });

  test('does what every one of its levels says', async () => {
    const { min, max } = codecs[name].levels;
    const plain = rows(100_000);
    for (let level = min; level <= max; level += 1) {
      const file = await collect(createCodec(name, { level }).compress(bytesOf(plain)), MiB);
      expect(plain.equals(await decompress(file))).toBe(true);
    }
    for (const level of [min - 1, max + 1, 1.5, Number.NaN]) {
      expect(() => createCodec(name, { level })).toThrow(expect.objectContaining({ code: 'config-invalid' }));
    }
  });
});

test('one block more than there are cores is compressed at once, within bounds', () => {
  expect([1, 2, 4, 15, 64].map(blocksInFlight)).toEqual([2, 3, 5, 16, 16]);
});
