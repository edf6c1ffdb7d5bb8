import { isJetbackupError, JetbackupError } from '../core/errors.ts';
import type { Clock } from '../platform/clock.ts';
import { within } from '../platform/deadline.ts';
import { RetryLater } from './alert.ts';

export interface AttemptDeps {
  readonly clock: Clock;
  /** From 0 to 1; Math.random unless told otherwise. */
  readonly random?: () => number;
}

/** A receiver that has not answered after so long is taken for hanging. */
const ATTEMPT_MS = 10_000;
const ATTEMPTS = 4;
const BACKOFF_MS = 1000;
/** Whoever asks for a longer wait is left alone, and the notice waits in the outbox. */
const LONGEST_WAIT_MS = 30_000;

/**
 * Tries until it works, four times at most: after 1, 2 and 4 s (each between half and the whole, so that many hosts do not
 * come at once), or after what the receiver asks for, if that is 30 s at most. `what` names channel and host. Throws what
 * the last attempt threw; `alert-undelivered` for one that hung.
 */
export async function attempts<T>(
  { clock, random = Math.random }: AttemptDeps,
  what: string,
  work: (signal: AbortSignal) => Promise<T>,
  signal: AbortSignal,
): Promise<T> {
  const late = () => new JetbackupError('alert-undelivered', `${what} gave no answer within ${ATTEMPT_MS / 1000} s`);
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await within(clock, ATTEMPT_MS, work, { signal, late });
    } catch (error) {
      signal.throwIfAborted();
      if (attempt === ATTEMPTS || !isJetbackupError(error, 'alert-undelivered')) throw error;
      const backoff = BACKOFF_MS * 2 ** (attempt - 1) * (0.5 + random() / 2);
      const asked = error.cause instanceof RetryLater ? error.cause.afterMs : undefined;
      if (asked !== undefined && asked > LONGEST_WAIT_MS) throw error;
      await clock.sleep(asked ?? backoff, signal);
    }
  }
}
