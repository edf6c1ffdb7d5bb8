import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';

const MAX_BYTES = 4096;

/**
 * The lines of the postmaster's own file (pidfile.h); none where it has none. What was restored may have run as the server's user, and
 * put a link, a pipe that nobody writes to or a file without end in its place, and we may be root: only a plain file is read, and little of it.
 */
export async function pidFileLines(data: string): Promise<string[]> {
  try {
    await using file = await open(join(data, 'postmaster.pid'), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    if (!(await file.stat()).isFile()) return [];
    const { buffer, bytesRead } = await file.read(Buffer.alloc(MAX_BYTES), 0, MAX_BYTES, 0);
    return buffer.toString('utf8', 0, bytesRead).split('\n');
  } catch {
    return [];
  }
}
