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

/**
 * Runs `work` for at most `ms` by the monotonic clock. Then its signal is aborted and this rejects with
 * `storage-unreachable`, also when the work does not heed the signal, as a call into a dead network file system does not.
 */
export async function within<T>(clock: Clock, ms: number, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const over = new AbortController();
  const timer = new AbortController();
  clock.sleep(Math.max(0, ms), timer.signal).then(
    () => over.abort(new JetbackupError('storage-unreachable', `the storage gave no answer within ${Math.round(ms / 1000)} s`)),
    () => {},
  );
  try {
    return await orAborted(work(over.signal), over.signal);
  } finally {
    timer.abort();
  }
}
