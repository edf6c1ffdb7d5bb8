import { createCipheriv, createDecipheriv, hkdfSync } from 'node:crypto';
import type { ByteStream } from '../core/bytes.ts';
import { JetbackupError } from '../core/errors.ts';
import { TAG_BYTES } from './age-header.ts';

/**
 * age's payload (https://c2sp.org/age, "Payload"): HKDF-SHA256 makes the payload key from the file key and a nonce; then STREAM:
 * chunks of 64 KiB under ChaCha20-Poly1305, whose nonces are an 11-byte counter and a byte that is 1 for the last chunk.
 * By node:crypto, because the age-encryption package does it in JavaScript at a small fraction of the speed (scripts/bench/crypto.ts).
 */
const CHUNK_BYTES = 64 * 1024;
const SEALED_CHUNK_BYTES = CHUNK_BYTES + TAG_BYTES;
const algorithm = 'chacha20-poly1305';

/** Chunks that leave in one buffer when sealing, so that the stages behind (hashes, upload) are not entered for each. */
const CHUNKS_PER_BUFFER = 8;

export function payloadKey(fileKey: Uint8Array, nonce: Uint8Array): Buffer {
  return Buffer.from(hkdfSync('sha256', fileKey, nonce, 'payload', 32));
}

/** The twelve-byte nonces of STREAM, in order. */
function chunkNonces(): { readonly index: number; next(last: boolean): Buffer } {
  const nonce = Buffer.alloc(12);
  let index = 0;
  return {
    get index() {
      return index;
    },
    next(last) {
      nonce.writeUIntBE(index, 5, 6); // 2^48 chunks are 16 EiB
      nonce[11] = last ? 1 : 0;
      index += 1;
      return nonce;
    },
  };
}

/**
 * The stream in pieces of exactly `size` bytes, each with whether it is the last one: a full piece is given out only once a byte
 * after it is seen. The last piece may be shorter, and is empty for an empty stream. A piece is valid until the next is asked for.
 */
async function* pieces(stream: ByteStream, size: number): AsyncGenerator<{ piece: Uint8Array; last: boolean }, void, undefined> {
  const held = Buffer.allocUnsafeSlow(size);
  let filled = 0;
  for await (const chunk of stream) {
    let rest = chunk;
    while (rest.byteLength > 0) {
      if (filled === size) {
        yield { piece: held, last: false };
        filled = 0;
      }
      if (filled === 0 && rest.byteLength > size) {
        yield { piece: rest.subarray(0, size), last: false };
        rest = rest.subarray(size);
        continue;
      }
      const part = rest.subarray(0, size - filled);
      held.set(part, filled);
      filled += part.byteLength;
      rest = rest.subarray(part.byteLength);
    }
  }
  yield { piece: held.subarray(0, filled), last: true };
}

/** `head`, then the sealed payload. Nothing is given out before the plaintext was asked for, so that leaving early always releases it. */
export async function* sealPayload(head: Uint8Array, plain: ByteStream, key: Buffer): AsyncGenerator<Uint8Array, void, undefined> {
  const nonces = chunkNonces();
  let out = Buffer.allocUnsafeSlow(head.byteLength + CHUNKS_PER_BUFFER * SEALED_CHUNK_BYTES);
  out.set(head);
  let used = head.byteLength;
  for await (const { piece, last } of pieces(plain, CHUNK_BYTES)) {
    const cipher = createCipheriv(algorithm, key, nonces.next(last), { authTagLength: TAG_BYTES });
    // ChaCha20 is a stream cipher: update() gives all its bytes, final() only closes the tag.
    used += cipher.update(piece).copy(out, used);
    cipher.final();
    used += cipher.getAuthTag().copy(out, used);
    if (last || out.byteLength - used < SEALED_CHUNK_BYTES) {
      yield out.subarray(0, used);
      out = Buffer.allocUnsafeSlow(CHUNKS_PER_BUFFER * SEALED_CHUNK_BYTES);
      used = 0;
    }
  }
}

/** Gives out each chunk only after its tag was checked. Throws `damaged`. */
export async function* openPayload(sealed: ByteStream, key: Buffer): AsyncGenerator<Uint8Array, void, undefined> {
  const nonces = chunkNonces();
  for await (const { piece, last } of pieces(sealed, SEALED_CHUNK_BYTES)) {
    const index = nonces.index;
    const where = `chunk ${index} (byte ${index * CHUNK_BYTES} of the content)`;
    // Only an empty file has an empty chunk; any other one is a forgery that moves the end.
    const tooShort = piece.byteLength < TAG_BYTES || (piece.byteLength === TAG_BYTES && index > 0);
    if (tooShort) throw damage(`it ends early, in ${where}`);
    const nonce = nonces.next(last);
    const plain = openChunk(piece, key, nonce);
    if (plain !== undefined) {
      if (plain.byteLength > 0) yield plain;
      continue;
    }
    // The chunk may itself be whole and only the end in the wrong place: then it is authentic, and the error says what happened.
    nonce[11] = last ? 0 : 1;
    const whole = piece.byteLength === SEALED_CHUNK_BYTES ? openChunk(piece, key, nonce) : undefined;
    if (whole === undefined) throw damage(`${where} was changed${last ? ', or cut off' : ''}`);
    yield whole;
    throw damage(last ? `it ends early, after ${where}` : `something was added after its end, ${where}`);
  }
}

/** The chunk's plaintext, or undefined when its tag does not hold. */
function openChunk(piece: Uint8Array, key: Buffer, nonce: Buffer): Buffer | undefined {
  const end = piece.byteLength - TAG_BYTES;
  const decipher = createDecipheriv(algorithm, key, nonce, { authTagLength: TAG_BYTES });
  decipher.setAuthTag(piece.subarray(end));
  const plain = decipher.update(piece.subarray(0, end));
  try {
    decipher.final();
  } catch {
    return undefined;
  }
  return plain;
}

function damage(what: string): JetbackupError {
  return new JetbackupError('damaged', `the encrypted data is damaged: ${what}`);
}
