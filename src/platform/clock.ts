import { setTimeout } from 'node:timers/promises';
import { Temporal } from 'temporal-polyfill';

export type Instant = Temporal.Instant;

/** The only way to learn the time or to wait. Everything takes it as a dependency, so that tests own time. */
export interface Clock {
  /** Wall-clock time; may jump in either direction. For names and records, never for durations. */
  now(): Instant;
  /** Milliseconds since an arbitrary start; never goes back. For durations. */
  monotonicMs(): number;
  /** Resolves after `ms`; rejects with the signal's reason when it is aborted. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

export const systemClock: Clock = {
  now: () => Temporal.Now.instant(),
  monotonicMs: () => performance.now(),
  sleep: async (ms, signal) => {
    try {
      await setTimeout(ms, undefined, signal === undefined ? {} : { signal });
    } catch (error) {
      if (signal?.aborted) throw signal.reason;
      throw error;
    }
  },
};
