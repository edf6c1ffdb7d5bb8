import { Temporal } from 'temporal-polyfill';
import { collect, sha256Hex } from '../core/bytes.ts';
import { isJetbackupError, JetbackupError } from '../core/errors.ts';
import { type DatabaseName, type Id, newId } from '../core/ids.ts';
import { MANIFEST_MAX_BYTES, type Manifest, parseManifest } from '../core/manifest.ts';
import type { ObjectStore } from '../storage/store.ts';
import { databasePrefix, isManifest, manifestKey, placeOf, runRecordKey } from './layout.ts';
import type { Moment } from './moment.ts';

/** A backup that the repository lists as complete: its manifest is there. Nothing of it has been read or trusted yet. */
export interface Listed {
  readonly database: DatabaseName;
  readonly id: Id;
}

/** Every committed backup, oldest first within a database; of one database or of all. */
export async function* listCommitted(store: ObjectStore, database: DatabaseName | undefined, signal?: AbortSignal): AsyncGenerator<Listed> {
  for await (const info of store.list(database === undefined ? '' : databasePrefix(database), signal)) {
    const place = placeOf(info.key);
    if (place !== undefined && isManifest(place)) yield { database: place.database, id: place.id };
  }
}

export interface ReadManifest {
  readonly manifest: Manifest;
  /** SHA-256 of manifest.json as stored, for the chain. */
  readonly sha256: string;
}

/**
 * Reads and parses one manifest. It is not authenticated: callers check the signature before they act on it.
 * Throws `no-backup`, `damaged`, `not-authentic` (it speaks of another backup), and what the store throws.
 */
export async function readManifest(store: ObjectStore, listed: Listed, signal?: AbortSignal): Promise<ReadManifest> {
  const key = manifestKey(listed.database, listed.id);
  let bytes: Uint8Array;
  try {
    bytes = await collect(await store.get(key, signal === undefined ? {} : { signal }), MANIFEST_MAX_BYTES);
  } catch (cause) {
    if (isJetbackupError(cause, 'storage-not-found')) {
      throw new JetbackupError('no-backup', `there is no backup ${listed.id} of "${listed.database}"`, {
        cause,
        hint: 'Run: jetbackup list',
      });
    }
    if (cause instanceof RangeError) {
      throw new JetbackupError('damaged', `${key} is too large for a manifest`, { cause, hint: 'Restore another backup: jetbackup list' });
    }
    throw cause;
  }
  const manifest = parseManifest(bytes, key);
  if (manifest.id !== listed.id || manifest.database !== listed.database) {
    throw new JetbackupError('not-authentic', `${key} is the manifest of another backup (${manifest.database}/${manifest.id})`, {
      hint: 'Somebody moved or copied objects in the repository. Restore from another backup: jetbackup list',
    });
  }
  return { manifest, sha256: sha256Hex(bytes) };
}

/**
 * How far the clock of a backup host (in ids) and that of a database server (snapshot instants) may differ before
 * `findBackup` looks further than the ids suggest: one day, far beyond what a host with working NTP shows.
 */
const SKEW = Temporal.Duration.from({ hours: 24 });

/**
 * An id for the next backup of a database that sorts after every committed one, also where this host's clock has been
 * turned back since: the order of ids is the order in which backups were made.
 */
export async function nextBackupId(store: ObjectStore, database: DatabaseName, now: Temporal.Instant, signal?: AbortSignal): Promise<Id> {
  let last: Id | undefined;
  for await (const listed of listCommitted(store, database, signal)) last = listed.id;
  const id = newId(now);
  if (last === undefined || id > last) return id;
  // Attempts that failed got these seconds before, and have left records: this one is to sort behind them as well.
  let at = idInstant(last).add({ seconds: 1 });
  while (await hasRun(store, at, signal)) at = at.add({ seconds: 1 });
  return newId(at);
}

/** Whether a run of this second, of any database, has left a record. */
async function hasRun(store: ObjectStore, second: Temporal.Instant, signal?: AbortSignal): Promise<boolean> {
  const key = runRecordKey(newId(second));
  try {
    for await (const _ of store.list(key.slice(0, key.lastIndexOf('-') + 1), signal)) return true;
  } catch (error) {
    // Records are notes: where they cannot be looked at, backups still sort behind each other.
    signal?.throwIfAborted();
    if (!isJetbackupError(error)) throw error;
  }
  return false;
}

