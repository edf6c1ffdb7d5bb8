import { DELETING_KEY, READERS_PREFIX } from '../catalog/layout.ts';
import { DELETING_TTL_MS, type LiveReader, liveReaders, removeDeleting, writeDeleting } from '../catalog/readers.ts';
import { isJetbackupError, JetbackupError } from '../core/errors.ts';
import type { DatabaseName, Id } from '../core/ids.ts';
import type { Clock } from '../platform/clock.ts';
import { within } from '../platform/deadline.ts';
import { ageOf, type Mark, markOf } from '../storage/held-lease.ts';
import type { Lease } from '../storage/lease.ts';
import { printable } from '../storage/lease-object.ts';
import type { ObjectStore } from '../storage/store.ts';
import { CLEANUP_MS } from './run.ts';

/** Said again before a delete when older than this, ms: the rest of its life is for that delete. */
const FRESH_MS = DELETING_TTL_MS / 4;
/** The tenth is for stores that date to the second and clocks of different speed. */
const HELD_MS = DELETING_TTL_MS * 0.9;

/** What readers of the backups that are about to go can see, and what is seen of them. */
export interface DeletionAnnounced {
  /**
   * Those who read this backup. Where there are none, nobody begins to while `remove` can follow. Says and looks anew when that
   * was more than five minutes ago. A backup that was being read once stays for good, and is not named from then on.
   */
  readersOf(id: Id, signal: AbortSignal): Promise<readonly LiveReader[]>;
  /**
   * The delete after which the backup no longer exists: it gets no longer than what was said holds, and no longer than one ttl of
   * the lease, which was asked just before. Throws `storage-unreachable` after that.
   */
  remove(work: (signal: AbortSignal) => Promise<void>, signal: AbortSignal): Promise<void>;
  /** Takes back what was said; never throws. Does nothing after a delete that got no answer: it may yet be carried out, and is outlasted. */
  end(): Promise<void>;
}

export interface AnnounceDeps {
  readonly store: ObjectStore;
  readonly clock: Clock;
  readonly host: string;
}

export interface Deleting {
  readonly database: DatabaseName;
  /** In the order in which they go. */
  readonly backups: readonly Id[];
  readonly lease: Lease;
  /** Of the lease, ms. */
  readonly ttlMs: number;
}

/** Says, before the first delete and again as time passes, which backups of a database are about to go. Changes nothing until it is asked. */
export function announceDeletion(deps: AnnounceDeps, { database, backups, lease, ttlMs }: Deleting): DeletionAnnounced {
  const { store, clock, host } = deps;
  const read = new Map<Id, readonly LiveReader[]>();
  let left = [...backups];
  let said: Mark | undefined;
  let unanswered = false;

  const limited = <T>(ms: number, signal: AbortSignal, work: (signal: AbortSignal) => Promise<T>): Promise<T> =>
    within(clock, Math.min(ms, ttlMs), work, { signal });

  /** Under the lease, as each delete: a prune that has lost it must not write over what another one says. */
  async function say(signal: AbortSignal) {
    await lease.assertHeld(signal);
    const since = markOf(clock);
    const deleting = { database, backups: left, holder: printable(`prune on ${host}`), now: since.wall };
    const storeNow = await limited(ttlMs, signal, (limit) => writeDeleting(store, deleting, limit));
    return { since, storeNow };
  }

  async function announce(signal: AbortSignal): Promise<void> {
    const { since, storeNow } = await say(signal);
    said = since;
    const found = await liveReaders(store, database, storeNow, signal);
    const staying = left.filter((id) => found.has(id));
    if (staying.length === 0) return;
    for (const id of staying) read.set(id, found.get(id) ?? []);
    // They stay, so that others may come and read them.
    left = left.filter((id) => !read.has(id));
    if (left.length > 0) said = (await say(signal)).since;
    else await end();
  }

  async function end(): Promise<void> {
    if (said === undefined || unanswered) return;
    said = undefined;
    try {
      await lease.assertHeld(AbortSignal.timeout(CLEANUP_MS));
      await within(clock, CLEANUP_MS, (signal) => removeDeleting(store, signal));
    } catch {
      // It runs out.
    }
  }

  return {
    async readersOf(id, signal) {
      if (!read.has(id) && (said === undefined || ageOf(clock, said) > FRESH_MS)) {
        left = left.slice(Math.max(0, left.indexOf(id)));
        await announce(signal).catch(withRights);
      }
      return read.get(id) ?? [];
    },
    async remove(work, signal) {
      const heldMs = said === undefined ? 0 : HELD_MS - ageOf(clock, said);
      if (heldMs <= 0) {
        throw new JetbackupError('storage-unreachable', `${store.location} takes too long to answer`, {
          hint: 'Run the same command again.',
        });
      }
      unanswered = true;
      await limited(heldMs, signal, work);
      unanswered = false;
    },
    end,
  };
}

function withRights(error: unknown): never {
  if (!isJetbackupError(error, 'storage-denied')) throw error;
  throw new JetbackupError('storage-denied', `readers cannot be told what is about to be deleted: ${error.message}`, {
    hint: `Without that nothing is deleted. A prune needs the right to read, write and delete ${DELETING_KEY}, and below ${READERS_PREFIX}.`,
    cause: error,
  });
}
