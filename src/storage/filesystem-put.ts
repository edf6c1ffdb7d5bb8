import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, link, lstat, open, readdir, rename, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Temporal } from 'temporal-polyfill';
import type { ByteStream } from '../core/bytes.ts';
import { JetbackupError } from '../core/errors.ts';
import { readBody } from './body.ts';
import { fileSystemFailure, systemCode } from './filesystem-errors.ts';
import { FILE_MODE, makeDirectory, pathOf, refuseLinks, syncDirectory } from './filesystem-paths.ts';
import { isKey, UNFINISHED_STEP } from './key.ts';
import type { Key, ObjectInfo, PutOptions } from './store.ts';

/** Two bytes in UTF-8, and in no key: stands for `/` in the name of a temporary file. */
const SLASH = '\u00a6';
/** Chunks are gathered up to this many bytes before they are written; many small writes cost more than the copy. */
const WRITE_BYTES = 1024 * 1024;

export function instantOf(stats: { readonly mtimeMs: number }): Temporal.Instant {
  return Temporal.Instant.fromEpochMilliseconds(Math.floor(stats.mtimeMs));
}

function temporaryName(key: Key): string {
  return `${key.replaceAll('/', SLASH)}~${randomBytes(8).toString('hex')}`;
}

/** The key that a temporary file was for; undefined when the name is none of ours. */
function keyOfTemporary(name: string): Key | undefined {
  const match = /^(.+)~[0-9a-f]{16}$/.exec(name);
  const key = match?.[1]?.replaceAll(SLASH, '/');
  return key !== undefined && isKey(key) ? key : undefined;
}

/** Writes the whole chunk: one `write` may take only a part of it, on a nearly full disk for example. */
async function writeFully(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.byteLength; ) done += (await handle.write(bytes, done, bytes.byteLength - done)).bytesWritten;
}

/**
 * What has been written is brought to disk beside the writing, whenever it is this much more, bytes: where the disk keeps up,
 * little is left to wait for at the end. Where it does not, the system's own limits hold the writing back, as they always do.
 */
const FLUSH_BYTES = 32 * 1024 * 1024;

interface Flusher {
  /** Throws what a flush has failed with; the system tells it once, and `fsync` at the end would know nothing of it. */
  wrote(bytes: number): void;
  /** Once no flush is under way. Throws as `wrote` does. */
  finish(): Promise<void>;
}

function flushBeside(handle: FileHandle): Flusher {
  let waiting = 0;
  let running: Promise<void> | undefined;
  let failure: { readonly error: unknown } | undefined;
  const flush = async (): Promise<void> => {
    try {
      await handle.datasync();
    } catch (error) {
      failure = { error };
    }
    running = undefined;
  };
  const check = () => {
    if (failure !== undefined) throw failure.error;
  };
  return {
    wrote(bytes) {
      check();
      waiting += bytes;
      if (waiting < FLUSH_BYTES || running !== undefined) return;
      waiting = 0;
      running = flush();
    },
    async finish() {
      await running;
      check();
    },
  };
}

async function writeBody(
  handle: FileHandle,
  body: ByteStream,
  signal: AbortSignal | undefined,
  failed: (error: unknown) => Error,
): Promise<void> {
  const reader = readBody(body, signal);
  const block = Buffer.allocUnsafeSlow(WRITE_BYTES);
  let filled = 0;
  const flusher = flushBeside(handle);
  const write = async (bytes: Uint8Array) => {
    try {
      await writeFully(handle, bytes);
      flusher.wrote(bytes.byteLength);
    } catch (error) {
      throw failed(error);
    }
  };
  try {
    for (let chunk = await reader.next(); chunk !== undefined; chunk = await reader.next()) {
      for (let offset = 0; offset < chunk.byteLength; ) {
        const take = Math.min(WRITE_BYTES - filled, chunk.byteLength - offset);
        block.set(chunk.subarray(offset, offset + take), filled);
        filled += take;
        offset += take;
        if (filled === WRITE_BYTES) {
          await write(block);
          filled = 0;
        }
      }
    }
    if (filled > 0) await write(block.subarray(0, filled));
    await flusher.finish().catch((error: unknown) => {
      throw failed(error);
    });
  } finally {
    await reader.release();
  }
}

