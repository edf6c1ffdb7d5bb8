import { Temporal } from 'temporal-polyfill';
import * as z from 'zod';
import { bytesOf, collect, KiB, MiB } from '../core/bytes.ts';
import { JetbackupError } from '../core/errors.ts';
import { type DatabaseName, DatabaseNameSchema, type Id, IdSchema } from '../core/ids.ts';
import { readJsonObject } from '../storage/json-object.ts';
import type { Key, ObjectStore } from '../storage/store.ts';
import { DELETING_KEY, READERS_PREFIX, type ReaderPlace, readerKey, readerOf, readersPrefix } from './layout.ts';

/*
 * How those who read a backup and the one who deletes backups see each other, on any store whose reads and lists show every
 * write that ended before them (S3's do, and a directory's). No conditional write is needed, and any number may read at once:
 *
 *   a reader:  puts its note     then reads the list    named there: it gives up;   else it reads the backup
 *   a prune:   puts its list     then lists the notes   a note there: it spares it; else it deletes the backup
 *
 * Each writes before it looks. Were neither to see the other, the reader would have read the list before the prune put it, so
 * its note, put before that, was there when the prune, later still, listed the notes: a contradiction. Both may see the
 * other; then the reader gives up and the prune spares, and nobody waits for anybody.
 *
 * Only after that does the reader look whether the manifest is there. A prune whose list has run out, or was taken away,
 * deletes no more manifests by it; so one that is there then stays while the note lives.
 *
 * Both die by themselves, so many ms after the store's date of them, by the store's clock alone. Whoever judges the other takes
 * the store's date of what it put itself for the time, which is earlier than the truth: it makes the other younger, never older.
 * Whoever relies on its own object counts from before it was put, by clocks of its own, and stops a tenth early.
 */

/** How long a note holds without being put again, ms. */
export const READER_TTL_MS = 60 * 60_000;
/** How long the list of a prune holds, ms: as long as one that was killed keeps readers from what it named. */
export const DELETING_TTL_MS = 20 * 60_000;

const DELETING_MAX_BYTES = 16 * MiB;
/** Nothing that could steer a terminal. */
const HolderSchema = z
  .string()
  .max(200)
  .regex(/^\P{C}*$/u);

const NoteSchema = z.object({
  format: z.literal(1),
  kind: z.literal('reader'),
  database: DatabaseNameSchema,
  backup: IdSchema,
  /** For people, as `restore on db1`. */
  holder: HolderSchema,
  /** For people: by the reader's clock, unless it is put again. */
  expiresAt: z.iso.datetime(),
});

const DeletingSchema = z.object({
  format: z.literal(1),
  kind: z.literal('deleting'),
  database: DatabaseNameSchema,
  backups: z.array(IdSchema),
  holder: HolderSchema,
  expiresAt: z.iso.datetime(),
});

function bodyOf(document: z.infer<typeof NoteSchema> | z.infer<typeof DeletingSchema>) {
  return bytesOf(`${JSON.stringify(document)}\n`);
}

const expiry = (now: Temporal.Instant, ttlMs: number): string => now.add({ milliseconds: ttlMs }).toString({ smallestUnit: 'millisecond' });

/** Puts a note, or puts it again, which makes it young. `holder` is printable, 200 characters at most; `now`, the reader's clock, is for people only. */
export async function writeNote(
  store: ObjectStore,
  place: ReaderPlace,
  { holder, now }: { readonly holder: string; readonly now: Temporal.Instant },
  signal: AbortSignal,
): Promise<void> {
  const { database, id: backup } = place;
  const expiresAt = expiry(now, READER_TTL_MS);
  await store.put(readerKey(place), bodyOf({ format: 1, kind: 'reader', database, backup, holder, expiresAt }), { signal });
}

export async function removeNote(store: ObjectStore, place: ReaderPlace, signal: AbortSignal): Promise<void> {
  await store.delete(readerKey(place), signal);
}

/** Who reads a backup, and until when at least, by the store's clock. */
export interface LiveReader {
  readonly holder: string;
  readonly until: Temporal.Instant;
}

/**
 * Those who read backups of a database, by backup. One LIST for a thousand notes, and a GET for each that lives, which only
 * learns its holder's name: a note that cannot be read counts like any other. Throws what the store throws.
 */
