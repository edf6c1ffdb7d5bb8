import { Temporal } from 'temporal-polyfill';
import type { Clock, Instant } from '../../src/platform/clock.ts';
import type { ObjectInfo, ObjectStore } from '../../src/storage/store.ts';

export interface SimulatedClock extends Clock {
  /** Goes there, forwards or backwards; what sleeps until then wakes up. */
  setTo(instant: Instant): void;
}

export function simulatedClock(start: Instant): SimulatedClock {
  let now = start;
  let monotonic = 0;
  const sleepers = new Set<{ readonly until: number; readonly wake: () => void }>();
  const advance = (ms: number) => {
    monotonic += Math.max(0, ms);
    for (const sleeper of sleepers) {
      if (sleeper.until > monotonic) continue;
      sleepers.delete(sleeper);
      sleeper.wake();
    }
  };
  return {
    now: () => now,
    monotonicMs: () => monotonic,
    setTo(instant) {
      const ms = instant.epochMilliseconds - now.epochMilliseconds;
      now = instant;
      advance(ms);
    },
    async sleep(ms, signal) {
      signal?.throwIfAborted();
      await new Promise<void>((resolve, reject) => {
        const sleeper = { until: monotonic + ms, wake: () => resolve() };
        sleepers.add(sleeper);
        signal?.addEventListener(
          'abort',
          () => {
            sleepers.delete(sleeper);
            reject(signal.reason);
          },
          { once: true },
        );
      });
    },
  };
}

/** The store, whose objects are dated by `clock`: a real directory's files carry real time. What it did not write itself keeps its date. */
export function datedStore(store: ObjectStore, clock: Clock): ObjectStore {
  const written = new Map<string, Instant>();
  const dated = <T extends ObjectInfo | undefined>(info: T): T =>
    info === undefined ? info : { ...info, modified: written.get(info.key) ?? info.modified };
  return {
    location: store.location,
    capacity: (sizeHint) => store.capacity(sizeHint),
    async put(key, body, options) {
      const info = await store.put(key, body, options);
      written.set(key, clock.now());
      return dated(info);
    },
    get: (key, options) => store.get(key, options),
    stat: async (key, signal) => dated(await store.stat(key, signal)),
    async *list(prefix, signal) {
      for await (const info of store.list(prefix, signal)) yield dated(info);
    },
    delete: (key, signal) => store.delete(key, signal),
    lockedUntil: (key, signal) => store.lockedUntil(key, signal),
    // Temporary files carry real time: what is older by the clock of the test is all that there is.
    sweepUnfinished: (prefix, before, signal) =>
      store.sweepUnfinished(prefix, Temporal.Now.instant().add(before.since(clock.now())), signal),
    room: (signal) => store.room(signal),
    probe: (signal) => store.probe(signal),
    close: () => store.close(),
  };
}

/** A store that is cut off after so many further calls that change something, as if the process had been killed there: nothing works any more. */
export function mortalStore(store: ObjectStore): ObjectStore & { dieAfter(changes: number): void; revive(): void; readonly dead: boolean } {
  let left = Number.POSITIVE_INFINITY;
  const alive = () => {
    if (left <= 0) throw new Error('killed');
  };
  const change = async <T>(work: () => Promise<T>): Promise<T> => {
    alive();
    left -= 1;
    return await work();
  };
  return {
    location: store.location,
    capacity: (sizeHint) => store.capacity(sizeHint),
    put: (key, body, options) => change(() => store.put(key, body, options)),
    async get(key, options) {
      alive();
      return await store.get(key, options);
    },
    async stat(key, signal) {
      alive();
      return await store.stat(key, signal);
    },
    async *list(prefix, signal) {
      alive();
      yield* store.list(prefix, signal);
    },
    delete: (key, signal) => change(() => store.delete(key, signal)),
    async lockedUntil(key, signal) {
      alive();
      return await store.lockedUntil(key, signal);
    },
    sweepUnfinished: (prefix, before, signal) => change(() => store.sweepUnfinished(prefix, before, signal)),
    async room(signal) {
      alive();
      return await store.room(signal);
    },
    async probe(signal) {
      alive();
      return await store.probe(signal);
    },
    close: () => store.close(),
    dieAfter(changes) {
      left = changes;
    },
    revive() {
      left = Number.POSITIVE_INFINITY;
    },
    get dead() {
      return left <= 0;
    },
  };
}
