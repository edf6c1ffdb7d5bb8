import { setImmediate as turn } from 'node:timers/promises';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type ByteStream, bytesOf, collect, MiB } from '../../../src/core/bytes.ts';
import { dealRows } from '../../../src/postgres/archive-lanes.ts';

const INT_SIZE = 4;
/** As much of a head as tells the size of integers. */
const HEAD = Buffer.from([0, 0, 0, 0, 0, 0, 0, 0, INT_SIZE]);

function int(value: number): Buffer {
  const bytes = Buffer.alloc(1 + INT_SIZE);
  bytes.writeUInt32LE(value, 1);
  return bytes;
}
const chunk = (bytes: Buffer) => Buffer.concat([int(bytes.byteLength), bytes]);

type Block =
  | { readonly id: number; readonly rows: readonly Buffer[] }
  | { readonly id: number; readonly largeObjects: readonly Buffer[][] };

function encode(blocks: readonly Block[]): Buffer {
  return Buffer.concat(
    blocks.flatMap((block) =>
      'rows' in block
        ? [Buffer.of(1), int(block.id), ...block.rows.map(chunk), int(0)]
        : [
            Buffer.of(3),
            int(block.id),
            ...block.largeObjects.flatMap((chunks, index) => [int(1_000 + index), ...chunks.map(chunk), int(0)]),
            int(0),
          ],
    ),
  );
}

/** A second, slow reader of the format. Throws on whatever is not whole. */
function decode(bytes: Buffer): Block[] {
  let at = 0;
  const readInt = () => {
    at += 1 + INT_SIZE;
    return bytes.readUInt32LE(at - INT_SIZE);
  };
  const chunks = () => {
    const found: Buffer[] = [];
    for (let length = readInt(); length > 0; length = readInt()) {
      expect(at + length).toBeLessThanOrEqual(bytes.byteLength);
      found.push(bytes.subarray(at, at + length));
      at += length;
    }
    return found;
  };
  const blocks: Block[] = [];
  while (at < bytes.byteLength) {
    const kind = bytes[at];
    at += 1;
    const id = readInt();
    if (kind === 1) blocks.push({ id, rows: chunks() });
    else {
      const largeObjects: Buffer[][] = [];
      while (readInt() > 0) largeObjects.push(chunks());
      blocks.push({ id, largeObjects });
    }
  }
  return blocks;
}

async function* pieces(bytes: Buffer, sizes: readonly number[]): ByteStream {
  for (let at = 0, index = 0; at < bytes.byteLength; index += 1) {
    const size = sizes[index % sizes.length] ?? 1;
    yield bytes.subarray(at, at + size);
    at += size;
  }
}

/** Every id shares its rows, unless told otherwise. */
function deal(
  rest: ByteStream,
  lanes: number,
  isShared: (id: number) => boolean = () => true,
  onBlock: (id: number, bytes: number) => void = () => {},
): readonly ByteStream[] {
  return dealRows({ head: HEAD, rest, shared: { has: isShared } as ReadonlySet<number>, onBlock }, lanes);
}

/** Reads a lane to its end, giving the others a turn now and then. */
async function drain(lane: ByteStream, pause: number): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of lane) {
    parts.push(part);
    for (let turns = 0; turns < pause; turns += 1) await turn();
  }
  const whole = Buffer.concat(parts);
  expect(whole.subarray(0, HEAD.byteLength)).toEqual(HEAD);
  return whole.subarray(HEAD.byteLength);
}

const rowsOf = (blocks: readonly Block[]) => blocks.filter((block) => 'rows' in block);