/** Gives the finished temporary file its name, in one step. */
async function publish(temporary: string, target: string, key: Key, ifAbsent: boolean): Promise<void> {
  if (!ifAbsent) return rename(temporary, target);
  const taken = () => new JetbackupError('storage-exists', `"${key}" exists already`);
  try {
    await link(temporary, target);
  } catch (error) {
    const code = systemCode(error) ?? '';
    if (code === 'EEXIST') throw taken();
    if (!['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK'].includes(code)) throw error;
    // A file system without hard links (FAT, some network shares): not atomic, which `probe` finds out.
    if ((await lstat(target).catch(() => undefined)) !== undefined) throw taken();
    return rename(temporary, target);
  }
  await unlink(temporary);
}

export async function putFile(root: string, key: Key, body: ByteStream, options: PutOptions): Promise<ObjectInfo> {
  const { ifAbsent = false, signal } = options;
  const failed = (error: unknown) => fileSystemFailure(error, `write "${key}"`, root);
  const target = pathOf(root, key);
  const unfinished = join(root, UNFINISHED_STEP);
  const temporary = join(unfinished, temporaryName(key));

  const opened = async () => {
    await refuseLinks(root, key);
    if (ifAbsent && (await lstat(target).catch(() => undefined)) !== undefined) {
      throw new JetbackupError('storage-exists', `"${key}" exists already`);
    }
    await makeDirectory(unfinished);
    return open(temporary, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, FILE_MODE);
  };
  const handle = await opened().catch((error: unknown) => {
    throw failed(error);
  });

  try {
    let info: ObjectInfo;
    try {
      await writeBody(handle, body, signal, failed);
      await handle.sync().catch((error: unknown) => {
        throw failed(error);
      });
      const stats = await handle.stat();
      info = { key, size: stats.size, modified: instantOf(stats) };
    } finally {
      await handle.close();
    }
    signal?.throwIfAborted();
    await settle(root, key, temporary, target, ifAbsent).catch((error: unknown) => {
      throw failed(error);
    });
    return info;
  } catch (error) {
    await unlink(temporary).catch(() => {});
    throw error;
  }
}

/** How often the directory may vanish between making it and naming the file in it before somebody is thought to remove the repository. */
const VANISHING_DIRECTORIES = 20;

async function settle(root: string, key: Key, temporary: string, target: string, ifAbsent: boolean): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await makeDirectory(dirname(target));
      await refuseLinks(root, key);
      await publish(temporary, target, key, ifAbsent);
      break;
    } catch (error) {
      // A `delete` beside us has just removed the directory as an empty one, at any of these steps.
      if (systemCode(error) !== 'ENOENT' || attempt === VANISHING_DIRECTORIES) throw error;
    }
  }
  await syncDirectory(dirname(target)).catch((error: unknown) => {
    // The object was there, and has been deleted with its directory since.
    if (systemCode(error) !== 'ENOENT') throw error;
  });
}

/** Removes temporary files last written before `before`; gives back the keys that they were for. */
export async function sweepTemporaries(
  root: string,
  prefix: string,
  before: Temporal.Instant,
  signal: AbortSignal | undefined,
): Promise<Key[]> {
  const unfinished = join(root, UNFINISHED_STEP);
  const swept: Key[] = [];
  const names = await readdir(unfinished).catch((error: unknown) => {
    if (systemCode(error) === 'ENOENT') return [];
    throw error;
  });
  for (const name of names.sort()) {
    signal?.throwIfAborted();
    const key = keyOfTemporary(name);
    if (key === undefined || !key.startsWith(prefix)) continue;
    const stats = await lstat(join(unfinished, name)).catch(() => undefined);
    if (stats === undefined || !stats.isFile() || Temporal.Instant.compare(instantOf(stats), before) >= 0) continue;
    await unlink(join(unfinished, name));
    swept.push(key);
  }
  return swept;
}
