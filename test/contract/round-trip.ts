import { beforeAll, describe, expect, it } from 'vitest';
import { bytesOf, collect, MiB } from '../../src/core/bytes.ts';
import type { ObjectStore } from '../../src/storage/store.ts';
import { all, coded, failure, inChunks, pattern, read, type Subject, sum } from './subject.ts';

/** What was put comes back, whole or by range; what was not put does not. */
export function describeRoundTrip(current: () => Subject): void {
  let subject: Subject;
  let store: ObjectStore;
  let part: number;
  beforeAll(() => {
    subject = current();
    store = subject.store;
    part = subject.partBytes;
  });

  describe('what was put comes back', () => {
    const sizes: readonly (readonly [string, (partBytes: number) => number])[] = [
      ['an empty object', () => 0],
      ['one byte', () => 1],
      ['one byte less than a part', (partBytes) => partBytes - 1],
      ['exactly one part', (partBytes) => partBytes],
      ['one byte more than a part', (partBytes) => partBytes + 1],
      ['exactly two parts', (partBytes) => 2 * partBytes],
      ['several parts and a rest', (partBytes) => 5 * partBytes + 12_345],
    ];
    it.each(sizes)('%s', async (title, sizeOf) => {
      const key = `sizes/${title.replaceAll(' ', '-')}`;
      const bytes = pattern(sizeOf(part), title.length);
      const info = await store.put(key, inChunks(bytes, 77_777), { sizeHint: bytes.byteLength });
      expect(info).toMatchObject({ key, size: bytes.byteLength });
      const back = await read(store, key);
      expect(back.byteLength).toBe(bytes.byteLength);
      expect(sum(back)).toBe(sum(bytes));
      expect(await store.stat(key)).toEqual(info);
      expect(await subject.unfinished()).toEqual([]);
    });

    it('whatever the size of the chunks, and when the producer uses its buffer again', async () => {
      const reused = new Uint8Array(3);
      async function* body(): AsyncGenerator<Uint8Array> {
        for (let at = 0; at < 300; at += 3) {
          reused.set([at & 255, (at + 1) & 255, (at + 2) & 255]);
          yield reused;
          yield new Uint8Array(0);
        }
      }
      await store.put('chunks', body());
      expect(Array.from(await read(store, 'chunks'))).toEqual(Array.from({ length: 300 }, (_, at) => at & 255));
    });

    it('under keys with spaces, signs and dots in them', async () => {
      const keys = [
        'odd/a b',
        'odd/a+b',
        'odd/a%20b',
        'odd/a&b=c',
        'odd/#?',
        "odd/it's",
        'odd/"<x>"',
        'odd/...',
        'odd/~!@$^*()_-;:,[]{}|`',
        'odd/a\\b',
      ];
      for (const key of keys) await store.put(key, bytesOf(key));
      for (const key of keys) expect(Buffer.from(await read(store, key)).toString()).toBe(key);
      expect((await all(store.list('odd/'))).map((info) => info.key)).toEqual([...keys].sort());
      for (const key of keys) await store.delete(key);
      expect(await all(store.list('odd/'))).toEqual([]);
    });
  });

  it.each([
    '',
    '/a',
    'a/',
    'a//b',
    '.',
    '..',
    'a/../b',
    '../../etc/passwd',
    'a/./b',
    'ä',
    'a\nb',
    'a\0b',
    'x'.repeat(300),
    '.jetbackup-unfinished/x',
  ])('a key that is none is refused everywhere: %j', async (key) => {
    expect(await failure(store.put(key, bytesOf('x')))).toEqual(coded('storage-failed'));
    expect(await failure(store.get(key))).toEqual(coded('storage-failed'));
    expect(await failure(store.stat(key))).toEqual(coded('storage-failed'));
    expect(await failure(store.delete(key))).toEqual(coded('storage-failed'));
  });

  describe('what is not there', () => {
    it('is not found, and looking it up is no error', async () => {
      expect(await failure(store.get('missing/object'))).toEqual(coded('storage-not-found'));
      expect(await failure(store.get('missing/object', { range: { offset: 0, length: 1 } }))).toEqual(coded('storage-not-found'));
      expect(await failure(store.get('missing/object', { range: { offset: 0, length: 0 } }))).toEqual(coded('storage-not-found'));
      expect(await store.stat('missing/object')).toBeUndefined();
      expect(await all(store.list('missing/'))).toEqual([]);
    });

    it('can be deleted, and what is there can be deleted twice', async () => {
      await store.delete('missing/object');
      await store.put('short/lived', bytesOf('x'));
      await store.delete('short/lived');
      await store.delete('short/lived');
      expect(await store.stat('short/lived')).toBeUndefined();
      expect(await all(store.list('short/'))).toEqual([]);
    });
  });

  describe('a range', () => {
    const bytes = pattern(1_000_003, 7);
    beforeAll(() => store.put('ranged', bytesOf(bytes)));

    it.each([
      [0, 1],
      [0, 1_000_003],
      [1, 65_536],
      [65_535, 262_146],
      [1_000_002, 1],
      [500, 0],
      [1_000_003, 0],
    ])('from byte %i, %i bytes long, is exactly those bytes', async (offset, length) => {
      const back = await collect(await store.get('ranged', { range: { offset, length } }), MiB);
      expect(back.byteLength).toBe(length);
      expect(sum(back)).toBe(sum(bytes.subarray(offset, offset + length)));
    });

    it.each([
      [0, 1_000_004],
      [1_000_002, 2],
      [1_000_003, 1],
      [2_000_000, 5],
      [1_000_004, 0],
      [-1, 5],
      [0, -1],
      [0.5, 1],
    ])('from byte %d, %d bytes long, past the end or none at all, is an error and not a short read', async (offset, length) => {
      const attempt = async () => collect(await store.get('ranged', { range: { offset, length } }), MiB);
      expect(await failure(attempt())).toEqual(coded('storage-failed'));
    });
  });
}
