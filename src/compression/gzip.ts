import { promisify } from 'node:util';
import { createGunzip, gzip } from 'node:zlib';
import { compressBlocks } from './blocks.ts';
import type { Codec } from './codec.ts';
import { decompressMembers, engineOptions, OUTPUT_BYTES } from './engine.ts';

export const GZIP_DEFAULT_LEVEL = 3;

const compressMember = promisify<Uint8Array<ArrayBuffer>, { level: number; memLevel: number; chunkSize: number }, Buffer>(gzip);

export interface BlockOptions {
  readonly level: number;
  /** Blocks compressed at once. */
  readonly inFlight: number;
}

/** gzip (RFC 1952); each block is a member of its own, and any gzip file is read, also one that other tools made. */
export function gzipCodec({ level, inFlight }: BlockOptions): Codec {
  return {
    name: 'gzip',
    extension: '.gz',
    compress: (plain) => compressBlocks(plain, (block) => compressMember(block, { level, memLevel: 9, chunkSize: OUTPUT_BYTES }), inFlight),
    decompress: (compressed) => decompressMembers(compressed, 'gzip', () => createGunzip(engineOptions)),
  };
}
