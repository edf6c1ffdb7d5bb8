import type { Transform } from 'node:stream';
import type { ByteStream } from '../core/bytes.ts';
import { JetbackupError, messageOf } from '../core/errors.ts';
import { buffersPassed } from '../platform/young-buffers.ts';

/** One of node:zlib's decompressors. */
export type Engine = Transform & {
  /** Bytes of input that it has used; not what it was given, where it met the end of the format inside of that. */
  readonly bytesWritten: number;
};

/** Bytes of a zlib output buffer. Each one filled is a round trip to the thread pool; Node's default is 16 KiB. */
export const OUTPUT_BYTES = 256 * 1024;

/** Options of every engine. Plaintext up to `readableHighWaterMark` is made while the consumer is busy, and a bomb stops there. */
export const engineOptions = { chunkSize: OUTPUT_BYTES, readableHighWaterMark: 1024 * 1024 } as const;

/**
 * Decompresses a file of any number of members (or frames). node:zlib alone gets several of these wrong without a word: its
 * zstd stops at the first frame that ends inside a chunk, and its gunzip drops whatever follows a zero byte after a member.
 * Both show in `bytesWritten`, so what an engine leaves unused goes into a new one, which takes it as a further member or
 * refuses it. Pulls from the source only while its own consumer waits, so that leaving early never waits for a silent source.
 * Throws `damaged`.
 */
export async function* decompressMembers(
  compressed: ByteStream,
  format: string,
  create: () => Engine,
): AsyncGenerator<Uint8Array, void, undefined> {
  const broken = (cause: unknown) => new JetbackupError('damaged', `the ${format} data is damaged: ${messageOf(cause)}`, { cause });
  let driven = drive(create(), broken);
  try {
    for await (const chunk of compressed) {
      let rest = chunk;
      while (rest.byteLength > 0) {
        const used = yield* driven.feed(rest);
        rest = rest.subarray(used);
        if (rest.byteLength > 0) {
          yield* driven.drain();
          // Without progress there is nothing more that a new engine could make of it.
          if (driven.total === 0) throw broken(new Error('no progress'));
          driven.engine.destroy();
          driven = drive(create(), broken);
        }
      }
    }
    driven.engine.end();
    yield* driven.drain();
  } finally {
    driven.engine.destroy();
  }
}

interface Driven {
  readonly engine: Engine;
  /** Bytes of input that it has used. */
  readonly total: number;
  /** Has it work on `chunk`, giving out what it has ready until it is done; returns how many bytes of the chunk it used. */
  feed(chunk: Uint8Array): AsyncGenerator<Uint8Array, number, undefined>;
  /** Gives out everything up to its end. */
  drain(): AsyncGenerator<Uint8Array, void, undefined>;
}

function drive(engine: Engine, broken: (cause: unknown) => JetbackupError): Driven {
  let failure: { error: unknown } | undefined;
  let ended = false;
  let wake = () => {};
  const wakeUp = () => wake();
  engine.on('readable', wakeUp);
  engine.on('end', () => {
    ended = true;
    wake();
  });
  engine.on('error', (error) => {
    failure = { error };
    wake();
  });

  async function* giveUntil(done: () => boolean): AsyncGenerator<Uint8Array, void, undefined> {
    for (;;) {
      if (failure !== undefined) throw broken(failure.error);
      if (done()) return;
      const woken = new Promise<void>((resolve) => {
        wake = resolve;
      });
      const piece: unknown = engine.read();
      if (piece instanceof Uint8Array) {
        buffersPassed(piece.byteLength);
        yield piece;
      } else await woken;
    }
  }

  return {
    engine,
    get total() {
      return engine.bytesWritten;
    },
    async *feed(chunk) {
      const before = engine.bytesWritten;
      let written = false;
      engine.write(chunk, () => {
        written = true;
        wake();
      });
      yield* giveUntil(() => written);
      return engine.bytesWritten - before;
    },
    drain: () => giveUntil(() => ended),
  };
}
