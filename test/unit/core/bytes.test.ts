import { createHash, randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type ByteStream, bytesOf, collect, concat, meter, segmentMeter, sha256Hex } from '../../../src/core/bytes.ts';

const chunks = fc.array(fc.uint8Array({ maxLength: 50 }), { maxLength: 12 });
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

async function drain(stream: ByteStream): Promise<Uint8Array[]> {
  const pieces: Uint8Array[] = [];
  for await (const piece of stream) pieces.push(piece);
  return pieces;
}

async function* failing(error: Error): ByteStream {
  yield Buffer.from('half');
  throw error;
}

/** A stream that tells when it was released. */
function tracked(): { stream: ByteStream; readonly released: boolean } {
  let released = false;
  return {
    stream: (async function* () {
      try {
        for (;;) yield Buffer.alloc(10);
      } finally {
        released = true;
      }
    })(),
    get released() {
      return released;
    },
  };
}

describe('a meter', () => {
  test('gives size and SHA-256 of what passed, and passes it unchanged', async () => {
    await fc.assert(
      fc.asyncProperty(chunks, async (input) => {
        const tap = meter();
        const out = await drain(tap.through(bytesOf(...input)));
        const whole = Buffer.concat(input);
        expect(out).toEqual(input);
        expect(tap.measure()).toEqual({ bytes: whole.byteLength, sha256: sha256(whole) });
      }),
    );
  });

  test('has no figure for a stream that has not ended, was left or threw', async () => {
    const before = meter();
    expect(() => before.measure()).toThrow('not ended');

    const left = meter();
    for await (const _ of left.through(bytesOf('a', 'b'))) break;
    expect(() => left.measure()).toThrow('not ended');

    const threw = meter();
    const error = new Error('the child failed');
    await expect(drain(threw.through(failing(error)))).rejects.toBe(error);
    expect(() => threw.measure()).toThrow('not ended');
  });

  test('tells the total on the way', async () => {
    const totals: number[] = [];
    await drain(meter((total) => totals.push(total)).through(bytesOf('ab', '', 'cde')));
    expect(totals).toEqual([2, 2, 5]);
  });
});

describe('a segment meter', () => {
  test('hashes every segment, however the stream is cut', async () => {
    await fc.assert(
      fc.asyncProperty(chunks, fc.integer({ min: 1, max: 64 }), async (input, segmentBytes) => {
        const tap = segmentMeter(segmentBytes);
        const out = await drain(tap.through(bytesOf(...input)));
        const whole = Buffer.concat(input);
        const expected: string[] = [];
        for (let at = 0; at < whole.byteLength; at += segmentBytes) expected.push(sha256(whole.subarray(at, at + segmentBytes)));
        expect(Buffer.concat(out).equals(whole)).toBe(true);
        expect(tap.segments()).toEqual(expected);
        expect(tap.measure()).toEqual({ bytes: whole.byteLength, sha256: sha256(whole) });
      }),
    );
  });

  test('has no segments before the stream has ended', async () => {
    const tap = segmentMeter(4);
    await expect(drain(tap.through(failing(new Error('cut'))))).rejects.toThrow('cut');
    expect(() => tap.segments()).toThrow('not ended');
  });
});

describe('collecting', () => {
  test('gives the whole, up to the limit and not a byte more', async () => {
    const bytes = randomBytes(100);
    expect(bytes.equals(await collect(bytesOf(bytes.subarray(0, 60), bytes.subarray(60)), 100))).toBe(true);
    await expect(collect(bytesOf(bytes.subarray(0, 60), bytes.subarray(60)), 99)).rejects.toThrow(RangeError);
    const endless = tracked();
    await expect(collect(endless.stream, 1000)).rejects.toThrow('more than 1000 bytes');
    expect(endless.released).toBe(true);
  });
});

test('every stage releases its producer when it is left early', async () => {
  const stages: ((stream: ByteStream) => ByteStream)[] = [
    (stream) => meter().through(stream),
    (stream) => segmentMeter(7).through(stream),
    (stream) => concat(stream, bytesOf('x')),
  ];
  for (const stage of stages) {
    const source = tracked();
    for await (const _ of stage(source.stream)) break;
    expect(source.released).toBe(true);
  }
});

test('streams one after the other are one stream, and text is UTF-8', async () => {
  const whole = await collect(concat(bytesOf('né'), bytesOf(), bytesOf('🐘')), 100);
  expect(Buffer.from(whole).toString('utf8')).toBe('né🐘');
  expect(sha256Hex('abc')).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
});
