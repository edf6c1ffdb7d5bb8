import type { Listed } from '../catalog/catalog.ts';
import { DELETING_KEY, manifestKey, type ReaderPlace } from '../catalog/layout.ts';
import { deletionOf, READER_TTL_MS, removeNote, writeNote } from '../catalog/readers.ts';
import { isJetbackupError, JetbackupError, messageOf } from '../core/errors.ts';
import { newId } from '../core/ids.ts';
import type { Progress } from '../core/progress.ts';
import type { Clock } from '../platform/clock.ts';
import { orAborted, within } from '../platform/deadline.ts';
import { ageOf, type Mark, markOf } from '../storage/held-lease.ts';
import { printable } from '../storage/lease-object.ts';
import type { ObjectStore } from '../storage/store.ts';
import { CLEANUP_MS } from './run.ts';

export interface ReadingDeps {
  readonly store: ObjectStore;
  readonly clock: Clock;
  readonly log: Progress;
}

export interface Reading extends Listed {
  /** For whoever prunes meanwhile: `restore on db1`. */
  readonly holder: string;
}

const REFRESH_MS = READER_TTL_MS / 3;
/** After one that failed. */
const RETRY_MS = 60_000;
/** How long the reader itself relies on its note; the tenth is for stores that date to the second and clocks of different speed. */
const HELD_MS = READER_TTL_MS * 0.9;

/** A note that a prune must have seen, or will see. */
interface Noted {
  readonly place: ReaderPlace;
  /** Before the request that last put it. */
  readonly since: Mark;
}

/**
 * Does `work` while a note in the store keeps the backup from being pruned (catalog/readers.ts says why that holds), and takes the
 * note away afterwards. The note is renewed every 20 minutes; one of a reader that was killed runs out within the hour.
 *
 * Where the note cannot be had, for these credentials may not write or the store is full, the work is done all the same, with a
 * warning: a host that may only read must be able to restore. A note that could not be renewed for an hour is begun anew;
 * if the backup has been deleted by then, the signal that the work got is aborted with `no-backup`.
 *
 * Throws `no-backup` when a prune is deleting the backup at this moment, or has, before any work; what the work throws; the signal's reason.
 */
export async function whileReading<T>(
  deps: ReadingDeps,
  reading: Reading,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const first = await noteOrWarning(deps, reading, signal);
  if (first === undefined) return await work(signal);
  const done = new AbortController();
  const deleted = new AbortController();
  const keeping = keep(deps, reading, first, { ending: AbortSignal.any([signal, done.signal]), deleted });
  try {
    return await work(AbortSignal.any([signal, deleted.signal]));
  } finally {
    done.abort();
    await leave(deps, (await keeping).place);
  }
}

async function noteOrWarning(deps: ReadingDeps, reading: Reading, signal: AbortSignal): Promise<Noted | undefined> {
  try {
    return await enter(deps, reading, signal);
  } catch (error) {
    signal.throwIfAborted();
    if (!isStorage(error)) throw error;
    warn(deps, reading, `a prune cannot be told that ${reading.id} is being read: ${error.message}`);
    return undefined;
  }
}

function isStorage(error: unknown): error is JetbackupError {
  return isJetbackupError(error, 'storage-denied', 'storage-full', 'storage-failed', 'storage-unreachable', 'storage-not-found');
}

function warn({ log }: ReadingDeps, { id }: Reading, text: string): void {
  const hint = `If one may run meanwhile, pin the backup from a host that may write: jetbackup pin ${id} --reason "being read". Or let this one write and delete below readers/.`;
  log({ type: 'warning', text, hint });
}

/** Leaves a note under a name of its own, then looks whether the backup is there to stay. What fails takes the note away again. */
async function enter(deps: ReadingDeps, reading: Reading, signal: AbortSignal): Promise<Noted> {
  const { store, clock } = deps;
  const { database, id } = reading;
  const holder = printable(reading.holder);
  const place = { database, id, note: newId(clock.now()) };
  const since = markOf(clock);
  try {
    await writeNote(store, place, { holder, now: since.wall }, signal);
    const deletion = await deletionOf(store, place, signal);
    if (deletion !== undefined) {
      const until = deletion.until.toString({ smallestUnit: 'second' });
      throw new JetbackupError('no-backup', `backup ${id} of "${database}" is being deleted by ${deletion.holder}`, {
        hint: `Take another one: jetbackup list. A prune that was killed may have left it whole: if it is still listed at ${until}, run the same command again (until then ${DELETING_KEY} stands in the way).`,
      });
    }
    if ((await store.stat(manifestKey(database, id), signal)) === undefined) {
      throw new JetbackupError('no-backup', `there is no backup ${id} of "${database}" (any more)`, { hint: 'Run: jetbackup list' });
    }
    // The machine slept meanwhile, say: a prune may have taken the note for dead before it put its list.
    if (ageOf(clock, since) < HELD_MS) return { place, since };
    throw new JetbackupError('storage-unreachable', `${store.location} took an hour to answer`, { hint: 'Run the same command again.' });
  } catch (error) {
    // What was denied is not there; or is there, and the work goes on.
    if (!isJetbackupError(error, 'storage-denied')) await leave(deps, place);
    throw error;
  }
}

/** Keeps the note young until it is told to end; never rejects. Resolves with the note that is there then. */
async function keep(
  deps: ReadingDeps,
  reading: Reading,
  first: Noted,
  { ending, deleted }: { readonly ending: AbortSignal; readonly deleted: AbortController },
): Promise<Noted> {
  const { store, clock } = deps;
  let noted = first;
  let told = false;
  let waitMs = REFRESH_MS;
  while (!ending.aborted) {
    await clock.sleep(waitMs, ending).catch(() => {});
    if (ending.aborted) break;
    waitMs = RETRY_MS;
    const leftMs = HELD_MS - ageOf(clock, noted.since);
    try {
      if (leftMs > 0) {
        const since = markOf(clock);
        const { place } = noted;
        const holder = printable(reading.holder);
        const write = (own: AbortSignal) => writeNote(store, place, { holder, now: since.wall }, AbortSignal.any([own, ending]));
        await orAborted(within(clock, leftMs, write), ending);
        noted = { place, since };
      } else {
        // A prune may have taken it for dead: so everything is looked at again, and under another name, since it may sweep the old one.
        const { place: lapsed } = noted;
        noted = await orAborted(enter(deps, reading, ending), ending);
        await leave(deps, lapsed);
      }
      waitMs = REFRESH_MS;
    } catch (error) {
      if (ending.aborted) break;
      if (isJetbackupError(error, 'no-backup')) {
        deleted.abort(error);
        break;
      }
      if (leftMs <= 0 && !told)
        warn(deps, reading, `for an hour no prune could be told that ${reading.id} is being read: ${messageOf(error)}`);
      told ||= leftMs <= 0;
    }
  }
  return noted;
}

/** Where it cannot be taken away it runs out. */
async function leave({ store, clock }: ReadingDeps, place: ReaderPlace): Promise<void> {
  await within(clock, CLEANUP_MS, (signal) => removeNote(store, place, signal)).catch(() => {});
}
