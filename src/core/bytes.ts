import { createHash } from 'node:crypto';

/**
 * Bytes on their way from a producer to a consumer. The contract that the whole pipeline rests on:
 * the stream ends normally only when its producer is known to have finished well (a child exited 0,
 * an object arrived whole); everything else throws out of the iteration. Leaving the loop early
 * releases the producer (`return()` of the iterator).
 */
export type ByteStream = AsyncIterable<Uint8Array>;

export const KiB = 1024;
export const MiB = 1024 * KiB;

/** Size (bytes) and SHA-256 (lower-case hex) of a stream that ended normally. */
export interface Measure {
  readonly bytes: number;
  readonly sha256: string;
}

/** Counts and hashes what passes through it. `measure()` throws before the stream has ended: a figure of half a stream is of no use. */
export interface Meter {
  through(stream: ByteStream): ByteStream;
  readonly bytes: number;
  measure(): Measure;
}

export function meter(onBytes?: (total: number) => void): Meter {
  const hash = createHash('sha256');
  let bytes = 0;
  let result: Measure | undefined;
  return {
    async *through(stream) {
      for await (const chunk of stream) {
        hash.update(chunk);
        bytes += chunk.byteLength;
        onBytes?.(bytes);
        yield chunk;
      }
      result = { bytes, sha256: hash.digest('hex') };
    },
    get bytes() {
      return bytes;
    },
    measure() {
      if (result === undefined) throw new Error('the stream has not ended');
      return result;
    },
  };
}

export interface SegmentMeter extends Meter {
  /** SHA-256 (hex) of each `segmentBytes` of the stream; the last segment may be shorter. */
  segments(): readonly string[];
}

/** Like `meter`, and hashes each segment of `segmentBytes` on the way. */
export function segmentMeter(segmentBytes: number, onBytes?: (total: number) => void): SegmentMeter {
  const whole = meter(onBytes);
  const segments: string[] = [];
  let hash = createHash('sha256');
  let filled = 0;
  let ended = false;
  return {
    async *through(stream) {
      for await (const chunk of whole.through(stream)) {
        let rest = chunk;
        while (filled + rest.byteLength >= segmentBytes) {
          const head = rest.subarray(0, segmentBytes - filled);
          segments.push(hash.update(head).digest('hex'));
          hash = createHash('sha256');
          filled = 0;
          rest = rest.subarray(head.byteLength);
        }
        hash.update(rest);
        filled += rest.byteLength;
        yield chunk;
      }
      if (filled > 0) segments.push(hash.digest('hex'));
      ended = true;
    },
    get bytes() {
      return whole.bytes;
    },
    measure: whole.measure,
    segments() {
      if (!ended) throw new Error('the stream has not ended');
      return segments;
    },
  };
}

/** The whole stream in memory; throws `RangeError` past `maxBytes`, so that nothing from outside can exhaust memory. */
export async function collect(stream: ByteStream, maxBytes: number): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of stream) {
    bytes += chunk.byteLength;
    if (bytes > maxBytes) throw new RangeError(`more than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

export async function* bytesOf(...chunks: (Uint8Array | string)[]): AsyncGenerator<Uint8Array, void, undefined> {
  for (const chunk of chunks) yield typeof chunk === 'string' ? Buffer.from(chunk, 'utf8') : chunk;
}

export async function* concat(...streams: ByteStream[]): AsyncGenerator<Uint8Array, void, undefined> {
  for (const stream of streams) yield* stream;
}

export function sha256Hex(bytes: Uint8Array | string): string {
  return createHash('sha256').update(bytes).digest('hex');
}
