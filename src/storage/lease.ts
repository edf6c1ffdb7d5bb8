import { randomBytes } from 'node:crypto';
import type { Temporal } from 'temporal-polyfill';
import { isJetbackupError, JetbackupError } from '../core/errors.ts';
import type { RandomBytes } from '../core/ids.ts';
import type { Clock } from '../platform/clock.ts';
import { within } from '../platform/deadline.ts';
import { holdLease, type Lease, markOf, type TakenLease } from './held-lease.ts';
import {
  type LeaseContent,
  type LeasePlace,
  leaseKey,
  listLease,
  MAX_TTL_MS,
  MIN_TTL_MS,
  printable,
  stillHighest,
  writeLease,
} from './lease-object.ts';
import { follow, refuseRevived } from './lease-predecessor.ts';
import type { ObjectStore } from './store.ts';

export type { Lease } from './held-lease.ts';

export interface LeaseDeps {
  readonly store: ObjectStore;
  readonly clock: Clock;
  readonly random?: RandomBytes;
}

export interface LeaseRequest {
  /** What it is about, e.g. `prune`: letters, digits, `.`, `_`, `-`; 1 to 63. */
  readonly name: string;
  /** For the message to whoever is kept out: host, process id, operation. */
  readonly holder: string;
  /** How long it holds without a sign of life, ms; 10,000 to 86,400,000. After a crash others wait for two of these. */
  readonly ttlMs: number;
}

/** How long writers that passed a condition at the same moment may take to have written, ms; for stores whose condition is not atomic. */
const SETTLE_MS = 1500;
/** For finding out whether a lease just put is ours, ms; an abort waits for it. */
const CONFIRM_MS = 30_000;
/** Looks at who has it, for those that lose a race against a run that ends at once. */
const ATTEMPTS = 3;

/**
 * Takes a lease: among all runs that take one of this name in this repository, one holds it. Throws `locked` when another
 * does, `storage-denied` when these credentials may not list, read, write or delete below `leases/`, other storage errors,
 * and the signal's reason: a lease that was taken by then is released again, and one whose put was cut short, or could not
 * be confirmed, runs out.
 *
 * A lease is a row of numbered objects `leases/<name>/<n>.json`, and the highest number counts. It may be followed when it
 * says `released`, or when it is dead: one ttl after the expiry in it has passed by our clock, and two ttl after the
 * store's date of it by the store's clock. To take it is to create number n+1; then all lower ones are deleted, never the
 * highest. What cannot be read as a lease counts as live until two ttl after its date. The races:
 *
 * - Two create n+1. The store lets one of them, where `features.conditionalPut` holds. Elsewhere several may be told that
 *   they won, so each waits until the others must have written, and reads: the token that is found has it. (A request that
 *   a store keeps for longer than that before it carries it out is beyond this; its victim notices at its next renewal.)
 * - A taker is held up between its decision and its put; n+1 has come, gone and been deleted meanwhile. Its put then
 *   succeeds, below a higher number: so it looks for one after the put.
 * - A holder renews while a taker decides. The taker asks for the store's time before it looks at the object's date, so a
 *   renewal in between makes the lease younger, never older. Clocks of hosts may be wrong by any amount: the one of the
 *   store decides, the other only adds patience.
 * - A holder stalls, is taken over, and wakes up. Its monotonic clock tells it at `assertHeld`, and it begins no renewal
 *   after its expiry. A renewal that it had begun expires, counted from its beginning, before anyone may follow.
 * - The machine slept, so that the monotonic clock stood still. Then the two clocks disagree, and the store is asked: the
 *   holder puts its object and looks for a higher number, the taker puts the higher number and looks whether the object
 *   has changed. Whichever put comes second, its look sees the other's. A taker that sees it backs out, and leaves its
 *   object to run out rather than releasing it: the holder may work on until its own next look. (Beyond this are a delete
 *   that was about to be sent when the machine fell asleep, and a machine whose clocks both stood still: no store refuses a
 *   late delete.)
 * - A release meets a taker. Until it has arrived the lease is live; from then on its holder does nothing more. A renewal is
 *   never on its way at the same time; one whose answer was lost may arrive after it, and blocks for two ttl at worst.
 * - A person removes the object. Its holder finds it missing at the next look, and has lost it.
 */
