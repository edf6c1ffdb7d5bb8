import { authenticate } from '../catalog/authenticate.ts';
import { findBackup, type Listed, listCommitted, readManifest } from '../catalog/catalog.ts';
import type { Moment } from '../catalog/moment.ts';
import { isJetbackupError, type JetbackupError } from '../core/errors.ts';
import type { DatabaseName, Id } from '../core/ids.ts';
import type { Manifest } from '../core/manifest.ts';
import type { PublicKey } from '../crypto/signature.ts';
import type { ObjectStore } from '../storage/store.ts';
import { openRepository } from './repository.ts';

export interface ListDeps {
  readonly store: ObjectStore;
  /** Empty on a host that has none: then nothing is checked, and nothing is said to be authentic. */
  readonly publicKeys: readonly PublicKey[];
}

/** One line of the listing. A manifest that cannot be read or trusted is shown with its error, never left out. */
export type ListedBackup =
  | { readonly database: DatabaseName; readonly id: Id; readonly manifest: Manifest; readonly authentic: boolean | undefined }
  | { readonly database: DatabaseName; readonly id: Id; readonly error: JetbackupError };

/** Manifests read at once. */
const AT_ONCE = 8;

/** Every backup of one database or of all, oldest first within each. Throws what the store throws. */
export async function listBackups(
  deps: ListDeps,
  input: { readonly database?: DatabaseName },
  signal: AbortSignal,
): Promise<ListedBackup[]> {
  const repository = await openRepository(deps, signal);
  const listed: Listed[] = [];
  for await (const one of listCommitted(deps.store, input.database, signal)) listed.push(one);
  const results: ListedBackup[] = new Array<ListedBackup>(listed.length);
  let next = 0;
  const work = async (): Promise<void> => {
    for (let index = next++; index < listed.length; index = next++) {
      const one = listed[index];
      if (one !== undefined) results[index] = await look(deps, one, repository.id, signal);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return results;
}

/** One backup with everything that its manifest says; for `latest` and instants, found by what the manifests say of themselves. Throws `no-backup`, `damaged`, and what the store throws. */
export async function showBackup(
  deps: ListDeps,
  input: { readonly database: DatabaseName; readonly moment: Moment },
  signal: AbortSignal,
): Promise<ListedBackup> {
  const repository = await openRepository(deps, signal);
  const { database, moment } = input;
  // Shown whether authentic or not; `look` says which.
  const { id } = moment.kind === 'id' ? moment : await findBackup(deps.store, database, moment, () => {}, signal);
  const found = await look(deps, { database, id }, repository.id, signal);
  if ('error' in found) throw found.error;
  return found;
}

async function look(deps: ListDeps, listed: Listed, repositoryId: string, signal: AbortSignal): Promise<ListedBackup> {
  try {
    const { manifest } = await readManifest(deps.store, listed, signal);
    if (deps.publicKeys.length === 0) return { ...listed, manifest, authentic: undefined };
    authenticate(manifest, repositoryId, deps.publicKeys);
    return { ...listed, manifest, authentic: true };
  } catch (error) {
    if (isJetbackupError(error, 'damaged', 'not-authentic', 'no-backup')) return { ...listed, error };
    throw error;
  }
}