/**
 * The backup that a person means: by id, the newest, or the newest whose snapshot instant is at or before the instant.
 * Reads only the manifests that may decide. `accept` authenticates each candidate and throws to refuse: the search never
 * falls back silently to an older backup, since whoever can write to the bucket could bring an old state back that way.
 * Throws `no-backup`, or what `accept` and the store throw.
 */
export async function findBackup(
  store: ObjectStore,
  database: DatabaseName,
  moment: Moment,
  accept: (manifest: Manifest) => void,
  signal?: AbortSignal,
): Promise<Manifest> {
  if (moment.kind === 'id') {
    const { manifest } = await readManifest(store, { database, id: moment.id }, signal);
    accept(manifest);
    return manifest;
  }
  const all: Listed[] = [];
  for await (const listed of listCommitted(store, database, signal)) all.push(listed);
  const oldest = all[0];
  if (oldest === undefined) {
    throw new JetbackupError('no-backup', `there is no backup of "${database}" in ${store.location}`, {
      hint: 'Check the repository and the name (jetbackup list), or make the first one: jetbackup backup',
    });
  }
  const limit = moment.kind === 'latest' ? undefined : moment.instant;
  const isBeyond = ({ id }: Listed) => limit !== undefined && Temporal.Instant.compare(idInstant(id), limit.add(SKEW)) > 0;
  const candidates = all.filter((listed) => !isBeyond(listed));
  if (limit !== undefined) candidates.push(...(await datedAhead(store, all.filter(isBeyond), limit, signal)));
  let best: { manifest: Manifest; instant: Temporal.Instant } | undefined;
  for (const listed of candidates.toReversed()) {
    if (best !== undefined && isKnownOlder(listed.id, best, limit === undefined)) break;
    const { manifest } = await readManifest(store, listed, signal);
    const instant = Temporal.Instant.from(manifest.snapshotInstant);
    if (limit !== undefined && Temporal.Instant.compare(instant, limit) > 0) continue;
    if (best !== undefined && Temporal.Instant.compare(instant, best.instant) <= 0) continue;
    accept(manifest);
    best = { manifest, instant };
  }
  if (best !== undefined) return best.manifest;
  const when = moment.kind === 'at-or-before' ? moment.text : 'now';
  throw new JetbackupError('no-backup', `no backup of "${database}" at or before ${when}`, {
    hint: `The oldest is ${idInstant(oldest.id).toString()}; run: jetbackup list`,
  });
}

/**
 * Of the backups whose ids are too late for the limit, those whose snapshot is not: a host's clock ran ahead when they
 * were made, or before. Ids are in the order of making, so the first that is really later ends the search.
 */
async function datedAhead(store: ObjectStore, beyond: readonly Listed[], limit: Temporal.Instant, signal?: AbortSignal): Promise<Listed[]> {
  const found: Listed[] = [];
  for (const listed of beyond) {
    try {
      const { manifest } = await readManifest(store, listed, signal);
      if (Temporal.Instant.compare(Temporal.Instant.from(manifest.snapshotInstant), limit) > 0) break;
      found.push(listed);
    } catch (error) {
      // One that cannot be read must not stand in the way of what was asked for: by its id it is none of that.
      if (!isJetbackupError(error, 'damaged', 'not-authentic', 'no-backup')) throw error;
    }
  }
  return found;
}

/**
 * Whether nothing with this id or an older one can be newer than `best`. Instants decide, with room for clocks that
 * differ. But what a primary shows later holds all that it showed before, whatever its clock said: there, the chain of
 * backups decides. (A standby may lag behind, so that an earlier backup of its primary shows more.)
 */
function isKnownOlder(id: Id, best: { manifest: Manifest; instant: Temporal.Instant }, byChain: boolean): boolean {
  const { previous, server } = best.manifest;
  if (byChain && previous !== null && !server.standby && id <= previous.id) return true;
  return Temporal.Instant.compare(idInstant(id).add(SKEW), best.instant) < 0;
}

/** The instant in an id: the start of the run by the backup host's clock. For names and bounds, never for a decision to delete. */
export function idInstant(id: Id): Temporal.Instant {
  return Temporal.Instant.from(
    `${id.slice(0, 4)}-${id.slice(4, 6)}-${id.slice(6, 8)}T${id.slice(9, 11)}:${id.slice(11, 13)}:${id.slice(13, 15)}Z`,
  );
}
