import { beforeEach, describe, expect, it } from 'vitest';
import { bytesOf, collect } from '../../../src/core/bytes.ts';
import { systemClock } from '../../../src/platform/clock.ts';
import { createFaultyStore } from '../../support/faulty-store.ts';
import { createMemoryStore, type MemoryStore } from '../../support/memory-store.ts';

describe('the store that fails where told', () => {
  let memory: MemoryStore;
  beforeEach(() => {
    memory = createMemoryStore({ clock: systemClock });
  });
  const read = async (store: MemoryStore | ReturnType<typeof createFaultyStore>, key: string) =>
    Buffer.from(await collect(await store.get(key), 100)).toString();

  it('fails the nth call that matches, and no other', async () => {
    const store = createFaultyStore(memory, { on: 'put', key: /^b/, nth: 2, fault: 'storage-full' });
    await store.put('b1', bytesOf('x'));
    await store.put('a', bytesOf('x'));
    await expect(store.put('b2', bytesOf('x'))).rejects.toMatchObject({ code: 'storage-full' });
    await store.put('b3', bytesOf('x'));
    expect([...memory.objects.keys()]).toEqual(['b1', 'a', 'b3']);
    expect(store.calls.map(({ key }) => key)).toEqual(['b1', 'a', 'b2', 'b3']);
  });

  it('breaks a body or a stream after the bytes it was told, and commits nothing of a broken body', async () => {
    const own = new Error('mine');
    const store = createFaultyStore(
      memory,
      { on: 'put', afterBytes: 3, fault: own },
      { on: 'get', afterBytes: 3, fault: 'storage-unreachable' },
    );
    await expect(store.put('x', bytesOf('hello'))).rejects.toBe(own);
    expect(memory.objects.size).toBe(0);
    await memory.put('x', bytesOf('hello'));
    let seen = '';
    const reading = async () => {
      for await (const chunk of await store.get('x')) seen += Buffer.from(chunk).toString();
    };
    await expect(reading()).rejects.toMatchObject({ code: 'storage-unreachable' });
    expect(seen).toBe('hel');
  });

  it('lies where told to: a short object, a bit turned over, a commit whose answer is lost', async () => {
    const store = createFaultyStore(memory);
    store.add({ on: 'put', key: 'short', fault: 'truncate', afterBytes: 2 });
    store.add({ on: 'get', key: 'bit', fault: 'flip-bit', afterBytes: 1 });
    store.add({ on: 'put', key: 'lost', fault: 'fail-after-commit' });
    await store.put('short', bytesOf('hello'));
    expect(await read(memory, 'short')).toBe('he');
    await store.put('bit', bytesOf('aaa'));
    expect(await read(store, 'bit')).toBe('a`a');
    await expect(store.put('lost', bytesOf('x'))).rejects.toMatchObject({ code: 'storage-unreachable' });
    expect(await read(memory, 'lost')).toBe('x');
    store.heal();
    expect(await read(store, 'bit')).toBe('aaa');
  });

  it('hangs until the signal is aborted', async () => {
    const store = createFaultyStore(memory, { on: 'put', fault: 'hang', afterBytes: 1 });
    const stop = new AbortController();
    const putting = store.put('x', bytesOf('hello'), { signal: stop.signal });
    const reason = new Error('stop');
    setImmediate(() => stop.abort(reason));
    await expect(putting).rejects.toBe(reason);
    expect(memory.objects.size).toBe(0);
  });
});
