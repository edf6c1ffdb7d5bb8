import type { Dirent, Stats } from 'node:fs';
import { lstat, open, readdir, readlink } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { pack as createPack, type Header, type Pack } from 'tar-stream';
import type { ByteStream } from '../core/bytes.ts';
import { JetbackupError, messageOf } from '../core/errors.ts';

/**
 * A tar (pax) of the given files and folders, each under its absolute path without the leading slash, as GNU tar
 * writes it. Symbolic links are kept as links; sockets, devices and pipes are left out. Throws `files-unreadable`
 * when a path is missing or cannot be read, or when a file changes while it is read: a torn .env is no backup.
 */
export async function* tarOf(paths: readonly string[], signal: AbortSignal): ByteStream & AsyncGenerator<Uint8Array> {
  const pack = createPack();
  const filled = fill(pack, paths, signal).then(
    () => pack.finalize(),
    (error: unknown) => void pack.destroy(error instanceof Error ? error : new Error(String(error))),
  );
  try {
    for await (const chunk of pack) yield chunk as Uint8Array;
  } finally {
    pack.destroy();
    await filled;
  }
}

type EntryHeader = Partial<Header> & Pick<Header, 'name'>;

async function fill(pack: Pack, paths: readonly string[], signal: AbortSignal): Promise<void> {
  for (const path of paths) await add(pack, resolve(path), signal);
}

function unreadable(path: string, cause: unknown): JetbackupError {
  return new JetbackupError('files-unreadable', `cannot read ${path}: ${messageOf(cause)}`, {
    cause,
    hint: 'Make it readable for the user that jetbackup runs as, or take it out of `files`.',
  });
}

async function add(pack: Pack, path: string, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  let stats: Stats;
  try {
    stats = await lstat(path);
  } catch (cause) {
    throw unreadable(path, cause);
  }
  const header = {
    name: path.replace(/^\/+/, ''),
    mode: stats.mode & 0o7777,
    uid: stats.uid,
    gid: stats.gid,
    mtime: stats.mtime,
  };
  if (stats.isDirectory()) {
    await entry(pack, { ...header, name: `${header.name}/`, type: 'directory', size: 0 });
    let children: Dirent[];
    try {
      children = await readdir(path, { withFileTypes: true });
    } catch (cause) {
      throw unreadable(path, cause);
    }
    for (const child of children.toSorted((a, b) => (a.name < b.name ? -1 : 1))) await add(pack, join(path, child.name), signal);
  } else if (stats.isSymbolicLink()) {
    await entry(pack, { ...header, type: 'symlink', size: 0, linkname: await readlink(path) });
  } else if (stats.isFile()) {
    await addFile(pack, path, header, signal);
  }
}

function entry(pack: Pack, header: EntryHeader): Promise<void> {
  return new Promise((resolvePromise, reject) => {
    pack.entry(header, (error) => (error ? reject(error) : resolvePromise()));
  });
}

async function addFile(pack: Pack, path: string, header: EntryHeader, signal: AbortSignal): Promise<void> {
  let file: Awaited<ReturnType<typeof open>>;
  try {
    file = await open(path, 'r');
  } catch (cause) {
    throw unreadable(path, cause);
  }
  try {
    const before = await file.stat();
    const sink = pack.entry({ ...header, type: 'file', size: before.size });
    let bytes = 0;
    const ended = new Promise<void>((resolvePromise, reject) => {
      sink.once('error', reject);
      sink.once('finish', resolvePromise);
    });
    ended.catch(() => {});
    // One listener for the whole file; a sink that is torn down must not be waited for.
    let wake = () => {};
    sink.on('drain', () => wake()).on('close', () => wake());
    const buffer = Buffer.allocUnsafe(256 * 1024);
    for (;;) {
      signal.throwIfAborted();
      const { bytesRead } = await file.read(buffer, 0, buffer.byteLength, null);
      if (bytesRead === 0) break;
      bytes += bytesRead;
      if (bytes > before.size) break;
      const flowing = sink.write(Buffer.from(buffer.subarray(0, bytesRead)));
      if (!flowing) {
        await new Promise<void>((go) => {
          wake = go;
        });
      }
    }
    const after = await file.stat();
    if (bytes !== before.size || after.mtimeMs !== before.mtimeMs || after.size !== before.size) {
      throw unreadable(path, new Error('it changed while it was read'));
    }
    sink.end(null);
    await ended;
  } finally {
    await file.close();
  }
}