describe('an archive dealt out to several lanes', () => {
  const row = fc.oneof(
    fc.string({ maxLength: 40 }).map((text) => Buffer.from(`${text.replaceAll('\n', ' ')}\n`)),
    // Large, so that batches are filled; and a part of a row that goes on in the next chunk.
    fc.integer({ min: 1, max: 400_000 }).map((size) => Buffer.concat([Buffer.alloc(size, 'x'), Buffer.from('\n')])),
    fc.constant(Buffer.from('half of a row')),
  );
  const block = fc.oneof(
    { weight: 3, arbitrary: fc.record({ id: fc.integer({ min: 1, max: 99_999 }), rows: fc.array(row, { maxLength: 12 }) }) },
    fc.record({
      id: fc.integer({ min: 1, max: 99_999 }),
      largeObjects: fc.array(
        fc.array(
          fc.uint8Array({ minLength: 1, maxLength: 50 }).map((bytes) => Buffer.from(bytes)),
          { maxLength: 3 },
        ),
        {
          maxLength: 3,
        },
      ),
    }),
  );
  const sizes = fc.array(fc.oneof(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 300_000 })), { minLength: 1, maxLength: 8 });

  it('has every table in every lane, each row once and whole, and the large objects in the first', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(block, { maxLength: 6 }),
        sizes,
        fc.array(fc.nat(3), { minLength: 1, maxLength: 4 }),
        async (blocks, cuts, pauses) => {
          // Small pieces of a large archive take long and show nothing more.
          const archive = encode(blocks);
          const least = Math.ceil(archive.byteLength / 2_000);
          const source = pieces(
            archive,
            cuts.map((size) => Math.max(size, least)),
          );
          const lanes = deal(source, pauses.length);
          const read = await Promise.all(lanes.map((lane, index) => drain(lane, pauses[index] ?? 0)));
          const decoded = read.map(decode);
          for (const [index, lane] of decoded.entries()) {
            const expected = index === 0 ? blocks : rowsOf(blocks);
            expect(lane.map(({ id }) => id)).toEqual(expected.map(({ id }) => id));
          }
          expect(decoded[0]?.filter((each) => !('rows' in each))).toEqual(blocks.filter((each) => !('rows' in each)));
          rowsOf(blocks).forEach((original, table) => {
            // What is one row for COPY: chunks up to and with one that ends with a newline.
            const whole = (rows: readonly Buffer[]) => Buffer.concat(rows).toString('latin1').split('\n');
            const dealt = decoded.map((lane) => rowsOf(lane)[table]?.rows ?? []);
            const ends = dealt.flatMap((rows) => whole(rows).slice(0, -1));
            expect(ends.toSorted()).toEqual(whole(original.rows).slice(0, -1).toSorted());
            expect(dealt.map((rows) => whole(rows).at(-1)).join('')).toBe(whole(original.rows).at(-1));
          });
        },
      ),
      { numRuns: 300 },
    );
  });

  it('tells how many bytes each block has, however the bytes arrive', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(block, { maxLength: 6 }), sizes, fc.integer({ min: 1, max: 3 }), async (blocks, cuts, count) => {
        const archive = encode(blocks);
        const least = Math.ceil(archive.byteLength / 2_000);
        const source = pieces(
          archive,
          cuts.map((size) => Math.max(size, least)),
        );
        const told: [number, number][] = [];
        const lanes = deal(
          source,
          count,
          (id) => id % 2 === 0,
          (id, bytes) => told.push([id, bytes]),
        );
        await Promise.all(lanes.map((lane) => drain(lane, 0)));
        const prefix = 1 + 1 + INT_SIZE;
        expect(told).toEqual(blocks.map((each) => [each.id, encode([each]).byteLength - prefix]));
      }),
      { numRuns: 100 },
    );
  });

  it('is shared by the lanes also where one table dominates', async () => {
    const rows = Array.from({ length: 2_000 }, (_, index) => Buffer.from(`${String(index).padStart(10_000, '0')}\n`));
    const lanes = deal(pieces(encode([{ id: 1, rows }]), [256 * 1024]), 2);
    const read = await Promise.all(lanes.map((lane) => drain(lane, 1)));
    for (const lane of read) expect(lane.byteLength).toBeGreaterThan(5 * MiB);
    const numbers = read.flatMap((lane) =>
      rowsOf(decode(lane))
        .flatMap((each) => ('rows' in each ? each.rows : []))
        .map(Number),
    );
    expect(numbers.toSorted((a, b) => a - b)).toEqual(rows.map((_, index) => index));
  });

  it('waits for a lane that reads slowly, in bounded memory, and goes on with the other', async () => {
    let taken = 0;
    const rows = Array.from({ length: 400 }, () => Buffer.concat([Buffer.alloc(100_000, 'x'), Buffer.from('\n')]));
    async function* counted(): ByteStream {
      for await (const piece of pieces(encode([{ id: 1, rows }]), [256 * 1024])) {
        taken += piece.byteLength;
        yield piece;
      }
    }
    const [slow, quick] = deal(counted(), 2).map((lane) => lane[Symbol.asyncIterator]());
    await slow?.next();
    let bytes = 0;
    for (let step = await quick?.next(); step?.done === false && bytes < 20 * MiB; step = await quick?.next())
      bytes += step.value.byteLength;
    // The quick one has had nearly everything that was taken.
    expect(bytes).toBeGreaterThan(20 * MiB);
    expect(taken - bytes).toBeLessThan(6 * MiB);
  });

  it('fails in every lane with the error of its source, after no further row', async () => {
    const failure = new Error('the segment is damaged');
    async function* failing(): ByteStream {
      yield encode([{ id: 1, rows: [Buffer.from('one\n')] }]);
      throw failure;
    }
    const results = await Promise.allSettled(deal(failing(), 3).map((lane) => drain(lane, 0)));
    for (const result of results) expect(result).toMatchObject({ status: 'rejected', reason: failure });
  });

  it('is damaged where a block should begin and none does', async () => {
    const [lane] = deal(bytesOf(Buffer.of(7, 0, 0)), 1);
    await expect(collect(lane ?? bytesOf(), MiB)).rejects.toMatchObject({ code: 'damaged' });
  });

  it('goes on without a lane that was left while it waited', async () => {
    const rows = Array.from({ length: 100 }, () => Buffer.concat([Buffer.alloc(100_000, 'x'), Buffer.from('\n')]));
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    async function* late(): ByteStream {
      await held;
      yield* pieces(encode([{ id: 1, rows }]), [256 * 1024]);
    }
    const [left, stays] = deal(late(), 2).map((lane) => lane[Symbol.asyncIterator]());
    await left?.next();
    const waiting = left?.next();
    await left?.return?.();
    expect(await waiting).toMatchObject({ done: true });
    release();
    let bytes = 0;
    for (let step = await stays?.next(); step?.done === false; step = await stays?.next()) bytes += step.value.byteLength;
    expect(bytes).toBe(HEAD.byteLength + encode([{ id: 1, rows }]).byteLength);
  });

  it('keeps the rows of a table that is not shared in the first lane, in their order', async () => {
    const rows = Array.from({ length: 300 }, (_, index) => Buffer.from(`${String(index).padStart(10_000, '0')}\n`));
    const blocks = [
      { id: 1, rows },
      { id: 2, rows },
      { id: 3, rows },
    ];
    const read = await Promise.all(deal(pieces(encode(blocks), [100_000]), 3, (id) => id !== 2).map((lane) => drain(lane, 1)));
    const [first = [], ...others] = read.map(decode);
    expect(first.find(({ id }) => id === 2)).toEqual(blocks[1]);
    for (const lane of others) expect(lane.map(({ id }) => id)).toEqual([1, 3]);
  });

  it.each(['waits', 'has left while it waited'])(
    'reads large objects no further than the first lane takes them, while another one %s',
    async (how) => {
      let taken = 0;
      async function* counted(): ByteStream {
        const largeObjects = [Array.from({ length: 400 }, () => Buffer.alloc(100_000, 'x'))];
        for await (const piece of pieces(
          encode([
            { id: 1, rows: [Buffer.from('one\n')] },
            { id: 2, largeObjects },
          ]),
          [256 * 1024],
        )) {
          taken += piece.byteLength;
          yield piece;
        }
      }
      const [first, other] = deal(counted(), 2).map((lane) => lane[Symbol.asyncIterator]());
      await first?.next();
      // Its head, its part of the table, and then nothing that is for it.
      const reading = (async () => {
        for (let step = await other?.next(); step?.done === false; step = await other?.next());
      })();
      for (let turns = 0; turns < 200; turns += 1) await turn();
      if (how !== 'waits') await other?.return?.();
      for (let turns = 0; turns < 200; turns += 1) await turn();
      expect(taken).toBeLessThan(3 * MiB);
      await first?.return?.();
      await other?.return?.();
      await reading;
    },
  );
});
