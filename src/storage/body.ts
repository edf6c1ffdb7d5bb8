import type { ByteStream } from '../core/bytes.ts';

/** A put's body, read chunk by chunk, whose wait for the next chunk can be ended from outside. */
export interface BodyReader {
  /** The next chunk; undefined after a normal end. Rejects with the body's own error, or with what `interrupt` was given. */
  next(): Promise<Uint8Array | undefined>;
  /** Ends the present and every later wait with `reason`; the first reason stays. */
  interrupt(reason: unknown): void;
  /** Releases the producer. Waits for it unless it is in the middle of making a chunk: it may never finish that one. */
  release(): Promise<void>;
}

/**
 * Why not `for await`: a failed upload or an abort must end a put at once, also while the producer is quiet.
 * Why not `Promise.race`: racing each chunk against one long-lived promise keeps every chunk in memory.
 */
export function readBody(body: ByteStream, signal?: AbortSignal): BodyReader {
  const source = body[Symbol.asyncIterator]();
  let interruption: { readonly reason: unknown } | undefined;
  let rejectWaiting: ((reason: unknown) => void) | undefined;
  let ended = false;

  const interrupt = (reason: unknown) => {
    interruption ??= { reason };
    rejectWaiting?.(interruption.reason);
  };
  const onAbort = () => interrupt(signal?.reason);
  if (signal?.aborted) onAbort();
  else signal?.addEventListener('abort', onAbort, { once: true });

  return {
    interrupt,
    next() {
      if (interruption !== undefined) return Promise.reject(interruption.reason);
      if (ended) return Promise.resolve(undefined);
      return new Promise((resolve, reject) => {
        rejectWaiting = reject;
        source.next().then(
          (step) => {
            rejectWaiting = undefined;
            if (step.done === true) ended = true;
            resolve(step.done === true ? undefined : step.value);
          },
          (error: unknown) => {
            rejectWaiting = undefined;
            ended = true;
            reject(error);
          },
        );
      });
    },
    async release() {
      signal?.removeEventListener('abort', onAbort);
      if (ended) return;
      ended = true;
      const busy = rejectWaiting !== undefined;
      // The put has its own error to tell; the producer's about being left early would hide it.
      const released = Promise.resolve(source.return?.()).then(
        () => {},
        () => {},
      );
      if (!busy) await released;
    },
  };
}
