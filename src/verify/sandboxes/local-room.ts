import { statfs } from 'node:fs/promises';
import prettyBytes from 'pretty-bytes';
import { MiB } from '../../core/bytes.ts';
import { JetbackupError, messageOf } from '../../core/errors.ts';

/** What a restored database needs of what it took in the source: sorts of index builds, and rows that lie less tightly. */
const GROWTH = 1.3;
/** WAL of a database that holds next to nothing, and the files that initdb makes (40 MB). */
const AT_LEAST_BYTES = 256 * MiB;

export interface Room {
  /** Of the source. */
  readonly databaseBytes: number;
  /** Most that WAL may grow to. */
  readonly walBytes: number;
}

/** Bytes that a sandbox needs on disk. Loading a database writes no more WAL than about what it loads. */
export function neededBytes({ databaseBytes, walBytes }: Room): number {
  return Math.ceil(databaseBytes * GROWTH) + Math.min(walBytes, databaseBytes) + AT_LEAST_BYTES;
}

/** Throws `sandbox-unavailable` where the file system of `directory` has less than is needed, or cannot be asked. */
export async function requireRoom(directory: string, room: Room): Promise<void> {
  const { free } = await spaceOf(directory).catch((cause: unknown) => {
    throw new JetbackupError('sandbox-unavailable', `there is no place for a sandbox in ${directory}: ${messageOf(cause)}`, {
      cause,
      hint: 'Make the directory, or set verify.directory to another one.',
    });
  });
  const needed = neededBytes(room);
  if (free >= needed) return;
  throw new JetbackupError(
    'sandbox-unavailable',
    `a sandbox for this backup needs ${words(needed)} in ${directory}, and ${words(free)} are free there`,
    { hint: 'Set verify.directory to a directory with more room, or make some there.' },
  );
}

/** Why the server there cannot write any more, in words; undefined while it can. */
export async function fullDisk(directory: string): Promise<string | undefined> {
  const { free, total } = await spaceOf(directory);
  // A hundredth of a large disk is still plenty.
  return free < Math.min(total / 100, 256 * MiB)
    ? `the disk of ${directory} is full: ${words(free)} of ${words(total)} are free`
    : undefined;
}

/** In bytes, for somebody who is not root. */
async function spaceOf(directory: string): Promise<{ free: number; total: number }> {
  const { bavail, blocks, bsize } = await statfs(directory);
  return { free: bavail * bsize, total: blocks * bsize };
}

const words = (bytes: number) => prettyBytes(bytes, { binary: true, maximumFractionDigits: 1 });
