import { constants, PerformanceObserver } from 'node:perf_hooks';
import { describe, expect, it } from 'vitest';
import { createCodec } from '../../../src/compression/all.ts';
import { type ByteStream, MiB } from '../../../src/core/bytes.ts';
import { systemClock } from '../../../src/platform/clock.ts';

/** How often what is young was collected while `work` ran. */
async function minorCollections(work: () => Promise<void>): Promise<number> {
  let count = 0;
  const observer = new PerformanceObserver((list) => {
    count += list.getEntries().filter(isMinor).length;
  });
  observer.observe({ entryTypes: ['gc'] });
  await work();
  // They are told of in a later turn of the event loop.
  await systemClock.sleep(10);
  observer.disconnect();
  return count;
}

/** The types know of no details. */
function isMinor(entry: object): boolean {
  const detail: unknown = 'detail' in entry ? entry.detail : undefined;
  return typeof detail === 'object' && detail !== null && 'kind' in detail && detail.kind === constants.NODE_PERFORMANCE_GC_MINOR;
}

async function* zeros(megabytes: number): AsyncGenerator<Uint8Array, void, undefined> {
  const piece = new Uint8Array(MiB);
  for (let count = 0; count < megabytes; count += 1) yield piece;
}

async function pass(stream: ByteStream): Promise<void> {
  for await (const _ of stream);
}

describe('what passes through buffers that nobody keeps', () => {
  const codec = createCodec('zstd');

  it('is collected while it is young, every 12 MiB of a backup', async () => {
    expect(await minorCollections(() => pass(codec.compress(zeros(160))))).toBeGreaterThanOrEqual(13);
  });

  it('and of a restore', async () => {
    const compressed: Uint8Array[] = [];
    for await (const piece of codec.compress(zeros(160))) compressed.push(piece);
    const restoring = () =>
      pass(
        codec.decompress(
          (async function* () {
            yield* compressed;
          })(),
        ),
      );
    expect(await minorCollections(restoring)).toBeGreaterThanOrEqual(13);
  });
});
