import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bytesOf, collect } from '../../../src/core/bytes.ts';
import { isJetbackupError } from '../../../src/core/errors.ts';
import { type ArchiveHead, readArchiveHead } from '../../../src/postgres/archive.ts';
import { withSizes } from '../../../src/postgres/archive-sizes.ts';
import { int, text } from '../../support/archive-bytes.ts';

interface Written {
  readonly dumpId: number;
  readonly desc: string;
  readonly tag: string;
  /** 1 none, 2 pre-data, 3 data, 4 post-data */
  readonly section: number;
  readonly dependencies?: readonly number[];
}

/** An archive's head, written after the description of the format; the integration tests read those of the real pg_dump. */
function head(minor: 14 | 15 | 16, entries: readonly Written[]): Buffer {
  const compression = minor >= 15 ? Buffer.of(0) : int(0);
  const times = Array.from({ length: 7 }, () => int(1));
  const header = [Buffer.from('PGDMP'), Buffer.of(1, minor, 0, 4, 8, 1), compression, ...times, text('db'), text('17.6'), text('17.6')];
  const written = entries.flatMap(({ dumpId, desc, tag, section, dependencies = [] }) => [
    ...[int(dumpId), int(desc === 'TABLE DATA' ? 1 : 0), text('1259'), text('16400'), text(tag), text(desc), int(section)],
    ...[text('CREATE ...'), text(''), text(null), text('public'), text(''), text('heap'), ...(minor >= 16 ? [int(114)] : [])],
    ...[text('app'), text('false'), ...dependencies.map((id) => text(String(id))), text(null), Buffer.alloc(9)],
  ]);
  return Buffer.concat([...header, int(entries.length), ...written]);
}

const entries: Written[] = [
  { dumpId: 7, desc: 'TABLE', tag: 't', section: 2 },
  { dumpId: 8, desc: 'COMMENT', tag: 'TABLE t', section: 1, dependencies: [7] },
  { dumpId: 9, desc: 'TABLE DATA', tag: 't', section: 3, dependencies: [7] },
  { dumpId: 10, desc: 'INDEX', tag: 'i', section: 4, dependencies: [7] },
  { dumpId: 11, desc: 'COMMENT', tag: 'INDEX i', section: 1, dependencies: [10] },
];

async function codeOf(work: Promise<unknown>): Promise<string> {
  const error: unknown = await work.then(
    () => undefined,
    (thrown) => thrown,
  );
  if (!isJetbackupError(error)) throw new Error('it should have failed', { cause: error });
  return error.code;
}

