import { bytesOf, collect, MiB } from '../../src/core/bytes.ts';
import type { Clock } from '../../src/platform/clock.ts';
import { orAborted } from '../../src/platform/deadline.ts';
import type { ObjectStore } from '../../src/storage/store.ts';

/**
 * One host's way to a store. Each call takes `delayMs()` there and `delayMs()` back, by the clock of the network, which
 * never stops: what was sent arrives also when its host has stopped or given up, and an answer waits until the host runs.
 * So anything may happen between what a host reads and what it does. A list or an object is read whole at one moment.
 */
export function createLatentStore(inner: ObjectStore, host: Clock, network: Clock, delayMs: () => number): ObjectStore {
  function slowly<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    const answer = async () => {
      signal?.throwIfAborted();
      await network.sleep(delayMs());
      const outcome = await work().then(
        (value) => () => value,
        (error: unknown) => () => {
          throw error;
        },
      );
      await network.sleep(delayMs());
      await host.sleep(0);
      return outcome();
    };
    return orAborted(answer(), signal);
  }
  return {
    location: inner.location,
    capacity: (sizeHint) => inner.capacity(sizeHint),
    put: (key, body, { signal, ...options } = {}) => slowly(() => inner.put(key, body, options), signal),
    get: (key, { signal, ...options } = {}) => slowly(async () => bytesOf(await collect(await inner.get(key, options), MiB)), signal),
    stat: (key, signal) => slowly(() => inner.stat(key), signal),
    async *list(prefix, signal) {
      yield* await slowly(() => Array.fromAsync(inner.list(prefix)), signal);
    },
    lockedUntil: (key, signal) => slowly(() => inner.lockedUntil(key), signal),
    delete: (key, signal) => slowly(() => inner.delete(key), signal),
    sweepUnfinished: (prefix, before, signal) => slowly(() => inner.sweepUnfinished(prefix, before), signal),
    room: (signal) => slowly(() => inner.room(), signal),
    probe: (signal) => inner.probe(signal),
    close: () => {},
  };
}
