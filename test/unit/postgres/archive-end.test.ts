import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bytesOf, collect } from '../../../src/core/bytes.ts';
import { isJetbackupError } from '../../../src/core/errors.ts';
import { wholeArchive } from '../../../src/postgres/archive-end.ts';
import { int, text } from '../../support/archive-bytes.ts';

const entries = [
  { dumpId: 7, desc: 'TABLE', hasData: 0, section: 2 },
  { dumpId: 8, desc: 'TABLE DATA', hasData: 1, section: 3 },
  { dumpId: 9, desc: 'BLOBS', hasData: 1, section: 3 },
  { dumpId: 10, desc: 'TABLE DATA', hasData: 1, section: 3 },
];

const head = Buffer.concat([
  ...[Buffer.from('PGDMP'), Buffer.of(1, 14, 0, 4, 8, 1), int(0), ...Array.from({ length: 7 }, () => int(1))],
  ...[text('db'), text('15.1'), text('15.1'), int(entries.length)],
  ...entries.flatMap(({ dumpId, desc, hasData, section }) => [
    ...[int(dumpId), int(hasData), text('1259'), text('16400'), text('accounts'), text(desc), int(section)],
    ...[
      text('CREATE ...'),
      text(''),
      text(null),
      text('public'),
      text(''),
      text('heap'),
      text('app'),
      text('false'),
      text(null),
      Buffer.alloc(9),
    ],
  ]),
]);

const row = (length: number) => Buffer.concat([int(length), Buffer.alloc(length, 3)]);
const rows = (dumpId: number, ...lengths: number[]) => Buffer.concat([Buffer.of(1), int(dumpId), ...lengths.map(row), int(0)]);
const largeObjects = (dumpId: number, ...oids: number[]) =>
  Buffer.concat([Buffer.of(3), int(dumpId), ...oids.flatMap((oid) => [int(oid), row(100), row(1), int(0)]), int(0)]);

const blocks = [rows(8, 20, 70_000, 1), largeObjects(9, 16_500, 16_501), rows(10)];
const archive = Buffer.concat([head, ...blocks]);

/** In chunks of `size` bytes. */
const through = async (bytes: Buffer, size: number) => {
  const chunks = Array.from({ length: Math.ceil(bytes.byteLength / size) }, (_, index) => bytes.subarray(index * size, (index + 1) * size));
  return Buffer.from(await collect(wholeArchive(bytesOf(...chunks)), 1e6));
};

describe('an archive as pg_dump writes it', () => {
  it('passes unchanged, however its bytes arrive', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 4_000 }), async (size) => {
        expect((await through(archive, size)).equals(archive)).toBe(true);
      }),
      { numRuns: 40 },
    );
  });

  it('is incomplete wherever it is cut, however its bytes arrive', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 0, max: archive.byteLength - 1 }),
        fc.integer({ min: 200, max: 100_000 }),
        async (length, size) => {
          const error: unknown = await through(archive.subarray(0, length), size).catch((thrown: unknown) => thrown);
          expect(isJetbackupError(error, 'dump-failed'), `cut at ${length}: ${error}`).toBe(true);
        },
      ),
      { numRuns: 300 },
    );
  });

  it('is incomplete when a table that its contents promise is not there, and the error says which', async () => {
    const [first = Buffer.alloc(0), second = Buffer.alloc(0)] = blocks;
    await expect(through(Buffer.concat([head, first, second]), 1000)).rejects.toMatchObject({
      code: 'dump-failed',
      message: expect.stringContaining('table data of public.accounts'),
      hint: expect.stringContaining('exit status'),
    });
  });

  it('is incomplete when something else follows', async () => {
    await expect(through(Buffer.concat([archive, Buffer.from('warning: ...')]), 1000)).rejects.toMatchObject({ code: 'dump-failed' });
  });

  it('tells what its producer threw, and not that it was cut', async () => {
    const failing = async function* () {
      yield archive.subarray(0, archive.byteLength / 2);
      throw new Error('pg_dump was killed');
    };
    await expect(collect(wholeArchive(failing()), 1e6)).rejects.toThrow('pg_dump was killed');
  });
});
