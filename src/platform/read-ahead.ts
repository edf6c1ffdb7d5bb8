import type { Readable } from 'node:stream';

/**
 * Bytes that one piece has at least, but for the last. A child that writes row by row comes in pieces of a few KiB, each of
 * which would go through every stage of the pipeline by itself (150,000 times for 1.3 GB).
 */
const PIECE_BYTES = 32 * 1024;
/** Bytes that may wait to be taken before the stream is paused: the child works on while the pipeline does. */
const AHEAD_BYTES = 4 * 1024 * 1024;

export interface ReadAhead {
  /** The next piece; undefined after the normal end. Rejects with the stream's own error. Not to be called again before it has settled. */
  next(): Promise<Buffer | undefined>;
}

/** Reads a stream ahead of whoever takes its pieces. */
export function readAhead(stream: Readable): ReadAhead {
  const waiting: Buffer[] = [];
  let bytes = 0;
  let end: { readonly error?: unknown } | undefined;
  let wake = () => {};

  stream.on('data', (chunk: Buffer) => {
    waiting.push(chunk);
    bytes += chunk.byteLength;
    if (bytes >= AHEAD_BYTES) stream.pause();
    if (bytes >= PIECE_BYTES) wake();
  });
  const ended = (how: { readonly error?: unknown }) => {
    end ??= how;
    wake();
  };
  stream.once('end', () => ended({}));
  stream.once('error', (error) => ended({ error }));
  // Torn down: what was to come will not.
  stream.once('close', () => ended({ error: new Error('the stream was closed before its end') }));

  const take = (): Buffer => {
    let count = 0;
    let size = 0;
    while (count < waiting.length && size < PIECE_BYTES) size += waiting[count++]?.byteLength ?? 0;
    const chunks = waiting.splice(0, count);
    bytes -= size;
    if (bytes < AHEAD_BYTES / 2 && stream.isPaused()) stream.resume();
    const [first] = chunks;
    return first !== undefined && chunks.length === 1 ? first : Buffer.concat(chunks, size);
  };

  return {
    async next() {
      while (bytes < PIECE_BYTES && end === undefined) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
      if (end !== undefined && 'error' in end) throw end.error;
      return bytes === 0 ? undefined : take();
    },
  };
}
