import { systemClock } from '../../src/platform/clock.ts';
import { createMemoryStore } from '../support/memory-store.ts';
import { describeObjectStore } from './object-store.ts';

describeObjectStore('the store in memory that other tests use', async () => {
  const store = createMemoryStore({ clock: systemClock });
  return {
    store,
    partBytes: 100_000,
    unfinished: async () => [],
    lock: async (key, lock) => void store.locks.set(key, lock),
    features: { conditionalPut: true, objectLock: false, versioning: false, checksums: false },
    stop: async () => {},
  };
});
