import type { ByteStream } from '../core/bytes.ts';
import type { CodecName } from '../core/manifest.ts';

/** A stock compression format; what `compress` makes is read by the stock tool (`gunzip`, `zstd -d`), and the other way round. */
export interface Codec {
  readonly name: CodecName;
  /** File extension with its dot: `.gz`, `.zst`. */
  readonly extension: string;
  compress(plain: ByteStream): ByteStream;
  /** Throws `damaged` on what is not its format, and on an end in the middle. */
  decompress(compressed: ByteStream): ByteStream;
}
