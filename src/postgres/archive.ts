import type { ByteStream } from '../core/bytes.ts';
import { JetbackupError } from '../core/errors.ts';
import { rolesOfPolicy } from './policy-roles.ts';

export type Section = 'pre-data' | 'data' | 'post-data';

/** By the number in the archive. */
const sections = [undefined, 'none', 'pre-data', 'data', 'post-data'] as const;

export interface ArchiveEntry {
  readonly dumpId: number;
  /** The object's name; for an index or a constraint `table name`. */
  readonly tag: string;
  /** What kind of object: `TABLE`, `TABLE DATA`, `INDEX`, ... */
  readonly desc: string;
  /** Comments, labels and rights stand in no section of their own: they belong to that of the entry before them, as for pg_restore. */
  readonly section: Section;
  readonly namespace: string | null;
  readonly tablespace: string | null;
  readonly owner: string | null;
  /** Whether rows, or a large object's bytes, follow for it. */
  readonly hasData: boolean;
  /** Of a policy: the roles that it is for, which no option of pg_restore leaves out. */
  readonly policyRoles?: readonly string[];
  readonly dependencies: readonly number[];
}

/** The table of contents that stands at the head of a custom-format archive. */
export interface ArchiveHead {
  /** From the first byte of the archive to the last of its table of contents. */
  readonly bytes: Uint8Array;
  /** As pg_restore names it: `1.14` (PostgreSQL 12 to 15), `1.15` (16), `1.16` (17, 18). */
  readonly formatVersion: string;
  /** `17.6 (Debian 17.6-1)`: of the dumped server, and of pg_dump. */
  readonly serverVersion: string;
  readonly dumpVersion: string;
  readonly database: string;
  readonly entries: readonly ArchiveEntry[];
  /**
   * Where `bytes` says where an entry's data begin in the file, for each entry that has some: by dump id, in the archive's order.
   * One byte says what is known of the position, and the position follows.
   */
  readonly places: ReadonlyMap<number, number>;
  /** Bytes of a position. */
  readonly positionBytes: number;
}

/** A table of contents of 100,000 objects is some 60 MiB. */
const MAX_HEAD_BYTES = 256 * 1024 * 1024;
const FIRST_ATTEMPT_BYTES = 64 * 1024;

const NEWEST_FORMAT = 16;
const OLDEST_FORMAT = 14;

/** More bytes are needed to go on. */
class Incomplete extends Error {}

/**
 * Splits an archive after its table of contents; `rest` goes on where `head.bytes` ends. Throws `damaged` when it is
 * none or ends too early, `restore-failed` when it is of a format that is not known here, and whatever `stream` throws.
 */
export async function readArchiveHead(stream: ByteStream): Promise<{ head: ArchiveHead; rest: ByteStream }> {
  const source = stream[Symbol.asyncIterator]();
  try {
    const chunks: Uint8Array[] = [];
    let bytes = 0;
    let next = FIRST_ATTEMPT_BYTES;
    for (;;) {
      const step = await source.next();
      if (step.done !== true) {
        chunks.push(step.value);
        bytes += step.value.byteLength;
        // Each attempt reads from the start: doubling keeps the whole work linear.
        if (bytes < next) continue;
      }
      const buffer = Buffer.concat(chunks);
      const head = tryParse(buffer);
      if (head !== undefined) return { head, rest: resume(buffer.subarray(head.bytes.byteLength), source, step.done === true) };
      if (step.done === true) throw damaged('ends before the end of its table of contents');
      if (bytes > MAX_HEAD_BYTES) throw damaged('has a table of contents of more than 256 MiB');
      next = bytes * 2;
      chunks.splice(0, chunks.length, buffer);
    }
  } catch (error) {
    await source.return?.();
    throw error;
  }
}

async function* resume(first: Uint8Array, source: AsyncIterator<Uint8Array>, ended: boolean): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    if (first.byteLength > 0) yield first;
    if (ended) return;
    for (;;) {
      const step = await source.next();
      if (step.done === true) return;
      yield step.value;
    }
  } finally {
    await source.return?.();
  }
}

function damaged(what: string): JetbackupError {
  return new JetbackupError('damaged', `the dump ${what}`, { hint: 'It is not what pg_dump wrote. Use another backup.' });
}

