import { orAborted } from '../../src/platform/deadline.ts';
import type { ObjectStore } from '../../src/storage/store.ts';

export type GatedCall = 'put' | 'get' | 'stat' | 'list' | 'delete';

/** Something that works over a store and is let go on call by call. */
export interface Actor<T> {
  readonly result: Promise<T>;
  /** What it is about to do, once it stands there; undefined once it has ended. */
  next(): Promise<string | undefined>;
  /** Lets it do that one call; of several the one that has waited longest. Does nothing where none waits. */
  step(): void;
}

/** Stops before each call that `counts`, and wherever it is told to stop; a call whose signal is aborted meanwhile is never carried out. */
export interface Gate {
  over(store: ObjectStore, counts: (call: GatedCall, key: string) => boolean): ObjectStore;
  stop(name: string, signal?: AbortSignal): Promise<void>;
}

export function startActor<T>(work: (gate: Gate) => Promise<T>): Actor<T> {
  interface Stand {
    readonly name: string;
    readonly go: () => void;
  }
  let stands: Stand[] = [];
  let arrived = Promise.withResolvers<void>();
  let ended = false;

  const stop = async (name: string, signal?: AbortSignal): Promise<void> => {
    const going = Promise.withResolvers<void>();
    const stand = { name, go: going.resolve };
    stands.push(stand);
    arrived.resolve();
    try {
      await orAborted(going.promise, signal);
    } finally {
      stands = stands.filter((one) => one !== stand);
    }
  };
  const over: Gate['over'] = (store, counts) => {
    const gate = async (call: GatedCall, key: string, signal: AbortSignal | undefined) => {
      if (counts(call, key)) await stop(`${call} ${key}`, signal);
    };
    return {
      location: store.location,
      capacity: (sizeHint) => store.capacity(sizeHint),
      async put(key, body, options) {
        await gate('put', key, options?.signal);
        return await store.put(key, body, options);
      },
      async get(key, options) {
        await gate('get', key, options?.signal);
        return await store.get(key, options);
      },
      async stat(key, signal) {
        await gate('stat', key, signal);
        return await store.stat(key, signal);
      },
      async *list(prefix, signal) {
        await gate('list', prefix, signal);
        yield* store.list(prefix, signal);
      },
      async delete(key, signal) {
        await gate('delete', key, signal);
        await store.delete(key, signal);
      },
      lockedUntil: (key, signal) => store.lockedUntil(key, signal),
      sweepUnfinished: (prefix, before, signal) => store.sweepUnfinished(prefix, before, signal),
      room: (signal) => store.room(signal),
      probe: (signal) => store.probe(signal),
      close: () => store.close(),
    };
  };
  const result = work({ over, stop });
  const onEnd = () => {
    ended = true;
    arrived.resolve();
  };
  void result.then(onEnd, onEnd);
  return {
    result,
    async next() {
      while (stands.length === 0 && !ended) {
        arrived = Promise.withResolvers();
        await arrived.promise;
      }
      return stands[0]?.name;
    },
    step() {
      const first = stands.shift();
      first?.go();
    },
  };
}
