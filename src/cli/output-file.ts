import { randomBytes } from 'node:crypto';
import { open, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { ByteStream } from '../core/bytes.ts';
import { isJetbackupError, JetbackupError, messageOf } from '../core/errors.ts';

/**
 * Writes a decrypted artifact: mode 0600, under another name until it is whole and on disk, so that a failure leaves
 * no file that looks like a dump. Pipes and devices (`/dev/null`, `>(…)`) are written directly.
 * Throws `usage` (the file is there, or cannot be made), `storage-full`, and what the stream throws.
 */
export async function writeNewFile(
  target: { readonly path: string; readonly cwd: string; readonly replace: boolean },
  bytes: ByteStream,
  signal: AbortSignal,
): Promise<void> {
  const path = resolve(target.cwd, target.path);
  const existing = await stat(path).catch(() => undefined);
  if (existing?.isDirectory() === true) throw new JetbackupError('usage', `${target.path} is a directory`, { hint: 'Name a file in it.' });
  if (existing?.isFile() === true && !target.replace) {
    throw new JetbackupError('usage', `${target.path} is there already`, { hint: 'Choose another name, or add --force to replace it.' });
  }
  const direct = existing !== undefined && !existing.isFile();
  const draft = direct ? path : join(dirname(path), `.${basename(path)}.${randomBytes(6).toString('hex')}.part`);
  let made = false;
  try {
    const file = await open(draft, direct ? 'w' : 'wx', 0o600);
    made = true;
    try {
      for await (const chunk of bytes) {
        signal.throwIfAborted();
        await file.writeFile(chunk);
      }
      if (!direct) await file.sync();
    } finally {
      await file.close();
    }
    signal.throwIfAborted();
    if (!direct) await rename(draft, path);
  } catch (error) {
    if (made && !direct) await rm(draft, { force: true });
    throw classify(error, target.path);
  }
}

/** Writes to standard output at the reader's pace, and leaves it open. */
export async function writeToStream(stream: NodeJS.WritableStream, bytes: ByteStream, signal: AbortSignal): Promise<void> {
  try {
    await pipeline(Readable.from(bytes, { objectMode: false }), stream, { signal, end: false });
  } catch (error) {
    signal.throwIfAborted();
    throw classify(error, 'standard output');
  }
}

function classify(error: unknown, where: string): unknown {
  if (isJetbackupError(error) || !(error instanceof Error) || !('code' in error) || !('syscall' in error)) return error;
  if (error.code === 'EPIPE') return new JetbackupError('interrupted', `the reader of ${where} went away`, { cause: error });
  if (error.code === 'ENOSPC' || error.code === 'EDQUOT') {
    return new JetbackupError('storage-full', `there is no room for ${where}`, {
      cause: error,
      hint: 'Make room, or write somewhere else. What was written was removed.',
    });
  }
  return new JetbackupError('usage', `${where} cannot be written: ${messageOf(error)}`, {
    cause: error,
    hint: 'Name a file in a folder that this user may write to.',
  });
}
