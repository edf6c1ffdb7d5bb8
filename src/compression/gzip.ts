import { constants, createGunzip, createGzip, type Gzip, type ZlibReset } from 'node:zlib';
import { blockCompressor } from './block-compressor.ts';
import { compressBlocks } from './blocks.ts';
import type { Codec } from './codec.ts';
import { decompressMembers, engineOptions, OUTPUT_BYTES } from './engine.ts';

/**
 * The fastest level within 6 % of level 6's size on both of two `pg_dump --format=custom --compress=0` streams, in 1 MiB blocks
 * with memLevel 9 (`node scripts/bench/compression.ts FILE`; MB/s of CPU, so per core, on an AMD EPYC):
 *
 *   level                      1      2      3      4      5      6   | stock gzip -6
 *   orders and audit logs,   +10.8   +8.9   +7.3   +5.8   +1.4    0   |  +3.6 %
 *   203 MB                    145    140    115    108     83    65 MB/s
 *   Jet-Admin-like,          +14.1  +11.6  +10.2   +6.9   +1.5    0   |  +3.8 %
 *   194 MB                    170    181    182    125    110    87 MB/s
 */
export const GZIP_DEFAULT_LEVEL = 5;

export interface BlockOptions {
  readonly level: number;
  /** Blocks compressed at once. */
  readonly inFlight: number;
}

/** gzip (RFC 1952); each block is a member of its own, and any gzip file is read, also one that other tools made. */
export function gzipCodec({ level, inFlight }: BlockOptions): Codec {
  // A member for every write.
  const options = { level, memLevel: 9, chunkSize: OUTPUT_BYTES, flush: constants.Z_FINISH };
  const create = () => {
    // Documented for all of deflate's formats; the types know it of two.
    const engine = createGzip(options) as Gzip & ZlibReset;
    return blockCompressor(engine, () => engine.reset());
  };
  return {
    name: 'gzip',
    extension: '.gz',
    compress: (plain) => compressBlocks(plain, create, inFlight),
    decompress: (compressed) => decompressMembers(compressed, 'gzip', () => createGunzip(engineOptions)),
  };
}
