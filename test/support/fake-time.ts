import { Temporal } from 'temporal-polyfill';
import type { Clock } from '../../src/platform/clock.ts';

/** One machine in the fake time: what it believes, and whether it runs. */
export interface FakeHost extends Clock {
  /** Sets its wall clock off by so much more; its monotonic clock and what it waits for do not notice. */
  jump(by: Temporal.DurationLike): void;
  /** Stops it as SIGSTOP stops a process: nothing that it waits for wakes; both its clocks go on. */
  stop(): void;
  /** Puts it to sleep as closing a lid does: its monotonic clock stands still too, and its wall clock is right again at once. */
  suspend(): void;
  /** After either of them. What is overdue wakes with the next `advance`. */
  resume(): void;
}

export interface FakeTime {
  /** The true time, which nobody in it can read. */
  now(): Temporal.Instant;
  host(options?: { ahead?: Temporal.DurationLike }): FakeHost;
  /** Lets so much time pass (ms), waking whoever waits in the order in which their waits end. */
  advance(ms: number): Promise<void>;
}

interface Wait {
  readonly host: { readonly running: () => boolean; readonly monotonicMs: () => number };
  readonly dueMs: number;
  readonly wake: () => void;
}

/** Lets everything run that needs no time. */
const settle = () => new Promise((resolve) => setImmediate(resolve));

/** Several machines whose clocks differ, in a time that passes only when told to. */
export function createFakeTime(start = '2026-11-25T02:00:00Z'): FakeTime {
  const begin = Temporal.Instant.from(start);
  let elapsedMs = 0;
  let waits: Wait[] = [];
  // A third of something is no whole number of ms, and Temporal takes no other.
  const trueNow = () => begin.add({ milliseconds: Math.floor(elapsedMs) });

  const nextDue = (): Wait | undefined => {
    const left = ({ host, dueMs }: Wait) => dueMs - host.monotonicMs();
    return waits
      .filter(({ host }) => host.running())
      .reduce<Wait | undefined>((a, b) => (a === undefined || left(b) < left(a) ? b : a), undefined);
  };

  return {
    now: trueNow,
    host({ ahead = { seconds: 0 } } = {}) {
      let offsetMs = Temporal.Duration.from(ahead).total('milliseconds');
      let state: 'running' | 'stopped' | 'suspended' = 'running';
      let sleptMs = 0;
      let fellAsleepMs = 0;
      const monotonicMs = () => (state === 'suspended' ? fellAsleepMs : elapsedMs) - sleptMs;
      const host = { running: () => state === 'running', monotonicMs };
      return {
        now: () => trueNow().add({ milliseconds: offsetMs }),
        monotonicMs,
        sleep(ms, signal) {
          return new Promise((resolve, reject) => {
            if (signal?.aborted) return reject(signal.reason);
            const onAbort = () => {
              waits = waits.filter((other) => other !== wait);
              reject(signal?.reason);
            };
            const wake = () => {
              signal?.removeEventListener('abort', onAbort);
              resolve();
            };
            const wait: Wait = { host, dueMs: monotonicMs() + ms, wake };
            waits.push(wait);
            signal?.addEventListener('abort', onAbort, { once: true });
          });
        },
        jump(by) {
          offsetMs += Temporal.Duration.from(by).total('milliseconds');
        },
        stop() {
          state = 'stopped';
        },
        suspend() {
          fellAsleepMs = elapsedMs;
          state = 'suspended';
        },
        resume() {
          if (state === 'suspended') sleptMs += elapsedMs - fellAsleepMs;
          state = 'running';
        },
      };
    },
    async advance(ms) {
      const target = elapsedMs + ms;
      for (;;) {
        await settle();
        const next = nextDue();
        const at = next === undefined ? target : elapsedMs + Math.max(0, next.dueMs - next.host.monotonicMs());
        if (next === undefined || at > target) break;
        elapsedMs = Math.max(elapsedMs, at);
        waits = waits.filter((wait) => wait !== next);
        next.wake();
      }
      elapsedMs = target;
      await settle();
    },
  };
}
