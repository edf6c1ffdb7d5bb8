import type { BodyReader } from './body.ts';

/** Cuts a body into parts of equal size (bytes), the last one shorter, in buffers that are used again. */
export interface PartFiller {
  /** The next part; empty when the body has ended. Each part but the last is full. */
  next(): Promise<Uint8Array<ArrayBuffer>>;
  /** Whether nothing comes after what `next` has given; waits for the body to say so. */
  ended(): Promise<boolean>;
  /** Takes a part's buffer back once nobody reads it any more. */
  recycle(part: Uint8Array<ArrayBuffer>): void;
}

export function partFiller(reader: BodyReader, partBytes: number): PartFiller {
  const spare: Uint8Array<ArrayBuffer>[] = [];
  let rest: Uint8Array | undefined;
  let ended = false;

  /** Makes `rest` hold bytes, unless the body has ended. */
  const pull = async () => {
    while (!ended && (rest === undefined || rest.byteLength === 0)) {
      rest = await reader.next();
      if (rest === undefined) ended = true;
    }
  };

  return {
    async next() {
      await pull();
      if (ended) return new Uint8Array(0);
      const buffer = spare.pop() ?? Buffer.allocUnsafeSlow(partBytes);
      let filled = 0;
      while (filled < partBytes) {
        await pull();
        if (rest === undefined) break;
        const take = rest.subarray(0, partBytes - filled);
        buffer.set(take, filled);
        filled += take.byteLength;
        rest = rest.subarray(take.byteLength);
      }
      return buffer.subarray(0, filled);
    },
    async ended() {
      await pull();
      return ended;
    },
    recycle(part) {
      if (part.buffer.byteLength === partBytes) spare.push(new Uint8Array(part.buffer));
    },
  };
}
