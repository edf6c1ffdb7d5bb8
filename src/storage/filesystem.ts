import { randomBytes } from 'node:crypto';
import { statfs, unlink } from 'node:fs/promises';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { bytesOf } from '../core/bytes.ts';
import { isJetbackupError } from '../core/errors.ts';
import { orAborted } from '../platform/deadline.ts';
import { fileSystemFailure, systemCode } from './filesystem-errors.ts';
import { pathOf, refuseLinks, removeEmptyAbove, syncDirectory } from './filesystem-paths.ts';
import { putFile, sweepTemporaries } from './filesystem-put.ts';
import { getFile, listFiles, statFile } from './filesystem-read.ts';
import { checkedKey, checkedPrefix, PROBE_PREFIX } from './key.ts';
import type { ObjectStore, Room, StoreFeatures } from './store.ts';

export interface FilesystemSettings {
  /** The repository's directory; made with mode 0700 by the first put. Relative to the working directory. */
  readonly directory: string;
}

const RACES = 3;
const RACERS = 16;

/**
 * A directory, local or mounted. A body is written into `.jetbackup-unfinished/`, synced, and renamed into its
 * place (linked for `ifAbsent`); each directory that changed is synced after it. Symbolic links are never followed.
 *
 * Unlike in S3, an object "a" and an object "a/b" cannot both exist: the second is refused with `storage-failed`.
 */
export function createFilesystemStore({ directory }: FilesystemSettings): ObjectStore {
  const root = resolve(directory);
  let features: Promise<StoreFeatures> | undefined;

  const store: ObjectStore = {
    location: pathToFileURL(root).href,
    capacity: () => Number.MAX_SAFE_INTEGER,
    async put(key, body, options = {}) {
      checkedKey(key);
      options.signal?.throwIfAborted();
      return putFile(root, key, body, options);
    },
    async get(key, options = {}) {
      return getFile(root, checkedKey(key), options);
    },
    async stat(key, signal) {
      signal?.throwIfAborted();
      return statFile(root, checkedKey(key));
    },
    async *list(prefix, signal) {
      signal?.throwIfAborted();
      yield* listFiles(root, checkedPrefix(prefix), signal);
    },
    // An immutable attribute of the file system is nobody's promise of a date: deleting it fails, and says so.
    async lockedUntil(key, signal) {
      checkedKey(key);
      signal?.throwIfAborted();
      return undefined;
    },
    async delete(key, signal) {
      checkedKey(key);
      signal?.throwIfAborted();
      await deleteFile(root, key);
    },
    async sweepUnfinished(prefix, before, signal) {
      checkedPrefix(prefix);
      signal?.throwIfAborted();
      try {
        return await sweepTemporaries(root, prefix, before, signal);
      } catch (error) {
        if (signal?.aborted) throw signal.reason;
        throw fileSystemFailure(error, 'remove unfinished files', root);
      }
    },
    async room(signal) {
      signal?.throwIfAborted();
      // A dead network file system never answers.
      return await orAborted(roomOf(root), signal);
    },
    probe(signal) {
      features ??= probe(store, signal).catch((error: unknown) => {
        features = undefined;
        throw error;
      });
      return features;
    },
    close: () => {},
  };
  return store;
}

async function deleteFile(root: string, key: string): Promise<void> {
  const path = pathOf(root, key);
  try {
    await refuseLinks(root, key);
    await unlink(path);
    await syncDirectory(resolve(path, '..'));
    await removeEmptyAbove(path, root);
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(systemCode(error) ?? '')) return;
    // Unlinking a directory: there is no object of this name, so nothing to delete.
    if ((await statFile(root, key)) === undefined && ['EISDIR', 'EPERM'].includes(systemCode(error) ?? '')) return;
    throw fileSystemFailure(error, `delete "${key}"`, root);
  }
}

async function roomOf(root: string): Promise<Room | undefined> {
  try {
    const { bsize, blocks, bfree, bavail } = await statfs(root);
    // Some file systems (of FUSE, of the kernel) do not say.
    if (blocks === 0) return undefined;
    return { totalBytes: (blocks - bfree + bavail) * bsize, freeBytes: bavail * bsize };
  } catch (error) {
    throw fileSystemFailure(error, 'ask for free space', root);
  }
}

/** Hard links have one winner on a local file system; network file systems differ, so race for it. */
async function probe(store: ObjectStore, signal: AbortSignal | undefined): Promise<StoreFeatures> {
  let conditionalPut = true;
  for (let round = 0; round < RACES && conditionalPut; round += 1) {
    const key = `${PROBE_PREFIX}${randomBytes(8).toString('hex')}`;
    const options = signal === undefined ? { ifAbsent: true } : { ifAbsent: true, signal };
    const outcomes = await Promise.allSettled(
      Array.from({ length: RACERS }, (_, racer) => store.put(key, bytesOf(`racer ${racer}`), options)),
    );
    await store.delete(key);
    const failed = outcomes.find((outcome) => outcome.status === 'rejected' && !isJetbackupError(outcome.reason, 'storage-exists'));
    if (failed?.status === 'rejected') throw failed.reason;
    conditionalPut = outcomes.filter((outcome) => outcome.status === 'fulfilled').length === 1;
  }
  return { conditionalPut, objectLock: false, versioning: false, checksums: false };
}