export async function liveReaders(
  store: ObjectStore,
  database: DatabaseName,
  storeNow: Temporal.Instant,
  signal: AbortSignal,
): Promise<ReadonlyMap<Id, readonly LiveReader[]>> {
  const found = new Map<Id, LiveReader[]>();
  for await (const { key, modified } of store.list(readersPrefix(database), signal)) {
    const place = readerOf(key);
    const until = modified.add({ milliseconds: READER_TTL_MS });
    if (place === undefined || Temporal.Instant.compare(until, storeNow) <= 0) continue;
    const readers = found.get(place.id) ?? [];
    readers.push({ holder: await holderOf(store, key, signal), until });
    found.set(place.id, readers);
  }
  return found;
}

async function holderOf(store: ObjectStore, key: Key, signal: AbortSignal): Promise<string> {
  try {
    const bytes = await collect(await store.get(key, { signal }), 16 * KiB);
    return NoteSchema.parse(JSON.parse(Buffer.from(bytes).toString('utf8'))).holder;
  } catch {
    signal.throwIfAborted();
    return 'a reader that left no name';
  }
}

/**
 * Removes notes of readers that were killed, once two of their lives have passed: nobody puts one of them again, since a
 * reader that was held up for so long begins a new one. Returns how many.
 */
export async function sweepNotes(store: ObjectStore, storeNow: Temporal.Instant, signal: AbortSignal): Promise<number> {
  const dead: Key[] = [];
  for await (const { key, modified } of store.list(READERS_PREFIX, signal)) {
    if (readerOf(key) === undefined) continue;
    if (Temporal.Instant.compare(modified.add({ milliseconds: 2 * READER_TTL_MS }), storeNow) <= 0) dead.push(key);
  }
  for (const key of dead) await store.delete(key, signal);
  return dead.length;
}

/**
 * Says which backups are about to be deleted, in place of whatever was said before. Returns the store's date of it. Throws
 * `storage-failed` when it is not there afterwards, and what the store throws.
 */
export async function writeDeleting(
  store: ObjectStore,
  deleting: { readonly database: DatabaseName; readonly backups: readonly Id[]; readonly holder: string; readonly now: Temporal.Instant },
  signal: AbortSignal,
): Promise<Temporal.Instant> {
  const { database, backups, holder, now } = deleting;
  const expiresAt = expiry(now, DELETING_TTL_MS);
  await store.put(DELETING_KEY, bodyOf({ format: 1, kind: 'deleting', database, backups: [...backups], holder, expiresAt }), { signal });
  // Looked up: where a store does not date what it takes, the answer to the put has the clock of this machine.
  const put = await store.stat(DELETING_KEY, signal);
  if (put !== undefined) return put.modified;
  throw new JetbackupError('storage-failed', `${DELETING_KEY} was removed from ${store.location} the moment it was put`, {
    hint: 'Nothing more is deleted, since readers could not see it. Find out who removes it, then prune again.',
  });
}

export async function removeDeleting(store: ObjectStore, signal: AbortSignal): Promise<void> {
  await store.delete(DELETING_KEY, signal);
}

/** Who is about to delete a backup, and when that ends by itself, by the store's clock. */
export interface Deletion {
  readonly holder: string;
  readonly until: Temporal.Instant;
}

/**
 * Whether a prune has said that it is about to delete the backup that this note, put a moment ago, is about. A list that cannot be
 * read counts as naming every backup. One GET where there is none. Throws what the store throws.
 */
export async function deletionOf(store: ObjectStore, place: ReaderPlace, signal: AbortSignal): Promise<Deletion | undefined> {
  const read = await readJsonObject(store, DELETING_KEY, { schema: DeletingSchema, mostBytes: DELETING_MAX_BYTES }, signal);
  if (read === undefined) return undefined;
  if (read !== 'unreadable' && !(read.database === place.database && read.backups.includes(place.id))) return undefined;
  // The list that was read, or a younger one, which only makes this end later.
  const list = await store.stat(DELETING_KEY, signal);
  if (list === undefined) return undefined;
  const note = await store.stat(readerKey(place), signal);
  const until = list.modified.add({ milliseconds: DELETING_TTL_MS });
  if (note !== undefined && Temporal.Instant.compare(until, note.modified) <= 0) return undefined;
  return { holder: read === 'unreadable' ? `a prune, whose ${DELETING_KEY} cannot be read` : read.holder, until };
}
