import type { ByteStream } from '../core/bytes.ts';
import { isJetbackupError, JetbackupError } from '../core/errors.ts';
import { readArchiveHead } from './archive.ts';

/** Kinds of blocks that follow the table of contents (PostgreSQL's pg_backup_archiver.h, BLK_DATA and BLK_BLOBS). */
const ROWS = 1;
const LARGE_OBJECTS = 3;
/** Where the archive's header says how many bytes an integer has. */
const INT_SIZE_AT = 8;

type Expecting = 'block' | 'id' | 'large object' | 'chunk';

/**
 * Passes a custom-format archive on and follows its structure, so that one which ends too early is an error although
 * its program exited with 0: a wrapper that swallows the exit status, `docker exec` or `kubectl exec` whose connection
 * broke. Each table with rows, and each batch of large objects, has to be there up to its end mark. Throws `dump-failed`.
 */
export async function* wholeArchive(archive: ByteStream): AsyncGenerator<Uint8Array, void, undefined> {
  const { head, rest } = await readArchiveHead(archive).catch((error: unknown) => {
    if (isJetbackupError(error, 'damaged')) throw incomplete(error.message, error);
    throw error;
  });
  yield head.bytes;
  const blocks = followBlocks(head.bytes[INT_SIZE_AT] ?? 4);
  for await (const chunk of rest) {
    blocks.follow(chunk);
    yield chunk;
  }
  if (!blocks.atBoundary()) throw incomplete('what pg_dump wrote ends in the middle of a table');
  const missing = head.entries.filter(({ hasData, dumpId }) => hasData && !blocks.seen.has(dumpId));
  const [first] = missing;
  if (first !== undefined) {
    const name = first.namespace === null ? first.tag : `${first.namespace}.${first.tag}`;
    throw incomplete(`what pg_dump wrote ends before ${first.desc.toLowerCase()} of ${name}; ${missing.length} such parts are missing`);
  }
}

function incomplete(what: string, cause?: unknown): JetbackupError {
  return new JetbackupError('dump-failed', `the dump is incomplete: ${what}`, {
    hint: 'pg_dump ended as if all were well. If the client programs are wrappers (bindir), check that they pass on its whole output and its exit status; then run the backup again.',
    ...(cause === undefined ? {} : { cause }),
  });
}

/**
 * A block is its kind (one byte), its dump id, and chunks: a length and as many bytes, up to the length 0. A block of
 * large objects has an OID before the chunks of each, and ends with the OID 0.
 */
function followBlocks(intSize: number) {
  const seen = new Set<number>();
  let expecting: Expecting = 'block';
  let withinLargeObjects = false;
  let skip = 0;
  // An integer (a sign byte, then the least significant byte first) that may be cut by the end of a chunk.
  let digits = 0;
  let value = 0;

  const take = (int: number) => {
    if (expecting === 'id') {
      seen.add(int);
      expecting = withinLargeObjects ? 'large object' : 'chunk';
    } else if (expecting === 'large object') {
      expecting = int === 0 ? 'block' : 'chunk';
    } else if (int === 0) {
      expecting = withinLargeObjects ? 'large object' : 'block';
    } else {
      skip = int;
    }
  };

  return {
    seen,
    atBoundary: () => expecting === 'block' && skip === 0,
    follow(chunk: Uint8Array) {
      const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
      const end = bytes.byteLength;
      for (let at = 0; at < end; ) {
        if (skip > 0) {
          const step = Math.min(skip, end - at);
          skip -= step;
          at += step;
        } else if (expecting === 'block') {
          const kind = bytes[at];
          if (kind !== ROWS && kind !== LARGE_OBJECTS) throw incomplete(`a block of kind ${kind} stands where a table should begin`);
          withinLargeObjects = kind === LARGE_OBJECTS;
          expecting = 'id';
          at += 1;
        } else if (digits === 0 && intSize === 4 && end - at >= 5) {
          // One for every row of every table: the way that has to be quick.
          const int = bytes.readUInt32LE(at + 1);
          at += 5;
          take(int);
        } else {
          if (digits > 0) value += (bytes[at] ?? 0) * 2 ** (8 * (digits - 1));
          digits += 1;
          at += 1;
          if (digits > intSize) {
            const int = value;
            digits = 0;
            value = 0;
            take(int);
          }
        }
      }
    },
  };
}
