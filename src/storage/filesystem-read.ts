import { constants, type Stats } from 'node:fs';
import { type FileHandle, lstat, open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { ByteStream } from '../core/bytes.ts';
import { JetbackupError } from '../core/errors.ts';
import { fileSystemFailure, systemCode } from './filesystem-errors.ts';
import { pathOf, refuseLinks } from './filesystem-paths.ts';
import { instantOf } from './filesystem-put.ts';
import { checkedRange, isKey, type Range, UNFINISHED_STEP } from './key.ts';
import type { GetOptions, Key, ObjectInfo } from './store.ts';

const READ_BYTES = 256 * 1024;

/** A network file system takes a round trip for each file. */
const LOOKED_UP_AT_ONCE = 16;

/** Codes that say that there is no such file: a missing step, a step that is a file, a name that is a directory. */
const absent = ['ENOENT', 'ENOTDIR', 'EISDIR'];

async function openFile(root: string, key: Key): Promise<{ handle: FileHandle; stats: Stats }> {
  const missing = () => new JetbackupError('storage-not-found', `"${key}" is not in ${root}`);
  try {
    await refuseLinks(root, key);
    const handle = await open(pathOf(root, key), constants.O_RDONLY | constants.O_NOFOLLOW);
    const stats = await handle.stat();
    if (stats.isFile()) return { handle, stats };
    await handle.close();
    throw missing();
  } catch (error) {
    throw absent.includes(systemCode(error) ?? '') ? missing() : fileSystemFailure(error, `read "${key}"`, root);
  }
}

function sameFile(a: Stats, b: Stats): boolean {
  return a.ino === b.ino && a.dev === b.dev && a.size === b.size && a.mtimeMs === b.mtimeMs;
}

export async function getFile(root: string, key: Key, { range, signal }: GetOptions): Promise<ByteStream> {
  signal?.throwIfAborted();
  // Opened again by whoever reads: a stream that nobody starts must not hold a descriptor.
  const { handle, stats } = await openFile(root, key);
  await handle.close();
  return readFile(root, key, stats, checkedRange(key, stats.size, range), signal);
}

async function* readFile(
  root: string,
  key: Key,
  expected: Stats,
  range: Range,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  const replaced = () => new JetbackupError('storage-failed', `"${key}" in ${root} was replaced or changed while it was read`);
  signal?.throwIfAborted();
  const { handle, stats } = await openFile(root, key);
  try {
    if (!sameFile(stats, expected)) throw replaced();
    const end = range.offset + range.length;
    for (let offset = range.offset; offset < end; ) {
      signal?.throwIfAborted();
      const buffer = Buffer.allocUnsafeSlow(Math.min(READ_BYTES, end - offset));
      const { bytesRead } = await handle.read(buffer, 0, buffer.byteLength, offset).catch((error: unknown) => {
        throw fileSystemFailure(error, `read "${key}"`, root);
      });
      if (bytesRead === 0) throw new JetbackupError('storage-failed', `"${key}" in ${root} ended at byte ${offset} of ${end}`);
      offset += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
    signal?.throwIfAborted();
    // Renaming another file over this one leaves the open one whole; writing into it does not.
    if (!sameFile(await handle.stat(), expected)) throw replaced();
  } finally {
    await handle.close();
  }
}

export async function statFile(root: string, key: Key): Promise<ObjectInfo | undefined> {
  try {
    await refuseLinks(root, key);
  } catch (error) {
    throw fileSystemFailure(error, `look up "${key}"`, root);
  }
  return await lookUp(root, key);
}

/** For a key whose directory is known to be no link. */
async function lookUp(root: string, key: Key): Promise<ObjectInfo | undefined> {
  try {
    const stats = await lstat(pathOf(root, key));
    return stats.isFile() ? { key, size: stats.size, modified: instantOf(stats) } : undefined;
  } catch (error) {
    if (absent.includes(systemCode(error) ?? '')) return undefined;
    throw fileSystemFailure(error, `look up "${key}"`, root);
  }
}

/** One directory's names in the order of the keys that they lead to: a directory sorts as its name with the `/` that follows. */
async function sortedNames(root: string, directory: string): Promise<string[]> {
  try {
    // What was a directory a moment ago may be a link by now.
    await refuseLinks(root, directory);
    const entries = await readdir(join(root, directory), { withFileTypes: true });
    const names = entries
      .filter((entry) => entry.isFile() || entry.isDirectory())
      .map((entry) => entry.name + (entry.isDirectory() ? '/' : ''));
    return names.sort();
  } catch (error) {
    if (absent.includes(systemCode(error) ?? '')) return [];
    throw fileSystemFailure(error, 'list', join(root, directory));
  }
}

export async function* listFiles(root: string, prefix: string, signal: AbortSignal | undefined, below = ''): AsyncGenerator<ObjectInfo> {
  const paths = (await sortedNames(root, below)).map((name) => below + name).filter((path) => isListed(path, prefix));
  for (let start = 0; start < paths.length; start += LOOKED_UP_AT_ONCE) {
    signal?.throwIfAborted();
    const batch = paths.slice(start, start + LOOKED_UP_AT_ONCE);
    const found = await Promise.all(batch.map((path) => (path.endsWith('/') ? undefined : lookUp(root, path))));
    for (const [index, path] of batch.entries()) {
      signal?.throwIfAborted();
      const info = found[index];
      if (path.endsWith('/')) yield* listFiles(root, prefix, signal, path);
      else if (info !== undefined) yield info;
    }
  }
}

/** Of a path: whether it is a directory with such keys, or the file of one. */
function isListed(path: string, prefix: string): boolean {
  if (path === `${UNFINISHED_STEP}/`) return false;
  if (path.endsWith('/')) return path.startsWith(prefix) || prefix.startsWith(path);
  return path.startsWith(prefix) && isKey(path);
}
