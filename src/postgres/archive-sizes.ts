import type { ArchiveHead } from './archive.ts';

/** The position is known (PostgreSQL's pg_backup_archiver.h, K_OFFSET_POS_SET). */
const POSITION_SET = 2;

/**
 * The head of an archive once more, with positions of its data from which a parallel pg_restore learns how large the tables are:
 * it then begins with the indexes of the largest, and those of small tables fill the gaps, while by the archive's order the
 * largest may be left for the end. pg_dump knows no positions where it writes to a pipe. `sizes`: bytes by dump id; an
 * entry that is not there stays as it was, and counts as empty.
 *
 * Only for what needs no data: none lie where these positions point. pg_restore takes an entry's size for the distance to
 * the next position, and that of the last for the distance to the end of the file (pg_backup_custom.c, _PrepParallelRestore).
 * It compares them and nothing else, so they are scaled to the length of the head: a file as long as the data need not be.
 */
export function withSizes(
  { bytes, places, positionBytes }: Pick<ArchiveHead, 'bytes' | 'places' | 'positionBytes'>,
  sizes: ReadonlyMap<number, number>,
): Uint8Array {
  const sized = [...places].flatMap(([id, place]) => {
    const size = sizes.get(id);
    return size === undefined ? [] : [{ place, size }];
  });
  const total = sized.reduce((sum, { size }) => sum + size, 0);
  const scale = Math.min(1, bytes.byteLength / total);
  const copy = Buffer.from(bytes);
  let position = bytes.byteLength;
  for (const { place, size } of sized.toReversed()) {
    position -= Math.floor(size * scale);
    copy.writeUInt8(POSITION_SET, place);
    // Least significant byte first, and no head is longer than four bytes can say.
    copy.fill(0, place + 1, place + 1 + positionBytes);
    copy.writeUInt32LE(position, place + 1);
  }
  return copy;
}
