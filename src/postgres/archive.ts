import type { ByteStream } from '../core/bytes.ts';
import { JetbackupError } from '../core/errors.ts';

export interface ArchiveEntry {
  readonly dumpId: number;
  readonly tag: string;
  /** What kind of object: `TABLE`, `TABLE DATA`, `INDEX`, ... */
  readonly desc: string;
  readonly section: 'none' | 'pre-data' | 'data' | 'post-data';
  readonly namespace: string | null;
  readonly owner: string | null;
  readonly hasData: boolean;
}

/** The table of contents that stands at the head of a custom-format archive. */
export interface ArchiveHead {
  /** From the first byte of the archive to the last of its table of contents. */
  readonly bytes: Uint8Array;
  /** As pg_restore names it: `1.14` (PostgreSQL 12-15), `1.15` (16), `1.16` (17, 18). */
  readonly formatVersion: string;
  /** `17.6 (Debian 17.6-1)` of the dumped server and of pg_dump. */
  readonly serverVersion: string;
  readonly dumpVersion: string;
  readonly database: string;
  readonly entries: readonly ArchiveEntry[];
}

/** Splits an archive after its table of contents. `rest` goes on where `head.bytes` ends. Throws `damaged`. */
export async function readArchiveHead(_stream: ByteStream): Promise<{ head: ArchiveHead; rest: ByteStream }> {
  throw new JetbackupError('bug', 'not written yet');
}
