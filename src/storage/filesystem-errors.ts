import { type ErrorCode, JetbackupError, messageOf } from '../core/errors.ts';
import { MAKE_ROOM } from './make-room.ts';

const codes: Readonly<Record<string, ErrorCode>> = {
  ENOSPC: 'storage-full',
  EDQUOT: 'storage-full',
  EFBIG: 'storage-full',
  EACCES: 'storage-denied',
  EPERM: 'storage-denied',
  EROFS: 'storage-denied',
  ELOOP: 'storage-denied',
  ENOENT: 'storage-not-found',
  ESTALE: 'storage-unreachable',
  ETIMEDOUT: 'storage-unreachable',
  EHOSTDOWN: 'storage-unreachable',
  ENXIO: 'storage-unreachable',
};

/** The system's own code (`ENOENT`) of whatever was thrown. */
export function systemCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

function hintFor(code: string | undefined, directory: string): string | undefined {
  switch (code) {
    case 'ENOSPC':
      return `Free space on the file system of ${directory} (df -h ${directory}). ${MAKE_ROOM}`;
    case 'EDQUOT':
      return `Raise the quota of the user that runs jetbackup on the file system of ${directory}. ${MAKE_ROOM}`;
    case 'EFBIG':
      return `The file system of ${directory} or the shell's limit (ulimit -f) allows no file of this size.`;
    case 'EROFS':
      return `The file system of ${directory} is mounted read-only: mount -o remount,rw`;
    case 'EACCES':
    case 'EPERM':
      return `Let the user that runs jetbackup read and write ${directory}: chown -R "$(id -un)" ${directory}`;
    case 'ELOOP':
      return 'Symbolic links inside a repository are not followed; replace the link by what it points to.';
    case 'ESTALE':
    case 'EHOSTDOWN':
    case 'ENXIO':
      return `Check that the network file system of ${directory} is mounted and answers.`;
    default:
      return undefined;
  }
}

/** Turns an error of a file system call into one of the catalogue. `what` reads like `write "a/b"`. */
export function fileSystemFailure(error: unknown, what: string, directory: string): JetbackupError {
  if (error instanceof JetbackupError) return error;
  const code = systemCode(error);
  const hint = hintFor(code, directory);
  return new JetbackupError(
    codes[code ?? ''] ?? 'storage-failed',
    `cannot ${what} in ${directory}: ${messageOf(error)}`,
    hint === undefined ? { cause: error } : { hint, cause: error },
  );
}
