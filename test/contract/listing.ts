import { beforeAll, describe, expect, it } from 'vitest';
import { bytesOf } from '../../src/core/bytes.ts';
import { isJetbackupError } from '../../src/core/errors.ts';
import type { ObjectStore } from '../../src/storage/store.ts';
import { all, failure, inALongTime, longAgo, pattern, read, type Subject } from './subject.ts';

/** Lists, leftovers, and what the probe finds out. */
export function describeListing(current: () => Subject): void {
  let subject: Subject;
  let store: ObjectStore;
  let part: number;
  beforeAll(() => {
    subject = current();
    store = subject.store;
    part = subject.partBytes;
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
}
