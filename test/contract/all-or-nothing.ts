import { beforeAll, describe, expect, it } from 'vitest';
import { type ByteStream, bytesOf, collect, MiB } from '../../src/core/bytes.ts';
import type { ObjectStore } from '../../src/storage/store.ts';
import { all, coded, failure, inALongTime, inChunks, pattern, read, type Subject, sum, thenThrow } from './subject.ts';

/** A put is seen whole or not at all, also when it fails, is aborted, or races. */
export function describeAllOrNothing(current: () => Subject): void {
  let subject: Subject;
  let store: ObjectStore;
  let part: number;
  beforeAll(() => {
    subject = current();
    store = subject.store;
    part = subject.partBytes;
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
        () => store.lockedUntil('long', signal),
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
}
