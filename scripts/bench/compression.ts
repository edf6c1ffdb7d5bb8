/**
 * `node scripts/bench/compression.ts FILE`: each level of each codec over a file, best an uncompressed dump
 * (`pg_dump --format=custom --compress=0`). The default levels in src/compression come from this table.
 */
import { openAsBlob } from 'node:fs';
import { availableParallelism } from 'node:os';
import { createCodec } from '../../src/compression/all.ts';
import { type ByteStream, MiB } from '../../src/core/bytes.ts';
import { codecNames } from '../../src/core/manifest.ts';

const [path, rounds = '3'] = process.argv.slice(2);
if (path === undefined) throw new Error('usage: node scripts/bench/compression.ts FILE [ROUNDS]');
// In memory: the disk is not what is measured.
const data = new Uint8Array(await (await openAsBlob(path)).arrayBuffer());

async function* pieces(bytes: Uint8Array, size: number): ByteStream {
  for (let offset = 0; offset < bytes.byteLength; offset += size) yield bytes.subarray(offset, offset + size);
}

interface Figure {
  readonly chunks: readonly Uint8Array[];
  readonly bytes: number;
  readonly wallSeconds: number;
  readonly cpuSeconds: number;
}

async function run(stream: ByteStream, keep: boolean): Promise<Figure> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  const cpu = process.cpuUsage();
  const start = performance.now();
  for await (const chunk of stream) {
    bytes += chunk.byteLength;
    if (keep) chunks.push(chunk);
  }
  const used = process.cpuUsage(cpu);
  return { chunks, bytes, wallSeconds: (performance.now() - start) / 1000, cpuSeconds: (used.user + used.system) / 1e6 };
}

const median = (values: readonly number[]) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
const rate = (seconds: number) => Math.round(data.byteLength / 1e6 / seconds);

const levels = { gzip: [1, 2, 3, 4, 5, 6], zstd: [1, 2, 3, 4] } as const;
console.log(
  `${(data.byteLength / MiB).toFixed(0)} MiB, ${availableParallelism()} cores, median of ${rounds}; rates are MB of plaintext a second`,
);
const table: Record<string, unknown>[] = [];
for (const name of codecNames) {
  for (const level of levels[name]) {
    const codec = createCodec(name, { level });
    const compressed: Figure[] = [];
    const decompressed: Figure[] = [];
    for (let round = 0; round < Number(rounds); round += 1) {
      const figure = await run(codec.compress(pieces(data, 64 * 1024)), true);
      compressed.push({ ...figure, chunks: [] });
      decompressed.push(await run(codec.decompress(pieces(Buffer.concat(figure.chunks), 64 * 1024)), false));
    }
    table.push({
      codec: name,
      level,
      'MB/s': rate(median(compressed.map((figure) => figure.wallSeconds))),
      'MB/s of CPU': rate(median(compressed.map((figure) => figure.cpuSeconds))),
      ratio: Number((data.byteLength / (compressed[0]?.bytes ?? Number.NaN)).toFixed(2)),
      'decompress MB/s': rate(median(decompressed.map((figure) => figure.wallSeconds))),
    });
  }
}
console.table(table);
