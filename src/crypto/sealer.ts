import type { ByteStream } from '../core/bytes.ts';

/** Encrypts to recipients (public keys) only: what the backup host has. */
export interface Sealer {
  /** The recipients, as they are written into the manifest. */
  readonly recipients: readonly string[];
  /** Ends the ciphertext only when the plaintext ended normally; a plaintext that throws leaves a ciphertext without its last chunk, which no opener accepts. */
  seal(plain: ByteStream): ByteStream;
}

/** Decrypts with identities: what restore and verify hosts have. */
export interface Opener {
  /**
   * No byte of a chunk leaves before its tag is checked; a stream that ends without its last chunk throws.
   * Errors: `key-wrong` (no identity matches a recipient), `damaged` (header, tag, order or end does not hold).
   */
  open(sealed: ByteStream): ByteStream;
}
