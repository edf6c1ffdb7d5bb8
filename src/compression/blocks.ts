import { type ByteStream, MiB, rechunk } from '../core/bytes.ts';

/**
 * Bytes of plaintext per block. Each block is compressed on its own, so a smaller one compresses worse (deflate and zstd start
 * afresh) and a larger one costs memory times the blocks in flight.
 */
export const BLOCK_BYTES = MiB;

/** Compresses one whole block into a complete member or frame, on the thread pool. */
export type CompressBlock = (block: Uint8Array<ArrayBuffer>) => Promise<Uint8Array>;

/**
 * Compresses block after block, up to `inFlight` of them at once, and gives the results in the order of the blocks. Formats
 * whose files may be concatenated (gzip members, zstd frames) read the result as one file. An empty stream gives one block of
 * nothing, which is a valid empty file. Holds at most `inFlight` blocks and their results; when the source, a block or the
 * consumer fails, it ends only after the blocks that are still being compressed.
 */
export async function* compressBlocks(
  plain: ByteStream,
  compress: CompressBlock,
  inFlight: number,
): AsyncGenerator<Uint8Array, void, undefined> {
  if (!Number.isInteger(inFlight) || inFlight < 1) throw new RangeError(`blocks in flight: ${inFlight}`);
  const queue: Promise<Uint8Array>[] = [];
  const add = (block: Uint8Array<ArrayBuffer>) => {
    const result = compress(block);
    // Awaited below, in its turn; until then a failure must not count as unhandled.
    result.catch(() => {});
    queue.push(result);
  };
  let blocks = 0;
  try {
    for await (const block of rechunk(plain, BLOCK_BYTES)) {
      add(block);
      blocks += 1;
      const first = queue.length < inFlight ? undefined : queue.shift();
      if (first !== undefined) yield await first;
    }
    if (blocks === 0) add(new Uint8Array(0));
    for (let first = queue.shift(); first !== undefined; first = queue.shift()) yield await first;
  } finally {
    await Promise.allSettled(queue);
  }
}
