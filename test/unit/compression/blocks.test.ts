import { setImmediate as turn } from 'node:timers/promises';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BLOCK_BYTES, type BlockCompressor, compressBlocks } from '../../../src/compression/blocks.ts';
import { type ByteStream, bytesOf, collect, MiB } from '../../../src/core/bytes.ts';

const blocksOf = (count: number) => bytesOf(...Array.from({ length: count }, (_, index) => new Uint8Array(BLOCK_BYTES).fill(index)));

/** Any number of compressors that all do this. */
const of = (compress: BlockCompressor['compress']) => () => ({ compress, close() {} });

describe('blocks compressed side by side', () => {
  test('come out in the order of the input, whichever is done first', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(5), { maxLength: 12 }), fc.integer({ min: 1, max: 6 }), async (turns, inFlight) => {
        let started = 0;
        const compress = async (block: Uint8Array) => {
          for (let left = turns[started++] ?? 0; left > 0; left -= 1) await turn();
          return Uint8Array.of(block[0] ?? 255);
        };
        const out = await collect(compressBlocks(blocksOf(turns.length), of(compress), inFlight), MiB);
        expect([...out]).toEqual(turns.length === 0 ? [255] : turns.map((_, index) => index));
      }),
      { numRuns: 30 },
    );
  });

  test('are never more at once than asked for, and really that many', async () => {
    let running = 0;
    let most = 0;
    const compress = async () => {
      running += 1;
      most = Math.max(most, running);
      for (let turns = 0; turns < 5; turns += 1) await turn();
      running -= 1;
      return Uint8Array.of(0);
    };
    await collect(compressBlocks(blocksOf(12), of(compress), 4), MiB);
    expect(most).toBe(4);
  });

  test('are not read further than the consumer allows', async () => {
    let read = 0;
    async function* endless(): ByteStream {
      for (;;) {
        read += 1;
        yield new Uint8Array(BLOCK_BYTES);
      }
    }
    const stream = compressBlocks(
      endless(),
      of(async () => Uint8Array.of(0)),
      3,
    );
    await stream.next();
    for (let turns = 0; turns < 20; turns += 1) await turn();
    expect(read).toBeLessThanOrEqual(4);
    await stream.return();
  });

  test.each([0, 1, 3, 7])('fail with the error of block %i, after the blocks before it, and leave nothing running', async (bad) => {
    let running = 0;
    let started = 0;
    const failure = new Error('no memory');
    const compress = async () => {
      const index = started++;
      running += 1;
      // The bad one is done first, long before its turn comes.
      for (let turns = index === bad ? 0 : 5; turns > 0; turns -= 1) await turn();
      running -= 1;
      if (index === bad) throw failure;
      return Uint8Array.of(index);
    };
    const out: number[] = [];
    const unhandled: unknown[] = [];
    const onUnhandled = (reason: unknown) => unhandled.push(reason);
    process.on('unhandledRejection', onUnhandled);
    try {
      await expect(
        (async () => {
          for await (const piece of compressBlocks(blocksOf(8), of(compress), 3)) out.push(...piece);
        })(),
      ).rejects.toBe(failure);
      for (let turns = 0; turns < 10; turns += 1) await turn();
    } finally {
      process.off('unhandledRejection', onUnhandled);
    }
    expect(out).toEqual(Array.from({ length: bad }, (_, index) => index));
    expect(running).toBe(0);
    expect(unhandled).toEqual([]);
  });

  test('pass the source’s error on, and leave nothing running', async () => {
    let running = 0;
    const failure = new Error('pg_dump exited with status 1');
    async function* failing(): ByteStream {
      yield* blocksOf(3);
      throw failure;
    }
    const compress = async () => {
      running += 1;
      for (let turns = 0; turns < 5; turns += 1) await turn();
      running -= 1;
      return Uint8Array.of(0);
    };
    await expect(collect(compressBlocks(failing(), of(compress), 8), MiB)).rejects.toBe(failure);
    expect(running).toBe(0);
  });

  test('release the source when the consumer leaves', async () => {
    let released = false;
    let running = 0;
    async function* source(): ByteStream {
      try {
        for (;;) yield new Uint8Array(BLOCK_BYTES);
      } finally {
        released = true;
      }
    }
    const compress = async () => {
      running += 1;
      await turn();
      running -= 1;
      return Uint8Array.of(0);
    };
    for await (const _ of compressBlocks(source(), of(compress), 3)) break;
    expect(released).toBe(true);
    expect(running).toBe(0);
  });

  test('share as many compressors as are in flight and one more, which are closed in the end', async () => {
    const busy = new Set<number>();
    let made = 0;
    let closed = 0;
    const create = (): BlockCompressor => {
      const own = made++;
      return {
        async compress(block) {
          expect(busy.has(own)).toBe(false);
          busy.add(own);
          const before = block[0];
          for (let turns = 0; turns < 5; turns += 1) await turn();
          expect(block[0]).toBe(before);
          busy.delete(own);
          return Uint8Array.of(before ?? 255);
        },
        close() {
          expect(busy.has(own)).toBe(false);
          closed += 1;
        },
      };
    };
    const out = await collect(compressBlocks(blocksOf(40), create, 3), MiB);
    expect([...out]).toEqual(Array.from({ length: 40 }, (_, index) => index));
    expect(made).toBeLessThanOrEqual(4);
    expect(closed).toBe(made);
  });

  test('need at least one in flight', async () => {
    for (const inFlight of [0, -1, 1.5, Number.NaN]) {
      await expect(
        collect(
          compressBlocks(
            bytesOf('x'),
            of(async (block) => block),
            inFlight,
          ),
          MiB,
        ),
      ).rejects.toThrow(RangeError);
    }
  });
});
