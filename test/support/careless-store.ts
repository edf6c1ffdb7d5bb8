import { JetbackupError } from '../../src/core/errors.ts';
import type { Clock } from '../../src/platform/clock.ts';
import type { ObjectStore } from '../../src/storage/store.ts';

/** A store whose conditional put looks first and writes `gapMs()` later, as Swift's does: it answers "taken", and still several racing writers win. */
export function createCarelessStore(inner: ObjectStore, clock: Clock, gapMs: () => number): ObjectStore {
  return {
    ...inner,
    async put(key, body, { ifAbsent = false, ...options } = {}) {
      if (!ifAbsent) return inner.put(key, body, options);
      if ((await inner.stat(key)) !== undefined) throw new JetbackupError('storage-exists', `"${key}" is taken`);
      await clock.sleep(gapMs());
      return inner.put(key, body, options);
    },
    probe: async (signal) => ({ ...(await inner.probe(signal)), conditionalPut: false }),
  };
}
