import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  hkdfSync,
  randomBytes,
} from 'node:crypto';
import { type Identity as AgeIdentity, type Recipient as AgeRecipient, Stanza } from 'age-encryption';

/**
 * age's ssh-ed25519 recipients, as the `age` program defines them: the Ed25519 key is used as an X25519 key (the same curve in
 * another form), tweaked by the SSH key's encoding, so that an `~/.ssh/id_ed25519` opens files that were sealed to it.
 */
const label = 'age-encryption.org/v1/ssh-ed25519';
const keyType = 'ssh-ed25519';
const KEY_BYTES = 32;

/** An SSH public key: its 32 bytes, and its encoding on the wire, which names it. */
interface SshKey {
  readonly point: Buffer;
  readonly wire: Buffer;
}

/** Reads `ssh-ed25519 AAAA… comment`; undefined when it is not one. */
export function parseSshRecipient(text: string): { readonly text: string; readonly recipient: AgeRecipient } | undefined {
  const [type, encoded = ''] = text.trim().split(/\s+/);
  const wire = Buffer.from(encoded, 'base64');
  if (type !== keyType || wire.toString('base64') !== encoded) return undefined;
  const fields = readFields(wire);
  const point = fields?.[1];
  if (fields?.length !== 2 || fields[0]?.toString() !== keyType || point?.byteLength !== KEY_BYTES) return undefined;
  const key = { point, wire };
  try {
    montgomery(point);
  } catch {
    return undefined;
  }
  return { text: sshText(key), recipient: { wrapFileKey: (fileKey) => [wrap(fileKey, key)] } };
}

/**
 * Reads an OpenSSH private key file (`-----BEGIN OPENSSH PRIVATE KEY-----`) that holds an Ed25519 key.
 * `encrypted`: it has a passphrase; `unsupported`: it is another kind of key, or damaged.
 */
export function parseSshIdentity(
  pem: string,
): { readonly recipient: string; readonly identity: AgeIdentity } | 'encrypted' | 'unsupported' {
  const body = /-----BEGIN OPENSSH PRIVATE KEY-----([A-Za-z0-9+/=\s]+)-----END OPENSSH PRIVATE KEY-----/.exec(pem)?.[1];
  const bytes = Buffer.from(body ?? '', 'base64');
  const magic = 'openssh-key-v1\0';
  if (bytes.toString('latin1', 0, magic.length) !== magic) return 'unsupported';
  // PROTOCOL.key of OpenSSH: cipher, kdf, its options, the number of keys, the public key, the private part.
  const head = readFields(bytes.subarray(magic.length), 3);
  if (head === undefined) return 'unsupported';
  if (head[0]?.toString() !== 'none') return 'encrypted';
  const afterHead = bytes.subarray(magic.length + head.reduce((sum, field) => sum + 4 + field.byteLength, 0));
  if (afterHead.byteLength < 4 || afterHead.readUInt32BE(0) !== 1) return 'unsupported';
  const [wire, secret] = readFields(afterHead.subarray(4), 2) ?? [];
  if (wire === undefined || secret === undefined || secret.byteLength < 8) return 'unsupported';
  // Two equal check numbers, then type, public key, seed and public key again.
  const [type, point, pair] = readFields(secret.subarray(8), 3) ?? [];
  const sound =
    secret.readUInt32BE(0) === secret.readUInt32BE(4) &&
    type?.toString() === keyType &&
    point?.byteLength === KEY_BYTES &&
    pair?.byteLength === 64;
  if (!sound || !wire.equals(sshWire(point))) return 'unsupported';
  const scalar = createHash('sha512').update(pair.subarray(0, KEY_BYTES)).digest().subarray(0, KEY_BYTES);
  const key = { point, wire };
  if (!publicOf(scalar).equals(montgomery(point))) return 'unsupported';
  return { recipient: sshText(key), identity: { unwrapFileKey: (stanzas) => unwrap(stanzas, key, scalar) } };
}

function wrap(fileKey: Uint8Array, key: SshKey): Stanza {
  const theirs = montgomery(key.point);
  const ephemeral = randomBytes(KEY_BYTES);
  const share = publicOf(ephemeral);
  const wrapping = wrappingKey(multiply(ephemeral, theirs), share, theirs, key);
  const cipher = createCipheriv('chacha20-poly1305', wrapping, Buffer.alloc(12), { authTagLength: 16 });
  const body = Buffer.concat([cipher.update(fileKey), cipher.final(), cipher.getAuthTag()]);
  return new Stanza([keyType, tagOf(key), unpadded(share)], body);
}

