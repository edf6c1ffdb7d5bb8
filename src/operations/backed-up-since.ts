import { Temporal } from 'temporal-polyfill';
import { idInstant, type Listed, listCommitted, readManifest } from '../catalog/catalog.ts';
import { isJetbackupError } from '../core/errors.ts';
import type { DatabaseName } from '../core/ids.ts';
import { verify } from '../crypto/signature.ts';
import type { Clock, Instant } from '../platform/clock.ts';
import { CLOCK_AHEAD_MS } from './last-runs.ts';
import type { ListDeps } from './list.ts';

/**
 * Whether a backup of the database was begun then or later, and committed, by one of our keys. Ids alone do not tell: one that a clock
 * made which ran ahead pushes all later ones before it, and counts here as begun when its manifest says. One listing of its folder, and
 * a GET for each backup whose id is not before `since`. Throws what the store throws.
 */
export async function isBackedUpSince(
  { store, clock, publicKeys }: ListDeps & { readonly clock: Clock },
  { database, since }: { readonly database: DatabaseName; readonly since: Instant },
  signal: AbortSignal,
): Promise<boolean> {
  // Ids and manifests hold whole seconds.
  const from = Math.floor(since.epochMilliseconds / 1000) * 1000;
  const until = clock.now().epochMilliseconds + CLOCK_AHEAD_MS;
  const candidates: Listed[] = [];
  for await (const listed of listCommitted(store, database, signal)) {
    if (idInstant(listed.id).epochMilliseconds >= from) candidates.push(listed);
  }
  for (const listed of candidates.toReversed()) {
    try {
      const { manifest } = await readManifest(store, listed, signal);
      verify(manifest, publicKeys);
      const begun = Temporal.Instant.from(manifest.startedAt).epochMilliseconds;
      if (from <= begun && begun <= until) return true;
      // Ids are in the order of making: what was made before this was begun before it.
      if (begun < from) return false;
    } catch (error) {
      // What cannot be restored stands for no due time.
      if (!isJetbackupError(error, 'damaged', 'not-authentic', 'no-backup')) throw error;
    }
  }
  return false;
}
