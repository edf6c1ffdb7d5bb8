import { idInstant, listCommitted } from '../catalog/catalog.ts';
import type { DatabaseName } from '../core/ids.ts';
import type { Instant } from '../platform/clock.ts';
import type { ObjectStore } from '../storage/store.ts';

/** Whether a backup of the database was begun then or later, by its id, and committed. One listing of its folder; throws what the store throws. */
export async function isBackedUpSince(
  store: ObjectStore,
  { database, since }: { readonly database: DatabaseName; readonly since: Instant },
  signal: AbortSignal,
): Promise<boolean> {
  // Ids hold whole seconds.
  const from = Math.floor(since.epochMilliseconds / 1000) * 1000;
  for await (const { id } of listCommitted(store, database, signal)) if (idInstant(id).epochMilliseconds >= from) return true;
  return false;
}
