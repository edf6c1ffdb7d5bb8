/** Kinds of blocks that follow an archive's table of contents (PostgreSQL's pg_backup_archiver.h, BLK_DATA and BLK_BLOBS). */
const ROWS = 1;
const LARGE_OBJECTS = 3;
/** Where the archive's header says how many bytes an integer has. */
const INT_SIZE_AT = 8;

/** Bytes of an integer in this archive, without its sign. */
export function integerSize(head: Uint8Array): number {
  return head[INT_SIZE_AT] ?? 4;
}

/**
 * `begin`: a block's kind and dump id have been read; `row`: a chunk of it is complete, which for a table is one row of
 * COPY's text (or several); `end`: its end mark has been read.
 */
export type BlockEvent = 'begin' | 'row' | 'end';

export interface Blocks {
  /** Reads on. Throws what `unexpected` makes of a block that is none. */
  follow(chunk: Uint8Array): void;
  /** Dump ids of the blocks so far. */
  readonly seen: ReadonlySet<number>;
  /** Dump id of the block that is being read, or was read last. */
  readonly id: number;
  /** Whether the block that is being read, or was read last, holds large objects. */
  readonly withinLargeObjects: boolean;
  /** Whether the next byte belongs to a chunk whose length is known: to a row, that is, or a part of a large object. */
  readonly inRow: boolean;
  /** Whether no block is open. */
  readonly atBoundary: boolean;
}

type Expecting = 'block' | 'id' | 'large object' | 'chunk';

/**
 * Follows the blocks of a custom-format archive. A block is its kind (one byte), its dump id, and chunks: a length and as
 * many bytes, up to the length 0. A block of large objects has an OID before the chunks of each, and ends with the OID 0.
 * `on` is told of each event with the offset behind it in the chunk that is being followed.
 */
export function followBlocks(
  intSize: number,
  unexpected: (what: string) => Error,
  on: (event: BlockEvent, offset: number) => void = () => {},
): Blocks {
  const seen = new Set<number>();
  let id = 0;
  let expecting: Expecting = 'block';
  let withinLargeObjects = false;
  let skip = 0;
  // An integer (a sign byte, then the least significant byte first) that may be cut by the end of a chunk.
  let digits = 0;
  let value = 0;

  const take = (int: number, offset: number) => {
    if (expecting === 'id') {
      seen.add(int);
      id = int;
      expecting = withinLargeObjects ? 'large object' : 'chunk';
      on('begin', offset);
    } else if (int > 0) {
      if (expecting === 'chunk') skip = int;
      expecting = 'chunk';
    } else if (expecting === 'chunk' && withinLargeObjects) {
      expecting = 'large object';
    } else {
      expecting = 'block';
      on('end', offset);
    }
  };

  return {
    seen,
    get id() {
      return id;
    },
    get withinLargeObjects() {
      return withinLargeObjects;
    },
    get inRow() {
      return skip > 0;
    },
    get atBoundary() {
      return expecting === 'block' && skip === 0;
    },
    follow(chunk) {
      const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
      const end = bytes.byteLength;
      for (let at = 0; at < end; ) {
        if (skip > 0) {
          const step = Math.min(skip, end - at);
          skip -= step;
          at += step;
          if (skip === 0) on('row', at);
        } else if (expecting === 'block') {
          const kind = bytes[at];
          if (kind !== ROWS && kind !== LARGE_OBJECTS) throw unexpected(`a block of kind ${kind} stands where a table should begin`);
          withinLargeObjects = kind === LARGE_OBJECTS;
          expecting = 'id';
          at += 1;
        } else if (digits === 0 && intSize === 4 && end - at >= 5) {
          // One for every row of every table: the way that has to be quick.
          const int = bytes.readUInt32LE(at + 1);
          at += 5;
          take(int, at);
        } else {
          if (digits > 0) value += (bytes[at] ?? 0) * 2 ** (8 * (digits - 1));
          digits += 1;
          at += 1;
          if (digits > intSize) {
            const int = value;
            digits = 0;
            value = 0;
            take(int, at);
          }
        }
      }
    },
  };
}
