import { JetbackupError } from '../core/errors.ts';
import type { Clock } from './clock.ts';

/** Settles as `work` does, or rejects with the signal's reason as soon as that is aborted; the work itself goes on. */
export function orAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work;
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
    const settled = () => signal.removeEventListener('abort', onAbort);
    work.then(
      (value) => {
        settled();
        resolve(value);
      },
      (error: unknown) => {
        settled();
        reject(error);
      },
    );
  });
}

export interface LimitOptions {
  /** Ends it before the time is over. */
  readonly signal?: AbortSignal | undefined;
  /** What it ends with when the time is over; `storage-unreachable` unless told otherwise. */
  readonly late?: () => Error;
}

/** A signal that is aborted after `ms` by the monotonic clock, or as another one is. Disposing stops the clock. */
export interface Limit extends Disposable {
  readonly signal: AbortSignal;
}

export function limitTo(clock: Clock, ms: number, { signal, late = () => storageLate(ms) }: LimitOptions = {}): Limit {
  const over = new AbortController();
  const timer = new AbortController();
  clock.sleep(Math.max(0, ms), timer.signal).then(
    () => over.abort(late()),
    () => {},
  );
  return {
    signal: signal === undefined ? over.signal : AbortSignal.any([signal, over.signal]),
    [Symbol.dispose]: () => timer.abort(),
  };
}

function storageLate(ms: number): JetbackupError {
  return new JetbackupError('storage-unreachable', `the storage gave no answer within ${Math.round(ms / 1000)} s`);
}

/**
 * Runs `work` for at most `ms`. Then, or when the signal is aborted, this rejects, also when the work does not heed its signal,
 * as a call into a dead network file system does not.
 */
export async function within<T>(
  clock: Clock,
  ms: number,
  work: (signal: AbortSignal) => Promise<T>,
  options: LimitOptions = {},
): Promise<T> {
  options.signal?.throwIfAborted();
  using limit = limitTo(clock, ms, options);
  return await orAborted(work(limit.signal), limit.signal);
}
