import { Temporal } from 'temporal-polyfill';
import { JetbackupError } from '../core/errors.ts';
import type { Clock } from '../platform/clock.ts';
import { type LeaseContent, type LeasePlace, leaseKey, listLease, readLease, storeClock } from './lease-object.ts';

/** The number that a new lease follows: 0 for the first. */
export interface Followed {
  readonly number: number;
  /** The store's date of it, where it was not released: the sign of a life that had ended. */
  readonly died?: Temporal.Instant;
}

/** Whether the highest number may be followed. Throws `locked` while its holder may live; undefined when things moved during the look. */
export async function follow(
  place: LeasePlace,
  us: { readonly clock: Clock; readonly token: string; readonly ttlMs: number },
  signal: AbortSignal,
): Promise<Followed | undefined> {
  const number = (await listLease(place, signal)).numbers.at(-1);
  if (number === undefined) return { number: 0 };
  const content = await readLease(place, number, signal);
  if (content === undefined) return undefined;
  if (content !== 'unreadable' && content.released) return { number };

  const ttlMs = content === 'unreadable' ? us.ttlMs : content.ttlMs;
  const now = us.clock.now();
  const patience = content === 'unreadable' ? now : Temporal.Instant.from(content.expiresAt).add({ milliseconds: ttlMs });
  const later = (a: Temporal.Instant, b: Temporal.Instant) => (Temporal.Instant.compare(a, b) > 0 ? a : b);
  // First the time, then the date: a renewal in between makes the lease younger, never older.
  const overdue = Temporal.Instant.compare(patience, now) <= 0;
  const storeNow = overdue ? await storeClock(place, us.token, signal) : undefined;
  const seen = await place.store.stat(leaseKey(place, number), signal);
  if (seen === undefined || (overdue && storeNow === undefined)) return undefined;
  const dies = seen.modified.add({ milliseconds: 2 * ttlMs });
  if (storeNow !== undefined && Temporal.Instant.compare(dies, storeNow) <= 0) return { number, died: seen.modified };
  throw lockedBy(place, number, content, later(patience, dies));
}

function lockedBy(place: LeasePlace, number: number, content: LeaseContent | 'unreadable', givesWay: Temporal.Instant): JetbackupError {
  const key = leaseKey(place, number);
  const whose =
    content === 'unreadable'
      ? `by a run that cannot be named, for ${key} cannot be read as a lease`
      : `by ${content.holder} since ${content.takenAt}, until ${content.expiresAt} unless it is renewed`;
  const when = givesWay.toString({ smallestUnit: 'second' });
  return new JetbackupError('locked', `the lease "${place.name}" in ${place.store.location} is held ${whose}`, {
    hint: `Wait until that run has ended, and run the same command again. If it has died, the lease gives way by itself at ${when}. Remove ${key} only when you know that no such run is alive.`,
  });
}

/**
 * `locked` where a holder that was taken for dead has written since. Our object is left to run out, not released: until its
 * next look that holder works on, and nobody else may come in.
 */
export async function refuseRevived(place: LeasePlace, { number, died }: Followed, signal: AbortSignal): Promise<void> {
  if (died === undefined) return;
  const seen = await place.store.stat(leaseKey(place, number), signal);
  if (seen === undefined || seen.modified.equals(died)) return;
  throw new JetbackupError('locked', `the run that held the lease "${place.name}" in ${place.store.location}, and seemed dead, came back`, {
    hint: 'Run the same command again once that run has ended.',
  });
}
