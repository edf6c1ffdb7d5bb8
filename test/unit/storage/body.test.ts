import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bytesOf } from '../../../src/core/bytes.ts';
import { readBody } from '../../../src/storage/body.ts';
import { partFiller } from '../../../src/storage/part-filler.ts';

describe('a body cut into parts', () => {
  it('gives full parts but for the last, the same bytes, and knows when it has ended', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.uint8Array({ maxLength: 20 })),
        fc.integer({ min: 1, max: 16 }),
        fc.boolean(),
        async (chunks, partBytes, recycle) => {
          const filler = partFiller(readBody(bytesOf(...chunks)), partBytes);
          const whole = Buffer.concat(chunks);
          const parts: Buffer[] = [];
          for (;;) {
            const part = await filler.next();
            const copied = Buffer.from(part);
            if (part.byteLength === 0) break;
            parts.push(copied);
            const ended = await filler.ended();
            expect(ended).toBe(Buffer.concat(parts).byteLength === whole.byteLength);
            if (!ended) expect(part.byteLength).toBe(partBytes);
            if (recycle) filler.recycle(part);
          }
          expect(Buffer.concat(parts)).toEqual(whole);
        },
      ),
    );
  });
});

describe('the wait for a body', () => {
  const quiet = {
    [Symbol.asyncIterator]: () => ({ next: () => new Promise<never>(() => {}), return: () => new Promise<never>(() => {}) }),
  };

  it('ends when it is interrupted, and letting go of a producer that is stuck does not wait for it', async () => {
    const reader = readBody(quiet);
    const waiting = reader.next();
    const reason = new Error('a part failed');
    reader.interrupt(reason);
    reader.interrupt(new Error('later'));
    await expect(waiting).rejects.toBe(reason);
    await expect(reader.next()).rejects.toBe(reason);
    await reader.release();
  });

  it('ends when the signal is aborted, also before it began', async () => {
    const stop = new AbortController();
    const waiting = readBody(quiet, stop.signal).next();
    stop.abort(new Error('stop'));
    await expect(waiting).rejects.toBe(stop.signal.reason);
    await expect(readBody(quiet, stop.signal).next()).rejects.toBe(stop.signal.reason);
  });

  it('leaves the error of the put to be told when the producer fails while it is let go', async () => {
    async function* body(): AsyncGenerator<Uint8Array> {
      try {
        yield new Uint8Array(1);
      } finally {
        // biome-ignore lint/correctness/noUnsafeFinally: a producer that behaves badly
        throw new Error('while closing');
      }
    }
    const reader = readBody(body());
    await reader.next();
    await expect(reader.release()).resolves.toBeUndefined();
  });
});
