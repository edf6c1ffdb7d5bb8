import { Temporal } from 'temporal-polyfill';
import * as z from 'zod';
import { bytesOf, collect } from '../core/bytes.ts';
import { isJetbackupError } from '../core/errors.ts';
import type { DatabaseName, Id } from '../core/ids.ts';
import type { ObjectStore } from '../storage/store.ts';
import type { Listed } from './catalog.ts';
import { backupPrefix, databasePrefix, isManifest, manifestKey, placeOf } from './layout.ts';

/**
 * A run says in its folder, before any data, which source it holds the backup lock of. Another run that holds the
 * lock of the very same source then knows that this one is dead, and may remove at once what it left. `committing` is
 * set before the manifest is put: from then on the manifest may arrive late, also after the run's own end.
 */
const CLAIM_NAME = 'claim.json';
const ClaimSchema = z.object({ source: z.string(), committing: z.boolean().default(false) });
export type Claim = z.infer<typeof ClaimSchema>;

/** How long a run whose manifest may still arrive is left alone: far longer than any client or store retries a put. */
const COMMITTING_AGE = Temporal.Duration.from({ hours: 1 });

/** What has no claim that we can vouch for is left alone this long after its last sign of life: its run may be alive elsewhere. */
const ORPHAN_AGE = Temporal.Duration.from({ hours: 48 });

/** How often a live run writes its claim anew, ms: by it others see that it lives, however long it takes. */
export const CLAIM_REFRESH_MS = 60 * 60 * 1000;

export async function writeClaim(store: ObjectStore, listed: Listed, claim: Claim, signal: AbortSignal): Promise<void> {
  const key = `${backupPrefix(listed.database, listed.id)}${CLAIM_NAME}`;
  await store.put(key, bytesOf(`${JSON.stringify(claim)}\n`), { signal });
}

/** One after the other, up to the first that cannot be removed: who may not delete finds all of its own. */
export async function removeClaims(store: ObjectStore, database: DatabaseName, ids: readonly Id[], signal: AbortSignal): Promise<void> {
  for (const id of ids) await store.delete(`${backupPrefix(database, id)}${CLAIM_NAME}`, signal);
}

/** A folder without a manifest. */
export interface Uncommitted {
  readonly id: Id;
  /** When something in it was last written, by the store's clock. */
  readonly written: Temporal.Instant;
}

export interface Survey {
  /** Ids with a manifest, oldest first. */
  readonly committed: readonly Id[];
  /** Oldest first. */
  readonly uncommitted: readonly Uncommitted[];
  /** Committed ones with a claim: their runs ended between the commit and their last step, or may not delete. */
  readonly claimed: readonly Id[];
}

export async function surveyDatabase(store: ObjectStore, database: DatabaseName, signal: AbortSignal): Promise<Survey> {
  const ids = new Map<Id, { complete: boolean; claimed: boolean; written: Temporal.Instant }>();
  for await (const info of store.list(databasePrefix(database), signal)) {
    const place = placeOf(info.key);
    if (place === undefined) continue;
    const seen = ids.get(place.id);
    const later = seen === undefined || Temporal.Instant.compare(info.modified, seen.written) > 0;
    ids.set(place.id, {
      complete: (seen?.complete ?? false) || isManifest(place),
      claimed: (seen?.claimed ?? false) || place.name === CLAIM_NAME,
      written: later ? info.modified : seen.written,
    });
  }
  const committed: Id[] = [];
  const uncommitted: Uncommitted[] = [];
  const claimed: Id[] = [];
  for (const [id, { complete, claimed: hasClaim, written }] of ids) {
    if (!complete) uncommitted.push({ id, written });
    else {
      committed.push(id);
      if (hasClaim) claimed.push(id);
    }
  }
  return { committed, uncommitted, claimed };
}

/**
 * Removes what dead runs left: objects and unfinished uploads of the given folders. A run is dead when its claim names
 * `source`, whose lock the caller holds (an hour later where it was committing), or when nothing was written in its
 * folder for 48 hours; without a `source` only the latter. Returns the ids that were removed.
 */
export async function removeDeadRuns(
  store: ObjectStore,
  database: DatabaseName,
  uncommitted: readonly Uncommitted[],
  holder: { readonly source: string | undefined; readonly now: Temporal.Instant },
  signal: AbortSignal,
): Promise<Id[]> {
  const removed: Id[] = [];
  for (const { id, written } of uncommitted) {
    const silentFor = (age: Temporal.Duration) => Temporal.Instant.compare(written.add(age), holder.now) < 0;
    const claim = await readClaim(store, { database, id }, signal);
    const ours = claim !== undefined && claim.source === holder.source && (!claim.committing || silentFor(COMMITTING_AGE));
    if (!ours && !silentFor(ORPHAN_AGE)) continue;
    await removeUncommitted(store, { database, id }, holder.now, signal);
    removed.push(id);
  }
  return removed;
}

async function readClaim(store: ObjectStore, listed: Listed, signal: AbortSignal): Promise<Claim | undefined> {
  try {
    const key = `${backupPrefix(listed.database, listed.id)}${CLAIM_NAME}`;
    const bytes = await collect(await store.get(key, { signal }), 64 * 1024);
    const claim = ClaimSchema.safeParse(JSON.parse(Buffer.from(bytes).toString('utf8')));
    return claim.success ? claim.data : undefined;
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
  // Far ahead: the run is dead, so all of its uploads are, and the store's clock, which dates them, may run before ours.
  await store.sweepUnfinished(prefix, now.add({ hours: 24 }), signal);
  // Once more, right before the first delete: a manifest that was on its way may have come since.
  if ((await store.stat(manifestKey(listed.database, listed.id), signal)) !== undefined) return;
  for (const key of keys) await store.delete(key, signal);
  await removeClaims(store, listed.database, [listed.id], signal);
}
