import { beforeAll, describe, expect, it } from 'vitest';
import { bytesOf } from '../../src/core/bytes.ts';
import type { ObjectStore } from '../../src/storage/store.ts';
import { inALongTime, type Subject } from './subject.ts';

/** What the store refuses to delete is known before anybody tries. */
export function describeLocks(current: () => Subject): void {
  let subject: Subject;
  let store: ObjectStore;
  beforeAll(() => {
    subject = current();
    store = subject.store;
  });

  describe('what locks an object', () => {
    it('is nothing where nobody locked it, and where it is not there', async () => {
      await store.put('locks/free', bytesOf('x'));
      expect(await store.lockedUntil('locks/free')).toBeUndefined();
      expect(await store.lockedUntil('locks/missing')).toBeUndefined();
    });

    it('is told with its date, where the store can lock', async () => {
      if (subject.lock === undefined) return;
      await store.put('locks/dated', bytesOf('x'));
      await subject.lock('locks/dated', inALongTime);
      expect(await store.lockedUntil('locks/dated')).toEqual(inALongTime);
      await store.put('locks/held', bytesOf('x'));
      await subject.lock('locks/held', 'legal-hold');
      expect(await store.lockedUntil('locks/held')).toBe('legal-hold');
    });
  });
}