function unwrap(stanzas: readonly Stanza[], key: SshKey, scalar: Buffer): Uint8Array | null {
  for (const { args, body } of stanzas) {
    if (args[0] !== keyType) continue;
    const share = Buffer.from(args[2] ?? '', 'base64');
    // The package throws on a malformed stanza of a known kind, and so does this.
    if (args.length !== 3 || share.byteLength !== KEY_BYTES || unpadded(share) !== args[2] || body.byteLength !== 32) {
      throw new Error('invalid ssh-ed25519 stanza');
    }
    if (args[1] !== tagOf(key)) continue;
    const wrapping = wrappingKey(multiply(scalar, share), share, montgomery(key.point), key);
    const decipher = createDecipheriv('chacha20-poly1305', wrapping, Buffer.alloc(12), { authTagLength: 16 });
    decipher.setAuthTag(body.subarray(16));
    const fileKey = decipher.update(body.subarray(0, 16));
    try {
      decipher.final();
    } catch {
      continue; // a four-byte tag may name another key
    }
    return fileKey;
  }
  return null;
}

function wrappingKey(shared: Buffer, share: Buffer, theirs: Buffer, key: SshKey): Buffer {
  const tweak = Buffer.from(hkdfSync('sha256', Buffer.alloc(0), key.wire, label, KEY_BYTES));
  return Buffer.from(hkdfSync('sha256', multiply(tweak, shared), Buffer.concat([share, theirs]), label, KEY_BYTES));
}

const tagOf = (key: SshKey) => unpadded(createHash('sha256').update(key.wire).digest().subarray(0, 4));
const unpadded = (bytes: Buffer) => bytes.toString('base64').replace(/=+$/, '');
const sshText = (key: SshKey) => `${keyType} ${key.wire.toString('base64')}`;

/** SSH's encoding: each field after its length as four bytes. */
function readFields(bytes: Buffer, count = Number.POSITIVE_INFINITY): Buffer[] | undefined {
  const fields: Buffer[] = [];
  let at = 0;
  while (at < bytes.byteLength && fields.length < count) {
    if (at + 4 > bytes.byteLength) return undefined;
    const end = at + 4 + bytes.readUInt32BE(at);
    if (end > bytes.byteLength) return undefined;
    fields.push(bytes.subarray(at + 4, end));
    at = end;
  }
  return fields.length === count || count === Number.POSITIVE_INFINITY ? fields : undefined;
}

function sshWire(point: Buffer): Buffer {
  const field = (bytes: Buffer) => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.byteLength);
    return Buffer.concat([length, bytes]);
  };
  return Buffer.concat([field(Buffer.from(keyType)), field(point)]);
}

const prime = 2n ** 255n - 19n;

function power(base: bigint, exponent: bigint): bigint {
  let result = 1n;
  for (let square = base % prime, rest = exponent; rest > 0n; rest >>= 1n, square = (square * square) % prime) {
    if (rest & 1n) result = (result * square) % prime;
  }
  return result;
}

/** u = (1 + y) / (1 - y), RFC 7748 section 4.1. Public values only, so its time does not matter. */
function montgomery(point: Buffer): Buffer {
  const y = BigInt(`0x${Buffer.from(point).reverse().toString('hex')}`) & (2n ** 255n - 1n);
  if (y >= prime || y === 1n) throw new Error('not a point');
  const u = ((1n + y) * power(1n - y + prime, prime - 2n)) % prime;
  return Buffer.from(u.toString(16).padStart(64, '0'), 'hex').reverse();
}

const privateKeyOf = (scalar: Buffer) =>
  createPrivateKey({ key: Buffer.concat([Buffer.from('302e020100300506032b656e04220420', 'hex'), scalar]), format: 'der', type: 'pkcs8' });

function publicOf(scalar: Buffer): Buffer {
  return Buffer.from(createPublicKey(privateKeyOf(scalar)).export({ format: 'jwk' }).x ?? '', 'base64url');
}

/** X25519. Throws on a point of low order, as OpenSSL does. */
function multiply(scalar: Buffer, point: Buffer): Buffer {
  const publicKey = createPublicKey({ key: { kty: 'OKP', crv: 'X25519', x: point.toString('base64url') }, format: 'jwk' });
  return diffieHellman({ privateKey: privateKeyOf(scalar), publicKey });
}
