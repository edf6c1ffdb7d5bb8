import { constants } from 'node:fs';
import { mkdir, open, realpath, rmdir } from 'node:fs/promises';
import { dirname, join, sep } from 'node:path';
import { JetbackupError } from '../core/errors.ts';
import { systemCode } from './filesystem-errors.ts';
import type { Key } from './store.ts';

export const DIRECTORY_MODE = 0o700;
export const FILE_MODE = 0o600;

/** Where the file of a key is. The key has been checked: it cannot lead upwards. */
export function pathOf(root: string, key: Key): string {
  return join(root, ...key.split('/'));
}

/**
 * `storage-denied` when a step between the root and the key is a symbolic link: it could lead anywhere.
 * What is not there (yet) leads nowhere. The last step is guarded by O_NOFOLLOW and by rename.
 */
export async function refuseLinks(root: string, key: Key): Promise<void> {
  const steps = key.split('/').slice(0, -1);
  if (steps.length === 0) return;
  try {
    const real = await realpath(join(root, ...steps));
    if (real === join(await realpath(root), ...steps)) return;
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(systemCode(error) ?? '')) return;
    throw error;
  }
  throw new JetbackupError('storage-denied', `"${key}" leads through a symbolic link in ${root}`, {
    hint: 'Symbolic links inside a repository are not followed; replace the link by what it points to.',
  });
}

/** Makes a directory's entries durable: without it, a crash may forget a rename. */
export async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await handle.sync();
  } catch (error) {
    // Some network file systems cannot sync a directory, and have made it durable already.
    if (!['EINVAL', 'ENOTSUP', 'EOPNOTSUPP'].includes(systemCode(error) ?? '')) throw error;
  } finally {
    await handle.close();
  }
}

/** Makes `directory` and what is missing above it, each step durable before it is built upon. */
export async function makeDirectory(directory: string): Promise<void> {
  const first = await mkdir(directory, { recursive: true, mode: DIRECTORY_MODE });
  if (first === undefined) return;
  for (let made = directory; made.length >= first.length; made = dirname(made)) await syncDirectory(dirname(made));
}

/** Removes the directories above `path` that have become empty, up to and without `root`. Whoever is just filling one keeps it. */
export async function removeEmptyAbove(path: string, root: string): Promise<void> {
  for (let directory = dirname(path); directory.startsWith(root + sep); directory = dirname(directory)) {
    try {
      await rmdir(directory);
    } catch {
      return;
    }
  }
}
