import { beforeAll, describe, expect, it } from 'vitest';
import type { ObjectStore } from '../../src/storage/store.ts';
import type { Subject } from './subject.ts';

/** How much may still be written, where the store has an end. */
export function describeRoom(current: () => Subject): void {
  let subject: Subject;
  let store: ObjectStore;
  beforeAll(() => {
    subject = current();
    store = subject.store;
  });

  describe('room', () => {
    it('is told where the store has an end, and no figure is made up elsewhere', async () => {
      const room = await store.room();
      if (subject.hasRoom !== true) return void expect(room).toBeUndefined();
      expect(room?.freeBytes).toBeGreaterThan(0);
      expect(room?.totalBytes).toBeGreaterThanOrEqual(room?.freeBytes ?? 0);
    });

    it('is not waited for after an abort', async () => {
      if (subject.hasRoom !== true) return;
      const reason = new Error('Ctrl-C');
      await expect(store.room(AbortSignal.abort(reason))).rejects.toBe(reason);
    });
  });
}
