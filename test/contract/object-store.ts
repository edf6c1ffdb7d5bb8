import { afterAll, beforeAll, describe } from 'vitest';
import { describeAllOrNothing } from './all-or-nothing.ts';
import { describeListing } from './listing.ts';
import { describeLocks } from './locks.ts';
import { describeRoom } from './room.ts';
import { describeRoundTrip } from './round-trip.ts';
import type { Subject } from './subject.ts';

/** The one suite that every store must pass. */
export function describeObjectStore(name: string, start: () => Promise<Subject>): void {
  describe(name, () => {
    let subject: Subject;
    beforeAll(async () => {
      subject = await start();
    });
    afterAll(async () => {
      subject?.store.close();
      await subject?.stop();
    });

    describeRoundTrip(() => subject);
    describeAllOrNothing(() => subject);
    describeListing(() => subject);
    describeLocks(() => subject);
    describeRoom(() => subject);
  });
}
