import { Temporal } from 'temporal-polyfill';
import { collect } from '../core/bytes.ts';
import { isJetbackupError, JetbackupError } from '../core/errors.ts';
import type { DatabaseName, Id } from '../core/ids.ts';
import { type RunRecord, RunRecordSchema } from '../core/run-record.ts';
import type { ObjectStore } from '../storage/store.ts';
import { idInstant } from './catalog.ts';
import { RUNS_PREFIX, runOf, runRecordKey } from './layout.ts';

const MAX_BYTES = 4 * 1024 * 1024;

/** Records that one look at the history reads at most: six runs a day for two years, and 20 s of GETs at 80 ms and sixteen at once. */
export const MOST_HISTORY = 4_400;

/** Ids of all run records, oldest first. */
export async function listRuns(store: ObjectStore, signal: AbortSignal): Promise<Id[]> {
  const ids: Id[] = [];
  for await (const { key } of store.list(RUNS_PREFIX, signal)) {
    const id = runOf(key);
    if (id !== undefined) ids.push(id);
  }
  return ids.sort();
}

/** Undefined where it is gone or cannot be read: records are notes, and nothing of the data depends on one. */
export async function readRun(store: ObjectStore, id: Id, signal: AbortSignal): Promise<RunRecord | undefined> {
  try {
    const bytes = await collect(await store.get(runRecordKey(id), { signal }), MAX_BYTES);
    const parsed = RunRecordSchema.safeParse(JSON.parse(Buffer.from(bytes).toString('utf8')));
    return parsed.success && parsed.data.id === id ? parsed.data : undefined;
  } catch (error) {
    if (isJetbackupError(error, 'storage-not-found') || error instanceof SyntaxError || error instanceof RangeError) return undefined;
    throw error;
  }
}

/**
 * The same for whoever goes by many, where one that this user may not read must not stand in the way of all others (in a directory a
 * verification by root leaves one): its `storage-denied` takes its place, for it may say anything.
 */
export async function readRuns(
  store: ObjectStore,
  ids: readonly Id[],
  signal: AbortSignal,
): Promise<readonly (RunRecord | JetbackupError | undefined)[]> {
  return await Promise.all(
    ids.map((id) =>
      readRun(store, id, signal).catch((error: unknown) => {
        if (isJetbackupError(error, 'storage-denied')) return error;
        throw error;
      }),
    ),
  );
}

/**
 * Records in a row, from the newest on, that may not be read, before nobody looks for one that may: a night's of many databases, and two
 * seconds of GETs at 80 ms and sixteen at once.
 */
const MOST_DENIED = 400;

/** The same again and again, for whoever would take no record for no history. */
export interface RunReader {
  /** Throws the `storage-denied` once 400 may not be read and none could be. */
  read(ids: readonly Id[], signal: AbortSignal): ReturnType<typeof readRuns>;
  /** To be called after the last: throws the `storage-denied` where some may not be read and none could be. */
  ended(): void;
  /** Whether any could be read. */
  readonly hasRead: boolean;
}

/** A reader that goes on from an `earlier` one need not read any itself. */
export function runReader(store: ObjectStore, earlier: { readonly hasRead: boolean } = { hasRead: false }): RunReader {
  let { hasRead } = earlier;
  let denied: JetbackupError | undefined;
  let deniedCount = 0;
  return {
    async read(ids, signal) {
      const records = await readRuns(store, ids, signal);
      hasRead ||= records.some((record) => record !== undefined && !isDenied(record));
      denied ??= records.find(isDenied);
      deniedCount += records.filter(isDenied).length;
      if (denied !== undefined && !hasRead && deniedCount >= MOST_DENIED) throw denied;
      return records;
    },
    ended() {
      if (denied !== undefined && !hasRead) throw denied;
    },
    get hasRead() {
      return hasRead;
    },
  };
}

export function isDenied(read: RunRecord | JetbackupError | undefined): read is JetbackupError {
  return read instanceof JetbackupError;
}

/**
 * Which of these databases had a backup run after its newest committed backup that did not succeed. Reads only what may
 * say so: records newer than the newest backup of a database that is still undecided, newest first. One that this user may not read
 * may be of a failed backup of any of them.
 */
export async function failedSince(
  store: ObjectStore,
  runs: readonly Id[],
  newest: ReadonlyMap<DatabaseName, Id>,
  signal: AbortSignal,
): Promise<Set<DatabaseName>> {
  const undecided = new Map(newest);
  const failed = new Set<DatabaseName>();
  for (const id of runs.toReversed()) {
    for (const [database, backup] of undecided) if (backup >= id) undecided.delete(database);
    if (undecided.size === 0) break;
    const [record] = await readRuns(store, [id], signal);
    if (isDenied(record)) return new Set([...failed, ...undecided.keys()]);
    if (record?.operation !== 'backup' || !undecided.has(record.database)) continue;
    if (record.result !== 'succeeded') failed.add(record.database);
    undecided.delete(record.database);
  }
  return failed;
}

/**
 * Deletes the records of runs that began before `before`, but for a failed backup that nothing newer of its database has made
 * good: it still holds deletion back. Returns how many.
 */
export async function removeRunsBefore(
  store: ObjectStore,
  { runs, newest }: { readonly runs: readonly Id[]; readonly newest: ReadonlyMap<DatabaseName, Id> },
  before: Temporal.Instant,
  signal: AbortSignal,
): Promise<number> {
  let removed = 0;
  for (const id of runs.filter((run) => idInstant(run).epochMilliseconds < before.epochMilliseconds)) {
    const [record] = await readRuns(store, [id], signal);
    if (isDenied(record)) continue;
    const failed = record?.operation === 'backup' && record.result !== 'succeeded';
    if (failed && (newest.get(record.database) ?? '') < id) continue;
    await store.delete(runRecordKey(id), signal);
    removed += 1;
  }
  return removed;
}

/** A backup that was made, whether it is still there or not. */
export interface BackupMade {
  readonly id: Id;
  /** Of the run, epoch ms. */
  readonly instant: number;
}

/** Records read for it at most, and how many at once. */
const MOST_READ = 256;
const AT_ONCE = 16;

/** The last backups of these databases that succeeded, `wanted` of each, as far as the newest 256 records tell. */
export async function recentBackups(
  store: ObjectStore,
  runs: readonly Id[],
  { databases, wanted }: { readonly databases: readonly DatabaseName[]; readonly wanted: number },
  signal: AbortSignal,
): Promise<ReadonlyMap<DatabaseName, readonly BackupMade[]>> {
  const found = new Map(databases.map((database) => [database, [] as BackupMade[]]));
  const newest = runs.slice(-MOST_READ).reverse();
  for (let next = 0; next < newest.length; next += AT_ONCE) {
    if ([...found.values()].every((made) => made.length >= wanted)) break;
    const records = await readRuns(store, newest.slice(next, next + AT_ONCE), signal);
    for (const record of records) {
      if (isDenied(record) || record?.operation !== 'backup' || record.backup === null) continue;
      found.get(record.database)?.push({ id: record.backup, instant: Temporal.Instant.from(record.startedAt).epochMilliseconds });
    }
  }
  return found;
}
