import { constants, createZstdCompress, createZstdDecompress } from 'node:zlib';
import { blockCompressor } from './block-compressor.ts';
import { BLOCK_BYTES, compressBlocks } from './blocks.ts';
import type { Codec } from './codec.ts';
import { decompressMembers, engineOptions, OUTPUT_BYTES } from './engine.ts';
import type { BlockOptions } from './gzip.ts';

/**
 * In blocks of 1 MiB the lowest level is the fastest and the smallest: on the two streams that chose gzip's level
 * (gzip.ts) level 1 makes 45.2 and 27.0 MB at 340 and 380 MB/s of CPU, level 3 46.9 and 27.4 MB at 205 and 260.
 */
export const ZSTD_DEFAULT_LEVEL = 1;

/**
 * Log2 of the window, bytes: a whole block. In the 512 KiB that level 1 takes by itself a block goes round, which took 7 % more CPU time
 * (median of eight) for the same size; and the window of a high level would be memory for bytes that no block has.
 */
const WINDOW_LOG = Math.log2(BLOCK_BYTES);

/** Log2 of the largest window that is decompressed, in bytes: 128 MiB, the limit of the `zstd` program; a frame cannot ask for more memory. */
const WINDOW_LOG_MAX = 27;

/** Zstandard (RFC 8878); each block is a frame of its own with a checksum of its content, and any zstd file is read. */
export function zstdCodec({ level, inFlight }: BlockOptions): Codec {
  const params = {
    [constants.ZSTD_c_compressionLevel]: level,
    [constants.ZSTD_c_windowLog]: WINDOW_LOG,
    [constants.ZSTD_c_checksumFlag]: 1,
  };
  // A frame for every write. Never reset: node:zlib's reset() makes a new context and forgets `params`.
  const options = { params, chunkSize: OUTPUT_BYTES, flush: constants.ZSTD_e_end };
  return {
    name: 'zstd',
    extension: '.zst',
    compress: (plain) => compressBlocks(plain, () => blockCompressor(createZstdCompress(options)), inFlight),
    decompress: (compressed) =>
      decompressMembers(compressed, 'zstd', () =>
        createZstdDecompress({
          ...engineOptions,
          params: { [constants.ZSTD_d_windowLogMax]: WINDOW_LOG_MAX },
        }),
      ),
  };
}
