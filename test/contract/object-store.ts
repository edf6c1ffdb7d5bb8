import { createHash } from 'node:crypto';
import { Temporal } from 'temporal-polyfill';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ByteStream, bytesOf, collect, MiB } from '../../src/core/bytes.ts';
import { isJetbackupError } from '../../src/core/errors.ts';
import type { ObjectInfo, ObjectStore } from '../../src/storage/store.ts';

/** One store under test, and how to look behind its back. */
export interface Subject {
  readonly store: ObjectStore;
  /** Size (bytes) at which a body becomes several requests; stores that know no parts take any size. */
  readonly partBytes: number;
  /** What is left of puts that did not end: uploads, temporary files. */
  unfinished(): Promise<readonly string[]>;
  /** Leaves behind what a process killed in the middle of a put leaves; absent where nothing can be left. */
  readonly leaveUnfinished?: (key: string) => Promise<void>;
  readonly features: {
    readonly conditionalPut: boolean;
    readonly objectLock: boolean;
    readonly versioning: boolean;
    readonly checksums: boolean;
  };
  stop(): Promise<void>;
}

const inALongTime = Temporal.Instant.from('2100-01-01T00:00:00Z');
const longAgo = Temporal.Instant.from('2000-01-01T00:00:00Z');

/** Bytes that differ at every place that a mistake in cutting or joining could confuse; the same for the same seed. */
export function pattern(bytes: number, seed = 0): Uint8Array {
  const result = Buffer.alloc(bytes);
  let state = (seed + 1) * 2654435761;
  for (let at = 0; at < bytes; at += 4) {
    state = Math.imul(state ^ (state >>> 15), 2246822519) + at;
    if (at + 4 <= bytes) result.writeInt32LE(state | 0, at);
    else result.fill(state & 0xff, at);
  }
  return result;
}

export async function* inChunks(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.byteLength; at += size) yield bytes.subarray(at, at + size);
}

async function* thenThrow(bytes: Uint8Array, error: unknown): AsyncGenerator<Uint8Array> {
  yield* inChunks(bytes, 64 * 1024);
  throw error;
}

const sum = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

async function read(store: ObjectStore, key: string): Promise<Uint8Array> {
  return collect(await store.get(key), 256 * MiB);
}

async function all(stream: AsyncIterable<ObjectInfo>): Promise<ObjectInfo[]> {
  return Array.fromAsync(stream);
}

async function failure(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => {
      throw new Error('it should have failed');
    },
    (error: unknown) => error,
  );
}

const coded = (code: string) => expect.objectContaining({ name: 'JetbackupError', code });

