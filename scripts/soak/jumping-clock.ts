import { setTimeout as wait } from 'node:timers/promises';
import { Temporal } from 'temporal-polyfill';
import type { Clock } from '../../src/platform/clock.ts';

export interface JumpingClock extends Clock {
  /** Jumps to the next thing that is waited for whenever nothing is done, until the signal. `onIdle` may look before each jump. */
  jumpWhile(isIdle: () => boolean, onIdle: () => Promise<void>, signal: AbortSignal): Promise<void>;
}

/** How long nothing must have been done before it counts as nothing, ms: what ended may have a step or two to go. */
const QUIET_MS = 10;

/** Real time while something is done, and none between. Both of its clocks jump together: the machine seems to have been awake. */
export function jumpingClock(): JumpingClock {
  let offsetMs = 0;
  const sleepers = new Set<{ readonly untilMs: number; readonly wake: () => void }>();
  const monotonicMs = () => performance.now() + offsetMs;
  return {
    now: () => Temporal.Now.instant().add({ milliseconds: Math.round(offsetMs) }),
    monotonicMs,
    async sleep(ms, signal) {
      signal?.throwIfAborted();
      await new Promise<void>((resolve, reject) => {
        const over = (settle: () => void) => {
          clearTimeout(timer);
          sleepers.delete(sleeper);
          signal?.removeEventListener('abort', onAbort);
          settle();
        };
        const onAbort = () => over(() => reject(signal?.reason));
        const sleeper = { untilMs: monotonicMs() + ms, wake: () => over(resolve) };
        const timer = setTimeout(sleeper.wake, ms);
        sleepers.add(sleeper);
        signal?.addEventListener('abort', onAbort, { once: true });
      });
    },
    async jumpWhile(isIdle, onIdle, signal) {
      let quiet = 0;
      while (!signal.aborted) {
        await wait(QUIET_MS / 2);
        quiet = isIdle() ? quiet + 1 : 0;
        if (quiet < 2) continue;
        await onIdle();
        quiet = 0;
        if (!isIdle()) continue;
        const next = Math.min(...[...sleepers].map(({ untilMs }) => untilMs));
        if (!Number.isFinite(next)) continue;
        offsetMs += Math.max(0, next - monotonicMs());
        for (const sleeper of [...sleepers]) if (sleeper.untilMs <= monotonicMs() + 1) sleeper.wake();
      }
    },
  };
}