function tryParse(buffer: Buffer): ArchiveHead | undefined {
  try {
    return parseArchiveHead(buffer);
  } catch (error) {
    if (error instanceof Incomplete) return undefined;
    throw error;
  }
}

/** Numbers and strings as pg_dump writes them: a sign byte, then `intSize` bytes, least significant first; strings with their length in front, -1 for none. */
function reader(buffer: Buffer) {
  let at = 0;
  let intSize = 4;
  const take = (count: number) => {
    if (at + count > buffer.byteLength) throw new Incomplete();
    at += count;
    return at - count;
  };
  const byte = () => buffer.readUInt8(take(1));
  const int = () => {
    const negative = byte() !== 0;
    const value = buffer.readUIntLE(take(intSize), intSize);
    return negative ? -value : value;
  };
  const text = () => {
    const length = int();
    if (length < 0) return null;
    if (length > MAX_HEAD_BYTES) throw damaged('has a table of contents that cannot be read');
    const start = take(length);
    return buffer.toString('utf8', start, start + length);
  };
  return {
    byte,
    int,
    text,
    skip: take,
    setIntSize(size: number) {
      if (size < 1 || size > 6) throw damaged(`has integers of ${size} bytes`);
      intSize = size;
    },
    position: () => at,
  };
}

/** The layout is that of PostgreSQL's pg_backup_archiver.c, functions ReadHead and ReadToc. */
function parseArchiveHead(buffer: Buffer): ArchiveHead {
  const magic = buffer.toString('latin1', 0, 5);
  if (!'PGDMP'.startsWith(magic)) throw damaged('is not a custom-format archive');
  const read = reader(buffer);
  read.skip(5);
  const major = read.byte();
  const minor = read.byte();
  read.skip(1); // revision: compatible by definition
  if (major !== 1 || minor > NEWEST_FORMAT || minor < OLDEST_FORMAT) {
    throw new JetbackupError(
      'restore-failed',
      `the dump is of archive format ${major}.${minor}, and this jetbackup reads 1.${OLDEST_FORMAT} to 1.${NEWEST_FORMAT}`,
      {
        hint: 'Use a newer jetbackup, or export it and use pg_restore.',
      },
    );
  }
  read.setIntSize(read.byte());
  const positionBytes = read.byte();
  if (positionBytes < 4 || positionBytes > 8) throw damaged(`has positions of ${positionBytes} bytes`);
  if (read.byte() !== 1) throw damaged('is not a custom-format archive');
  if (minor >= 15) read.byte();
  else read.int(); // compression
  for (let field = 0; field < 7; field += 1) read.int(); // creation time
  const database = read.text() ?? '';
  const serverVersion = read.text() ?? '';
  const dumpVersion = read.text() ?? '';
  const count = read.int();
  const entries: ArchiveEntry[] = [];
  const places = new Map<number, number>();
  let current: Section = 'pre-data';
  for (let index = 0; index < count; index += 1) {
    const dumpId = read.int();
    if (dumpId <= 0) throw damaged('has a table of contents that cannot be read');
    const hasData = read.int() !== 0;
    read.text(); // OID of its catalog
    read.text(); // its OID
    const tag = read.text() ?? '';
    const desc = read.text() ?? '';
    const section = sections[read.int()];
    if (section === undefined) throw damaged('has a table of contents that cannot be read');
    if (section !== 'none') current = section;
    const definition = read.text();
    read.text(); // drop statement
    read.text(); // COPY statement
    const namespace = read.text();
    const tablespace = read.text();
    read.text(); // table access method
    if (minor >= 16) read.int(); // relkind
    const owner = read.text();
    read.text(); // WITH OIDS
    const dependencies: number[] = [];
    for (let dependency = read.text(); dependency !== null; dependency = read.text()) dependencies.push(Number(dependency));
    if (hasData) places.set(dumpId, read.position());
    read.skip(1 + positionBytes);
    entries.push({
      dumpId,
      tag,
      desc,
      section: current,
      namespace: namespace || null,
      tablespace: tablespace || null,
      owner: owner || null,
      hasData,
      dependencies,
      ...(desc === 'POLICY' ? { policyRoles: rolesOfPolicy(definition ?? '') } : {}),
    });
  }
  const bytes = buffer.subarray(0, read.position());
  return { bytes, formatVersion: `${major}.${minor}`, serverVersion, dumpVersion, database, entries, places, positionBytes };
}
