import { type ByteStream, MiB } from '../core/bytes.ts';
import { buffersPassed } from '../platform/young-buffers.ts';

/**
 * Bytes of plaintext per block. Each block is compressed on its own, so a smaller one compresses worse (deflate and zstd start
 * afresh) and a larger one costs memory times the blocks in flight.
 */
export const BLOCK_BYTES = MiB;

/** Makes complete members or frames out of whole blocks, one at a time, on the thread pool. */
export interface BlockCompressor {
  /** The block is read until the promise settles, and not after it. */
  compress(block: Uint8Array<ArrayBuffer>): Promise<Uint8Array>;
  /** Gives its memory back. Called once, when nothing is being compressed. */
  close(): void;
}

/** A compressor with the block that it is fed from; both are used again and again. */
interface Lane {
  readonly compressor: BlockCompressor;
  readonly block: Uint8Array<ArrayBuffer>;
}

/**
 * Compresses block after block, up to `inFlight` of them at once, and gives the results in the order of the blocks. Formats
 * whose files may be concatenated (gzip members, zstd frames) read the result as one file. An empty stream gives one block of
 * nothing, which is a valid empty file. Compressors and blocks are made once and used to the end, one pair more than are in
 * flight: fresh ones for each block are megabytes that the garbage collector has to go after. When the source, a block or the
 * consumer fails, it ends only after the blocks that are still being compressed.
 */
export async function* compressBlocks(
  plain: ByteStream,
  create: () => BlockCompressor,
  inFlight: number,
): AsyncGenerator<Uint8Array, void, undefined> {
  if (!Number.isInteger(inFlight) || inFlight < 1) throw new RangeError(`blocks in flight: ${inFlight}`);
  const lanes: Lane[] = [];
  const idle: Lane[] = [];
  const queue: Promise<Uint8Array>[] = [];
  const take = (): Lane => {
    const lane = idle.pop();
    if (lane !== undefined) return lane;
    const made = { compressor: create(), block: Buffer.allocUnsafeSlow(BLOCK_BYTES) };
    lanes.push(made);
    return made;
  };
  const start = (lane: Lane, bytes: number) => {
    const result = lane.compressor.compress(lane.block.subarray(0, bytes)).finally(() => idle.push(lane));
    // Awaited below, in its turn; until then a failure must not count as unhandled.
    result.catch(() => {});
    queue.push(result);
  };
  let lane = take();
  let filled = 0;
  let blocks = 0;
  try {
    for await (const chunk of plain) {
      for (let offset = 0; offset < chunk.byteLength; ) {
        const part = chunk.subarray(offset, offset + BLOCK_BYTES - filled);
        lane.block.set(part, filled);
        filled += part.byteLength;
        offset += part.byteLength;
        if (filled < BLOCK_BYTES) continue;
        start(lane, filled);
        buffersPassed(filled);
        blocks += 1;
        const first = queue.length < inFlight ? undefined : queue.shift();
        if (first !== undefined) yield await first;
        lane = take();
        filled = 0;
      }
    }
    if (filled > 0 || blocks === 0) start(lane, filled);
    for (let first = queue.shift(); first !== undefined; first = queue.shift()) yield await first;
  } finally {
    await Promise.allSettled(queue);
    for (const { compressor } of lanes) compressor.close();
  }
}
