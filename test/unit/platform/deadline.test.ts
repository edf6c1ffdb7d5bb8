import { describe, expect, it } from 'vitest';
import { orAborted, within } from '../../../src/platform/deadline.ts';
import { createFakeTime } from '../../support/fake-time.ts';

const never = new Promise<never>(() => {});

describe('a wait that may be given up', () => {
  it('ends with the reason of the signal, also one that was aborted before', async () => {
    const stop = new AbortController();
    const waiting = orAborted(never, stop.signal);
    const reason = new Error('enough');
    stop.abort(reason);
    await expect(waiting).rejects.toBe(reason);
    await expect(orAborted(never, stop.signal)).rejects.toBe(reason);
  });

  it('else ends as the work does', async () => {
    const { signal } = new AbortController();
    const own = new Error('own');
    await expect(orAborted(Promise.resolve(7), signal)).resolves.toBe(7);
    await expect(orAborted(Promise.reject(own), signal)).rejects.toBe(own);
    await expect(orAborted(Promise.resolve(7), undefined)).resolves.toBe(7);
  });
});

describe('work with a time limit', () => {
  it('is told when the time is over, and is not waited for any longer', async () => {
    const time = createFakeTime();
    let told: AbortSignal | undefined;
    const work = within(time.host(), 5000, (signal) => {
      told = signal;
      return never;
    });
    const outcome = expect(work).rejects.toMatchObject({ code: 'storage-unreachable', message: 'the storage gave no answer within 5 s' });
    await time.advance(4999);
    expect(told?.aborted).toBe(false);
    await time.advance(1);
    await outcome;
    expect(told?.aborted).toBe(true);
  });

  it('that ends in time gives its result, and its signal is never aborted', async () => {
    const time = createFakeTime();
    let told: AbortSignal | undefined;
    const result = await within(time.host(), 5000, async (signal) => {
      told = signal;
      return 7;
    });
    await time.advance(10_000);
    expect([result, told?.aborted]).toEqual([7, false]);
  });
});