export async function acquireLease(deps: LeaseDeps, request: LeaseRequest, signal: AbortSignal): Promise<Lease> {
  const place: LeasePlace = { store: deps.store, name: checked(request).name };
  try {
    const taken = await take(deps, place, request, signal);
    const lease = holdLease(deps.clock, taken);
    try {
      signal.throwIfAborted();
      await tidy(place, taken.entry.number, signal);
      return lease;
    } catch (error) {
      await lease[Symbol.asyncDispose]();
      throw error;
    }
  } catch (error) {
    if (!isJetbackupError(error, 'storage-denied')) throw error;
    throw new JetbackupError('storage-denied', `cannot take the lease "${place.name}": ${error.message}`, {
      hint: `${error.hint ?? ''} A lease needs the right to list, read, write and delete below leases/.`.trim(),
      cause: error,
    });
  }
}

function checked(request: LeaseRequest): LeaseRequest {
  const { name, ttlMs } = request;
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/.test(name)) throw new RangeError(`not the name of a lease: ${JSON.stringify(name)}`);
  if (!Number.isInteger(ttlMs) || ttlMs < MIN_TTL_MS || ttlMs > MAX_TTL_MS) throw new RangeError(`not the ttl of a lease: ${ttlMs} ms`);
  return request;
}

async function take(
  { store, clock, random = randomBytes }: LeaseDeps,
  place: LeasePlace,
  request: LeaseRequest,
  signal: AbortSignal,
): Promise<TakenLease> {
  const { conditionalPut } = await store.probe(signal);
  for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
    signal.throwIfAborted();
    const token = Buffer.from(random(16)).toString('hex');
    const before = await follow(place, { clock, token, ttlMs: request.ttlMs }, signal);
    if (before === undefined) continue;
    const entry = { ...place, number: before.number + 1, token };
    const takenAt = markOf(clock);
    const content = newContent(token, request, takenAt.wall);
    try {
      await writeLease(place, entry.number, content, { ifAbsent: true, signal });
    } catch (error) {
      if (isJetbackupError(error, 'storage-exists')) continue;
      throw error;
    }
    // Not ended by the caller's signal: only a lease that is known to be ours may be released.
    const storeNow = await within(clock, Math.min(request.ttlMs / 2, CONFIRM_MS), async (own) => {
      if (!conditionalPut) await clock.sleep(SETTLE_MS, own);
      if (!(await stillHighest(entry, own))) return undefined;
      await refuseRevived(place, before, own);
      return (await store.stat(leaseKey(place, entry.number), own))?.modified;
    });
    if (storeNow !== undefined) return { entry, content, storeNow, takenAt };
  }
  throw new JetbackupError('locked', `several runs are taking the lease "${place.name}" in ${store.location} at this moment`, {
    hint: 'Run the same command again.',
  });
}

function newContent(token: string, { holder, ttlMs }: LeaseRequest, now: Temporal.Instant): LeaseContent {
  const text = (instant: Temporal.Instant) => instant.toString({ smallestUnit: 'millisecond' });
  const expiresAt = text(now.add({ milliseconds: ttlMs }));
  return { token, holder: printable(holder), ttlMs, takenAt: text(now), expiresAt, released: false };
}

/** Removes lower numbers and what killed runs left. Best effort, but for rights: a run that may not delete is told now. */
async function tidy(place: LeasePlace, own: number, signal: AbortSignal): Promise<void> {
  try {
    const { numbers, clocks } = await listLease(place, signal);
    const lower = numbers.filter((number) => number < own).map((number) => leaseKey(place, number));
    for (const key of [...lower, ...clocks]) await place.store.delete(key, signal);
  } catch (error) {
    if (signal.aborted || isJetbackupError(error, 'storage-denied')) throw error;
  }
}
