import { constants, PerformanceObserver } from 'node:perf_hooks';
import { describe, expect, it } from 'vitest';
import { createCodec } from '../../../src/compression/all.ts';
import { type ByteStream, MiB } from '../../../src/core/bytes.ts';
import { systemClock } from '../../../src/platform/clock.ts';

/** How often what is young was collected while `work` ran, and how often everything. */
async function collections(work: () => Promise<void>): Promise<{ readonly minor: number; readonly major: number }> {
  let [minor, major] = [0, 0];
  const observer = new PerformanceObserver((list) => {
    const kinds = list.getEntries().map(kindOf);
    minor += kinds.filter((kind) => kind === constants.NODE_PERFORMANCE_GC_MINOR).length;
    major += kinds.filter((kind) => kind === constants.NODE_PERFORMANCE_GC_MAJOR).length;
  });
  observer.observe({ entryTypes: ['gc'] });
  await work();
  // They are told of in a later turn of the event loop.
  await systemClock.sleep(10);
  observer.disconnect();
  return { minor, major };
}

/** The types know of no details. */
function kindOf(entry: object): unknown {
  const detail: unknown = 'detail' in entry ? entry.detail : undefined;
  return typeof detail === 'object' && detail !== null && 'kind' in detail ? detail.kind : undefined;
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

  it('is collected while it is young, every 8 MiB of a backup', async () => {
    expect((await collections(() => pass(codec.compress(zeros(160))))).minor).toBeGreaterThanOrEqual(19);
  });

  it('and what has become old, for each 512 MiB', async () => {
    expect((await collections(() => pass(codec.compress(zeros(520))))).major).toBeGreaterThanOrEqual(1);
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
    expect((await collections(restoring)).minor).toBeGreaterThanOrEqual(19);
  });
});
