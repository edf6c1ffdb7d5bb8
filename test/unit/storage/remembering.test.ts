import { expect, it } from 'vitest';
import { bytesOf, collect, MiB } from '../../../src/core/bytes.ts';
import { JetbackupError } from '../../../src/core/errors.ts';
import { rememberingStore } from '../../../src/storage/remembering.ts';
import type { GetOptions, ObjectStore } from '../../../src/storage/store.ts';
import { createFakeTime } from '../../support/fake-time.ts';
import { createMemoryStore } from '../../support/memory-store.ts';

/** A repository in memory that counts what is fetched; what begins with `run` never changes. */
function countingStore() {
  const memory = createMemoryStore({ clock: createFakeTime().host() });
  const fetched: string[] = [];
  let failing = false;
  const store: ObjectStore = {
    ...memory,
    get: async (key: string, options?: GetOptions) => {
      fetched.push(key);
      const stream = await memory.get(key, options);
      return (async function* () {
        if (failing) throw new JetbackupError('storage-unreachable', 'cut off');
        yield* stream;
      })();
    },
  };
  const remembering = rememberingStore(store, (key) => key.startsWith('run'));
  const put = (key: string, content: string | Uint8Array) => memory.put(key, bytesOf(content));
  return {
    memory,
    fetched,
    store: remembering,
    put,
    fail: (value: boolean) => {
      failing = value;
    },
    read: async (key: string, options?: GetOptions) =>
      Buffer.from(await collect(await remembering.get(key, options), 64 * MiB)).toString('utf8'),
    async list(prefix = '') {
      const keys: string[] = [];
      for await (const { key } of remembering.list(prefix)) keys.push(key);
      return keys;
    },
  };
}

it('fetches what never changes once, and what may change each time', async () => {
  const s = countingStore();
  await s.put('run/1', 'one');
  await s.put('lease', 'a');
  await s.list();
  expect(await s.read('run/1')).toBe('one');
  expect(await s.read('run/1')).toBe('one');
  expect(await s.read('lease')).toBe('a');
  await s.put('lease', 'b');
  expect(await s.read('lease')).toBe('b');
  expect(s.fetched).toEqual(['run/1', 'lease', 'lease']);
});

it('asks for a listing each time, and forgets what a whole one no longer shows', async () => {
  const s = countingStore();
  await s.put('run/1', 'one');
  await s.put('run/2', 'two');
  expect(await s.list()).toEqual(['run/1', 'run/2']);
  await s.read('run/1');
  await s.read('run/2');
  expect(await s.list()).toEqual(['run/1', 'run/2']);
  await s.memory.delete('run/1');
  expect(await s.list()).toEqual(['run/2']);
  await expect(s.read('run/1')).rejects.toMatchObject({ code: 'storage-not-found' });
  await s.read('run/2');
  expect(s.fetched).toEqual(['run/1', 'run/2', 'run/1']);
});

it('keeps what a listing of another folder, or one that was not read to its end, does not show', async () => {
  const s = countingStore();
  for (const key of ['run/1', 'run/2', 'run2/1']) await s.put(key, key);
  await s.list();
  for (const key of ['run/1', 'run/2', 'run2/1']) await s.read(key);
  await s.list('run2/');
  await s.list('other/');
  for await (const _ of s.store.list('run/')) break;
  for (const key of ['run/1', 'run/2', 'run2/1']) await s.read(key);
  expect(s.fetched).toHaveLength(3);
});

it('reads anew what was overwritten: whoever did that must be seen', async () => {
  const s = countingStore();
  await s.put('run/1', 'one');
  await s.list();
  await s.read('run/1');
  await s.put('run/1', 'eins!');
  await s.list();
  expect(await s.read('run/1')).toBe('eins!');
  expect(s.fetched).toEqual(['run/1', 'run/1']);
});

it('remembers nothing that no listing has shown', async () => {
  const s = countingStore();
  await s.put('run/1', 'one');
  await s.read('run/1');
  await s.read('run/1');
  expect(s.fetched).toEqual(['run/1', 'run/1']);
});

it('remembers no failure: the next one asks again', async () => {
  const s = countingStore();
  await s.put('run/1', 'one');
  s.fail(true);
  await expect(s.read('run/1')).rejects.toMatchObject({ code: 'storage-unreachable' });
  await expect(s.read('run/9')).rejects.toMatchObject({ code: 'storage-not-found' });
  s.fail(false);
  await s.put('run/9', 'nine');
  expect(await s.read('run/1')).toBe('one');
  expect(await s.read('run/9')).toBe('nine');
});

it('passes ranges through, of what is remembered too', async () => {
  const s = countingStore();
  await s.put('run/1', '0123456789');
  await s.list();
  await s.read('run/1');
  expect(await s.read('run/1', { range: { offset: 2, length: 2 } })).toBe(Buffer.from('0123456789').subarray(2, 4).toString());
  expect(s.fetched).toHaveLength(2);
});

it('heeds a signal also where it has what is asked for', async () => {
  const s = countingStore();
  await s.put('run/1', 'one');
  await s.list();
  await s.read('run/1');
  await expect(s.read('run/1', { signal: AbortSignal.abort(new Error('stopped')) })).rejects.toThrow('stopped');
});

it('holds 64 MiB at most, and pushes nothing out for what does not fit', async () => {
  const s = countingStore();
  const keys = Array.from({ length: 5 }, (_, index) => `run/${index}`);
  for (const key of keys) await s.put(key, new Uint8Array(15 * MiB));
  await s.list();
  for (const key of keys) await s.read(key);
  s.fetched.length = 0;
  for (const key of keys) await s.read(key);
  expect(s.fetched).toEqual(['run/4']);
});

it('is the store in everything else', async () => {
  const s = countingStore();
  await s.put('run/1', 'one');
  expect(s.store.location).toBe(s.memory.location);
  expect(await s.store.stat('run/1')).toMatchObject({ size: 3 });
  await s.store.put('run/2', bytesOf('two'));
  expect(await s.list()).toEqual(['run/1', 'run/2']);
});
