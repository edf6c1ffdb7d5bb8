import { Temporal } from 'temporal-polyfill';
import * as z from 'zod';
import { bytesOf, collect } from '../core/bytes.ts';
import { isJetbackupError } from '../core/errors.ts';
import type { DatabaseName, Id } from '../core/ids.ts';
import type { ObjectStore } from '../storage/store.ts';
import { idInstant, type Listed } from './catalog.ts';
import { backupPrefix, databasePrefix, isManifest, placeOf } from './layout.ts';

/**
 * A run says in its folder, before any data, which source it holds the backup lock of. Another run that holds the
 * lock of the very same source then knows that this one is dead, and may remove at once what it left.
 */
const CLAIM_NAME = 'claim.json';
const ClaimSchema = z.object({ source: z.string() });

/** What has no manifest and no claim that we can vouch for is left alone this long: its run may be alive elsewhere. */
const ORPHAN_AGE = Temporal.Duration.from({ hours: 48 });

export async function writeClaim(store: ObjectStore, listed: Listed, source: string, signal: AbortSignal): Promise<void> {
  const key = `${backupPrefix(listed.database, listed.id)}${CLAIM_NAME}`;
  await store.put(key, bytesOf(`${JSON.stringify({ source })}\n`), { signal });
}

export async function removeClaim(store: ObjectStore, listed: Listed, signal: AbortSignal): Promise<void> {
  await store.delete(`${backupPrefix(listed.database, listed.id)}${CLAIM_NAME}`, signal);
}

export interface Survey {
  /** Ids with a manifest, oldest first. */
  readonly committed: readonly Id[];
  /** Ids with objects and no manifest, oldest first. */
  readonly uncommitted: readonly Id[];
}

export async function surveyDatabase(store: ObjectStore, database: DatabaseName, signal: AbortSignal): Promise<Survey> {
  const ids = new Map<Id, boolean>();
  for await (const info of store.list(databasePrefix(database), signal)) {
    const place = placeOf(info.key);
    if (place !== undefined) ids.set(place.id, (ids.get(place.id) ?? false) || isManifest(place));
  }
  const committed: Id[] = [];
  const uncommitted: Id[] = [];
  for (const [id, complete] of ids) (complete ? committed : uncommitted).push(id);
  return { committed, uncommitted };
}

/**
 * Removes what dead runs left: objects and unfinished uploads of the given ids. An id is dead when its claim names
 * `source`, whose lock the caller holds, or when it is older than 48 hours. Returns the ids that were removed.
 */
export async function removeDeadRuns(
  store: ObjectStore,
  database: DatabaseName,
  uncommitted: readonly Id[],
  holder: { readonly source: string; readonly now: Temporal.Instant },
  signal: AbortSignal,
): Promise<Id[]> {
  const removed: Id[] = [];
  for (const id of uncommitted) {
    const old = Temporal.Instant.compare(idInstant(id).add(ORPHAN_AGE), holder.now) < 0;
    if (!old && (await claimedSource(store, { database, id }, signal)) !== holder.source) continue;
    await removeUncommitted(store, { database, id }, holder.now, signal);
    removed.push(id);
  }
  return removed;
}

async function claimedSource(store: ObjectStore, listed: Listed, signal: AbortSignal): Promise<string | undefined> {
  try {
    const key = `${backupPrefix(listed.database, listed.id)}${CLAIM_NAME}`;
    const bytes = await collect(await store.get(key, { signal }), 64 * 1024);
    const claim = ClaimSchema.safeParse(JSON.parse(Buffer.from(bytes).toString('utf8')));
    return claim.success ? claim.data.source : undefined;
  } catch (error) {
    if (isJetbackupError(error, 'storage-not-found') || error instanceof SyntaxError || error instanceof RangeError) return undefined;
    throw error;
  }
}

/** Removes one run's objects and unfinished uploads, the claim last; does nothing once a manifest is there. */
export async function removeUncommitted(store: ObjectStore, listed: Listed, now: Temporal.Instant, signal: AbortSignal): Promise<void> {
  const prefix = backupPrefix(listed.database, listed.id);
  const keys: string[] = [];
  for await (const info of store.list(prefix, signal)) {
    const place = placeOf(info.key);
    if (place !== undefined && isManifest(place)) return;
    if (place?.name !== CLAIM_NAME) keys.push(info.key);
  }
  // A minute ahead: the store's clock, which dates unfinished uploads, may run before ours.
  await store.sweepUnfinished(prefix, now.add({ minutes: 1 }), signal);
  for (const key of keys) await store.delete(key, signal);
  await removeClaim(store, listed, signal);
}
