import type { Temporal } from 'temporal-polyfill';
import { JetbackupError } from '../core/errors.ts';
import type { Clock } from '../platform/clock.ts';
import { orAborted, within } from '../platform/deadline.ts';
import { type LeaseContent, type LeaseEntry, leaseKey, stillHighest, writeLease } from './lease-object.ts';

export interface Lease extends AsyncDisposable {
  /** The store's clock when the lease was taken. */
  readonly storeNow: Temporal.Instant;
  /**
   * Throws `locked` when the lease was lost or has run out. Costs nothing while it was renewed within the last half ttl by
   * the monotonic clock, and the wall clock agrees; else it renews it first, which asks the store.
   *
   * Call it before every delete, and let that delete take no longer than one ttl (a signal with a timeout): nobody else
   * can have the lease sooner than one ttl after the latest moment at which this returns.
   */
  assertHeld(signal?: AbortSignal): Promise<void>;
  // Disposing releases it: at most ten seconds, never throws. What could not be released runs out.
}

/** One moment by both clocks. The monotonic one may stand still while a machine sleeps; the other one may jump. */
export interface Mark {
  readonly monotonicMs: number;
  readonly wall: Temporal.Instant;
}

export function markOf(clock: Clock): Mark {
  return { monotonicMs: clock.monotonicMs(), wall: clock.now() };
}

/** Ms since then. Whatever the two clocks disagree about counts as time: the machine may have slept for so long. */
export function ageOf(clock: Clock, since: Mark): number {
  const monotonicAge = clock.monotonicMs() - since.monotonicMs;
  const wallAge = clock.now().epochMilliseconds - since.wall.epochMilliseconds;
  return monotonicAge + Math.abs(wallAge - monotonicAge);
}

/** A lease that was taken and found to be ours. */
export interface TakenLease {
  readonly entry: LeaseEntry;
  readonly content: LeaseContent;
  readonly storeNow: Temporal.Instant;
  /** Before the request that took it. */
  readonly takenAt: Mark;
}

/** For the release of a lease, ms; a user who has pressed Ctrl-C waits for it. */
const RELEASE_MS = 10_000;

/**
 * Keeps a lease: renews it every third of its ttl until it is disposed, lost, or has run out. Each renewal looks, puts the
 * object again, and looks again; lease.ts says against which races. A renewal that fails is tried again.
 *
 * Its holder gives up after nine tenths of the ttl, counted from before the last request that succeeded, and begins no
 * renewal afterwards: the tenth is for stores that date to the second and for clocks of different speed.
 */
export function holdLease(clock: Clock, { entry, content, storeNow, takenAt }: TakenLease): Lease {
  const { ttlMs } = content;
  const heldMs = ttlMs * 0.9;
  const ending = new AbortController();
  let confirmed = takenAt;
  let lost: JetbackupError | undefined;
  /** Why the latest renewal failed. */
  let failure: unknown;
  let renewing: Promise<void> | undefined;
  let released: Promise<void> | undefined;

  const monotonicAge = () => clock.monotonicMs() - confirmed.monotonicMs;
  const age = () => ageOf(clock, confirmed);
  const lockedBecause = (why: string, cause?: unknown) =>
    new JetbackupError('locked', `the lease "${entry.name}" in ${entry.store.location} is no longer held by this run: ${why}`, {
      hint: 'Nothing more is done under it. Run the same command again.',
      ...(cause !== undefined && { cause }),
    });
  const refuseLost = () => {
    if (lost !== undefined) throw lost;
  };

  const ranOut = (): JetbackupError => {
    lost = lockedBecause(
      failure === undefined ? 'it stood still until the lease ran out' : 'it could not be renewed, and ran out',
      failure,
    );
    return lost;
  };

  async function requireOurs(signal: AbortSignal): Promise<void> {
    if (await stillHighest(entry, signal)) return;
    lost ??= lockedBecause(`another run took it over, or ${leaseKey(entry, entry.number)} was removed`);
    throw lost;
  }

  async function renewOnce(): Promise<void> {
    refuseLost();
    const mark = markOf(clock);
    const leftMs = heldMs - monotonicAge();
    if (leftMs <= 0) throw ranOut();
    try {
      await within(clock, leftMs, async (signal) => {
        await requireOurs(signal);
        const expiresAt = mark.wall.add({ milliseconds: ttlMs }).toString({ smallestUnit: 'millisecond' });
        await writeLease(entry, entry.number, { ...content, expiresAt }, { signal });
        await requireOurs(signal);
      });
      confirmed = mark;
      failure = undefined;
    } catch (error) {
      refuseLost();
      failure = error;
      throw monotonicAge() >= heldMs ? ranOut() : error;
    }
  }

  const renew = (): Promise<void> => {
    renewing ??= renewOnce().finally(() => {
      renewing = undefined;
    });
    return renewing;
  };

  async function keep(): Promise<void> {
    let waitMs = ttlMs / 3;
    while (lost === undefined && !ending.signal.aborted) {
      try {
        await clock.sleep(waitMs, ending.signal);
        await renew();
        waitMs = ttlMs / 3;
      } catch {
        waitMs = ttlMs / 30;
      }
    }
  }
  const keeping = keep();

  async function release(): Promise<void> {
    ending.abort();
    const work = async (signal: AbortSignal) => {
      // A renewal that is on its way must not arrive after the release.
      await orAborted(Promise.allSettled([keeping, renewing]), signal);
      if (lost !== undefined || !(await stillHighest(entry, signal))) return;
      await writeLease(entry, entry.number, { ...content, released: true }, { signal });
    };
    await within(clock, RELEASE_MS, work).catch(() => {});
  }

  return {
    storeNow,
    async assertHeld(signal) {
      signal?.throwIfAborted();
      refuseLost();
      if (ending.signal.aborted) throw lockedBecause('it has been released');
      // Again where the machine slept in the middle of a renewal: what the store said before that proves nothing.
      for (let attempt = 1; attempt <= 3 && age() >= ttlMs / 2; attempt += 1) {
        try {
          await orAborted(renew(), signal);
        } catch (error) {
          signal?.throwIfAborted();
          refuseLost();
          // The store cannot be asked. That is no loss yet, unless the machine seems to have slept: then nobody knows.
          if (age() < heldMs) return;
          throw lockedBecause('it may have run out, and the storage cannot be asked', error);
        }
      }
      if (age() >= heldMs) throw lockedBecause('the storage takes too long to answer');
    },
    [Symbol.asyncDispose]() {
      released ??= release();
      return released;
    },
  };
}