/** The one suite that every store must pass. */
export function describeObjectStore(name: string, start: () => Promise<Subject>): void {
  describe(name, () => {
    let subject: Subject;
    let store: ObjectStore;
    let part: number;

    beforeAll(async () => {
      subject = await start();
      store = subject.store;
      part = subject.partBytes;
    });
    afterAll(async () => {
      store?.close();
      await subject?.stop();
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

    describe('all or nothing', () => {
      it.each([
        ['at once', () => 0],
        ['in the first part', () => 1000],
        ['in the third part', (partBytes: number) => 2 * partBytes + 1000],
      ])('a body that throws %s leaves nothing, and its own error comes out', async (title, sizeOf) => {
        const own = new Error(`the dump failed ${title}`);
        const key = `torn/${title.replaceAll(' ', '-')}`;
        expect(await failure(store.put(key, thenThrow(pattern(sizeOf(part)), own)))).toBe(own);
        expect(await store.stat(key)).toBeUndefined();
        expect(await all(store.list('torn/'))).toEqual([]);
        expect(await subject.unfinished()).toEqual([]);
      });

      it('a body that throws leaves the object that was there as it was', async () => {
        await store.put('kept', bytesOf('first'));
        await failure(store.put('kept', thenThrow(pattern(part + 5), new Error('no'))));
        expect(Buffer.from(await read(store, 'kept')).toString()).toBe('first');
      });

      it('an object is replaced in one step, by longer and by shorter ones', async () => {
        for (const size of [10, part + 10, 3]) {
          await store.put('replaced', inChunks(pattern(size, size), 50_000));
          expect(sum(await read(store, 'replaced'))).toBe(sum(pattern(size, size)));
        }
        expect((await all(store.list('replaced'))).map(({ key, size }) => [key, size])).toEqual([['replaced', 3]]);
      });

      it('a reader never gets a mixture of the old and the new object', async () => {
        const [before, after] = [pattern(2 * MiB, 1), pattern(2 * MiB, 2)];
        await store.put('mixed', bytesOf(before));
        const reading = (await store.get('mixed'))[Symbol.asyncIterator]();
        const head = await reading.next();
        await store.put('mixed', bytesOf(after));
        const rest = async function* (): ByteStream & AsyncGenerator<Uint8Array> {
          if (head.done !== true) yield head.value;
          for (let step = await reading.next(); step.done !== true; step = await reading.next()) yield step.value;
        };
        const outcome = await collect(rest(), 4 * MiB).catch((error: unknown) => error);
        if (outcome instanceof Uint8Array) expect(sum(outcome)).toBe(sum(before));
        else expect(outcome).toEqual(coded('storage-failed'));
      });

      it('the producer is released when it is not read to its end', async () => {
        let released = false;
        const stop = new AbortController();
        async function* body(): AsyncGenerator<Uint8Array> {
          try {
            for (;;) {
              yield pattern(1000);
              stop.abort(new Error('enough'));
            }
          } finally {
            released = true;
          }
        }
        expect(await failure(store.put('released', body(), { signal: stop.signal }))).toBe(stop.signal.reason);
        expect(released).toBe(true);
      });
    });

    describe('an abort', () => {
      it('ends a put whose body is quiet, with the reason of the signal, and leaves nothing', async () => {
        const stop = new AbortController();
        const reason = new Error('Ctrl-C');
        async function* body(): AsyncGenerator<Uint8Array> {
          yield pattern(2 * part + 100);
          setImmediate(() => stop.abort(reason));
          await new Promise<never>(() => {});
        }
        expect(await failure(store.put('aborted', body(), { signal: stop.signal }))).toBe(reason);
        expect(await store.stat('aborted')).toBeUndefined();
        expect(await subject.unfinished()).toEqual([]);
      });

      it('ends a get in the middle', async () => {
        await store.put('long', bytesOf(pattern(4 * MiB)));
        const stop = new AbortController();
        const attempt = async () => {
          for await (const _ of await store.get('long', { signal: stop.signal })) stop.abort(new Error('enough'));
        };
        expect(await failure(attempt())).toBe(stop.signal.reason);
      });

      it('that has come before makes every call fail with its reason', async () => {
        const signal = AbortSignal.abort(new Error('before'));
        for (const call of [
          () => store.put('never', bytesOf('x'), { signal }),
          () => store.get('long', { signal }),
          () => store.stat('long', signal),
          () => all(store.list('', signal)),
          () => store.delete('long', signal),
          () => store.sweepUnfinished('', inALongTime, signal),
        ]) {
          expect(await failure(call())).toBe(signal.reason);
        }
        expect(await store.stat('never')).toBeUndefined();
      });
    });

    describe('put if absent', () => {
      it('takes a free key, and refuses a taken one without touching it', async () => {
        await store.put('once', bytesOf('first'), { ifAbsent: true });
        expect(await failure(store.put('once', bytesOf('second'), { ifAbsent: true }))).toEqual(coded('storage-exists'));
        expect(await failure(store.put('once', bytesOf(pattern(2 * part)), { ifAbsent: true }))).toEqual(coded('storage-exists'));
        expect(Buffer.from(await read(store, 'once')).toString()).toBe('first');
        await store.delete('once');
        await store.put('once', bytesOf('third'), { ifAbsent: true });
        expect(Buffer.from(await read(store, 'once')).toString()).toBe('third');
        expect(await subject.unfinished()).toEqual([]);
      });

      it('is refused also when the key is taken while the body comes, where the store can tell', async () => {
        if (!subject.features.conditionalPut) return;
        async function* body(): AsyncGenerator<Uint8Array> {
          yield pattern(2 * part);
          await store.put('overtaken', bytesOf('quicker'));
          yield pattern(10);
        }
        expect(await failure(store.put('overtaken', body(), { ifAbsent: true }))).toEqual(coded('storage-exists'));
        expect(Buffer.from(await read(store, 'overtaken')).toString()).toBe('quicker');
        expect(await subject.unfinished()).toEqual([]);
      });

      it('has exactly one winner among sixteen, where the store says so', async () => {
        if (!(await store.probe()).conditionalPut) return;
        for (let round = 0; round < 3; round += 1) {
          const bodies = Array.from({ length: 16 }, (_, racer) => `racer ${racer} of ${round}`);
          const outcomes = await Promise.allSettled(bodies.map((text) => store.put(`race/${round}`, bytesOf(text), { ifAbsent: true })));
          const winners = bodies.filter((_, racer) => outcomes[racer]?.status === 'fulfilled');
          expect(winners).toHaveLength(1);
          for (const outcome of outcomes) if (outcome.status === 'rejected') expect(outcome.reason).toEqual(coded('storage-exists'));
          expect(Buffer.from(await read(store, `race/${round}`)).toString()).toBe(winners[0]);
        }
      });
    });

    describe('a list', () => {
      it('has every page, in the order of bytes, with the right sizes', async () => {
        const keys = Array.from({ length: 1100 }, (_, number) => `many/${(number * 7919) % 1100}`);
        const queue = [...keys];
        await Promise.all(
          Array.from({ length: 24 }, async () => {
            for (let key = queue.pop(); key !== undefined; key = queue.pop()) await store.put(key, bytesOf(key));
          }),
        );
        const found = await all(store.list('many/'));
        expect(found.map(({ key }) => key)).toEqual([...keys].sort());
        expect(found.every(({ key, size }) => size === key.length)).toBe(true);
        expect((await all(store.list('many/109'))).map(({ key }) => key)).toEqual(
          [...keys].filter((key) => key.startsWith('many/109')).sort(),
        );
      });

      it('puts folders where their keys belong: "a/x" between "a.x" and "a0"', async () => {
        const keys = ['order/a-x', 'order/a.x', 'order/a/b/c', 'order/a/x', 'order/a0', 'order/aa/x', 'order/b'];
        for (const key of [...keys].reverse()) await store.put(key, bytesOf('x'));
        expect((await all(store.list('order/'))).map(({ key }) => key)).toEqual(keys);
        expect((await all(store.list('order/a'))).map(({ key }) => key)).toEqual(keys.slice(0, 6));
        expect((await all(store.list('order/a/'))).map(({ key }) => key)).toEqual(['order/a/b/c', 'order/a/x']);
        expect((await all(store.list('order/a/b/c'))).map(({ key }) => key)).toEqual(['order/a/b/c']);
      });

      it('may be left early', async () => {
        for await (const info of store.list('many/')) {
          expect(info.key).toBe('many/0');
          break;
        }
        expect(await store.stat('many/0')).toMatchObject({ size: 6 });
      });

      it('never shows a put that has not ended', async () => {
        let seen: readonly string[] | undefined;
        async function* body(): AsyncGenerator<Uint8Array> {
          yield pattern(2 * part + 10);
          seen = (await all(store.list('unended/'))).map(({ key }) => key);
          expect(await store.stat('unended/x')).toBeUndefined();
          yield pattern(10);
        }
        await store.put('unended/x', body());
        expect(seen).toEqual([]);
        expect((await all(store.list('unended/'))).map(({ key }) => key)).toEqual(['unended/x']);
      });
    });

    describe('what a killed process left', () => {
      it('is swept when it is old enough and below the prefix, and visible objects stay', async () => {
        const leave = subject.leaveUnfinished;
        expect(await store.sweepUnfinished('', inALongTime)).toEqual([]);
        if (leave === undefined) return;
        await store.put('left/behind', bytesOf('visible'));
        await leave('left/behind');
        await leave('left/other object');
        await leave('elsewhere/x');
        expect(await store.sweepUnfinished('', longAgo)).toEqual([]);
        expect(await subject.unfinished()).toHaveLength(3);
        expect([...(await store.sweepUnfinished('left/', inALongTime))].sort()).toEqual(['left/behind', 'left/other object']);
        expect(await store.sweepUnfinished('left/', inALongTime)).toEqual([]);
        expect(await store.sweepUnfinished('', inALongTime)).toEqual(['elsewhere/x']);
        expect(await subject.unfinished()).toEqual([]);
        expect(Buffer.from(await read(store, 'left/behind')).toString()).toBe('visible');
      });
    });

    describe('the probe', () => {
      it('finds out what the store does, and removes its own objects', async () => {
        expect(await store.probe()).toEqual(subject.features);
        expect(await all(store.list('.jetbackup-probe/'))).toEqual([]);
        expect(await subject.unfinished()).toEqual([]);
      });
    });

    it('only errors of the catalogue come out', async () => {
      const errors = await Promise.all([
        failure(store.get('missing/x')),
        failure(store.put('../x', bytesOf('x'))),
        failure(all(store.list('a//b'))),
      ]);
      for (const error of errors) expect(isJetbackupError(error)).toBe(true);
    });
  });
}