describe('readArchiveHead', () => {
  it.each([14, 15, 16] as const)('finds the end of a table of contents of format 1.%i, however the bytes arrive', async (minor) => {
    const bytes = head(minor, entries);
    const body = Buffer.alloc(5000, 0xab);
    const whole = Buffer.concat([bytes, body]);
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: whole.byteLength }), async (size) => {
        const chunks = Array.from({ length: Math.ceil(whole.byteLength / size) }, (_, index) =>
          whole.subarray(index * size, (index + 1) * size),
        );
        const read = await readArchiveHead(bytesOf(...chunks));
        expect(Buffer.from(read.head.bytes).equals(bytes)).toBe(true);
        expect(Buffer.from(await collect(read.rest, 1e6)).equals(body)).toBe(true);
      }),
      { numRuns: 30 },
    );
  });

  it('counts a comment to the section of the entry before it', async () => {
    const { head: read } = await readArchiveHead(bytesOf(head(16, entries)));
    expect(read.entries.map(({ dumpId, section }) => `${dumpId} ${section}`)).toEqual([
      '7 pre-data',
      '8 pre-data',
      '9 data',
      '10 post-data',
      '11 post-data',
    ]);
    expect(read.entries[1]).toMatchObject({
      desc: 'COMMENT',
      tag: 'TABLE t',
      namespace: 'public',
      tablespace: null,
      owner: 'app',
      dependencies: [7],
      hasData: false,
    });
    expect(read).toMatchObject({ formatVersion: '1.16', serverVersion: '17.6', dumpVersion: '17.6', database: 'db' });
  });

  it('reads a table of contents that is longer than its first attempt', async () => {
    const many = Array.from({ length: 3000 }, (_, index) => ({ dumpId: index + 1, desc: 'TABLE', tag: `table ${index}`, section: 2 }));
    const { head: read } = await readArchiveHead(bytesOf(head(16, many)));
    expect(read.entries).toHaveLength(3000);
  });

  it('calls an archive that ends before its table of contents does damaged, wherever it ends', async () => {
    const bytes = head(16, entries);
    for (let end = 0; end < bytes.byteLength; end += 1) {
      expect(await codeOf(readArchiveHead(bytesOf(bytes.subarray(0, end))))).toBe('damaged');
    }
  });

  it('calls what is no archive damaged', async () => {
    expect(await codeOf(readArchiveHead(bytesOf('-- PostgreSQL database dump\n')))).toBe('damaged');
    const tar = Buffer.from(head(16, entries));
    tar.writeUInt8(3, 10);
    expect(await codeOf(readArchiveHead(bytesOf(tar)))).toBe('damaged');
  });

  it('never fails but by a code of the catalogue, whatever bit is flipped', async () => {
    const bytes = head(16, entries);
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: bytes.byteLength * 8 - 1 }), async (bit) => {
        const flipped = Buffer.from(bytes);
        flipped.writeUInt8(flipped.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
        await readArchiveHead(bytesOf(flipped)).catch((error: unknown) => {
          if (!isJetbackupError(error, 'damaged', 'restore-failed')) throw error;
        });
      }),
      { numRuns: 500 },
    );
  });

  it('passes on the error of its stream, and lets go of the stream', async () => {
    let released = false;
    const stream = (async function* () {
      try {
        yield Buffer.from('PGDMP');
        throw new Error('cut');
      } finally {
        released = true;
      }
    })();
    await expect(readArchiveHead(stream)).rejects.toThrow('cut');
    expect(released).toBe(true);
  });
});

describe('withSizes', () => {
  /** How pg_restore reads sizes: pg_backup_custom.c, _PrepParallelRestore. */
  function readSizes(bytes: Buffer, places: ArchiveHead['places']): Map<number, number> {
    const known = [...places].filter(([, place]) => bytes.readUInt8(place) === 2);
    const positions = known.map(([, place]) => Number(bytes.readBigUInt64LE(place + 1)));
    return new Map(known.map(([id], index) => [id, (positions[index + 1] ?? bytes.byteLength) - (positions[index] ?? 0)]));
  }
  const tables = (count: number): Written[] =>
    Array.from({ length: count }, (_, index) => ({ dumpId: 10 + index, desc: 'TABLE DATA', tag: `t${index}`, section: 3 }));

  it('lets pg_restore read sizes in proportion, and changes nothing else', async () => {
    const size = fc.option(fc.oneof(fc.nat(1_000), fc.nat(2 ** 45)), { nil: undefined });
    await fc.assert(
      fc.asyncProperty(fc.array(size, { maxLength: 20 }), async (given) => {
        const written = tables(given.length);
        const original = head(16, [...entries.slice(0, 2), ...written, ...entries.slice(3)]);
        const { head: read } = await readArchiveHead(bytesOf(original));
        const sizes = new Map(
          written.flatMap(({ dumpId }, index) => (given[index] === undefined ? [] : [[dumpId, given[index]] as const])),
        );
        const sized = Buffer.from(withSizes(read, sizes));
        const found = readSizes(sized, read.places);
        expect([...found.keys()]).toEqual([...sizes.keys()]);
        const total = [...sizes.values()].reduce((sum, bytes) => sum + bytes, 0);
        const scale = Math.min(1, original.byteLength / total);
        for (const [id, bytes] of sizes) {
          expect(found.get(id)).toBeGreaterThan(bytes * scale - 1);
          expect(found.get(id)).toBeLessThanOrEqual(bytes * scale);
        }
        // The positions apart.
        for (const place of read.places.values()) sized.fill(0, place, place + 1 + 8);
        expect(sized.equals(original)).toBe(true);
      }),
    );
  });

  it('leaves a head without tables as it is', async () => {
    const original = head(14, []);
    const { head: read } = await readArchiveHead(bytesOf(original));
    expect(Buffer.from(withSizes(read, new Map([[9, 5]]))).equals(original)).toBe(true);
  });
});
