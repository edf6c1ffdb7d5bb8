import { availableParallelism } from 'node:os';
import { JetbackupError } from '../core/errors.ts';
import type { CodecName } from '../core/manifest.ts';
import type { Codec } from './codec.ts';
import { type BlockOptions, GZIP_DEFAULT_LEVEL, gzipCodec } from './gzip.ts';
import { ZSTD_DEFAULT_LEVEL, zstdCodec } from './zstd.ts';

interface CodecEntry {
  readonly create: (options: BlockOptions) => Codec;
  readonly levels: { readonly min: number; readonly max: number; readonly default: number };
}

/** Every codec: a new one is one file and one line here (and its name in the manifest's schema). */
export const codecs: Readonly<Record<CodecName, CodecEntry>> = {
  gzip: { create: gzipCodec, levels: { min: 1, max: 9, default: GZIP_DEFAULT_LEVEL } },
  // Past 19 a frame needs more memory to read than the `zstd` program allows without being told to.
  zstd: { create: zstdCodec, levels: { min: 1, max: 19, default: ZSTD_DEFAULT_LEVEL } },
};

export interface CodecOptions {
  /** Compression level in the codec's own scale; the codec's default when left out. */
  readonly level?: number;
  /** Blocks compressed at once; see `blocksInFlight`. Does not matter for decompression. */
  readonly parallel?: number;
}

/** Throws `config-invalid` on a level that the codec does not have. */
export function createCodec(name: CodecName, { level, parallel = blocksInFlight(availableParallelism()) }: CodecOptions = {}): Codec {
  const { create, levels } = codecs[name];
  const chosen = level ?? levels.default;
  if (!Number.isInteger(chosen) || chosen < levels.min || chosen > levels.max) {
    throw new JetbackupError('config-invalid', `${name} has no level ${chosen}`, {
      hint: `Set compression.level to a whole number from ${levels.min} to ${levels.max}, or leave it out for ${levels.default}.`,
    });
  }
  return create({ level: chosen, inFlight: parallel });
}

/**
 * How many blocks to compress at once on a machine with `cores` cores: one more than the cores, so that a core which finishes
 * finds work while the next block is gathered. More than 16 only cost memory: the main thread cannot gather, hash and encrypt faster.
 */
export function blocksInFlight(cores: number): number {
  return Math.min(Math.max(cores, 1) + 1, 16);
}
