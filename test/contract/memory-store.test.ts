import { systemClock } from '../../src/platform/clock.ts';
import { createMemoryStore } from '../support/memory-store.ts';
import { describeObjectStore } from './object-store.ts';

describeObjectStore('the store in memory that other tests use', async () => ({
  store: createMemoryStore({ clock: systemClock }),
  partBytes: 100_000,
  unfinished: async () => [],
  features: { conditionalPut: true, objectLock: false, versioning: false, checksums: false },
  stop: async () => {},
}));
