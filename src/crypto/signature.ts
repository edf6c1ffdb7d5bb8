import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign as signBytes,
  verify as verifyBytes,
} from 'node:crypto';
import { sha256Hex } from '../core/bytes.ts';
import { JetbackupError, messageOf } from '../core/errors.ts';
import { canonicalBytes, encodeManifest, type Manifest, parseManifest, type Signature, type UnsignedManifest } from '../core/manifest.ts';

/** An Ed25519 public key (RFC 8032) that manifests may be signed with. */
export interface PublicKey {
  /** `ed25519:` and the base64 of its 32 bytes: what stands in the configuration. */
  readonly text: string;
  /** First 16 hex digits of the SHA-256 of its 32 bytes. */
  readonly keyId: string;
  readonly key: KeyObject;
}

/** What signs manifests. Node's KeyObject shows nothing of the secret, neither as JSON nor when inspected. */
export interface SigningKey {
  readonly publicKey: PublicKey;
  readonly key: KeyObject;
}

const textPrefix = 'ed25519:';
const PUBLIC_KEY_BYTES = 32;

/** A new key pair: the private key as PKCS #8 PEM (keep it at mode 0600), and the text of its public key. */
export function generateSigningKey(): { readonly privatePem: string; readonly publicKey: string } {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  return { privatePem: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(), publicKey: publicKeyOf(publicKey).text };
}

/** Reads a private key in PEM. `where` names it in errors. Throws `key-wrong`; no error shows any of the content. */
export function loadSigningKey(pem: string, where: string): SigningKey {
  let key: KeyObject;
  try {
    key = createPrivateKey(pem);
  } catch {
    const encrypted = /ENCRYPTED PRIVATE KEY/.test(pem);
    throw new JetbackupError('key-wrong', `${where} ${encrypted ? 'is protected by a passphrase' : 'is not a private key in PEM'}`, {
      hint: encrypted
        ? `Backups run unattended; write it without one: openssl pkey -in ${where} -out NEW`
        : 'It begins with "-----BEGIN PRIVATE KEY-----"; `jetbackup init` makes one, and so does: openssl genpkey -algorithm ed25519',
    });
  }
  if (key.asymmetricKeyType !== 'ed25519') {
    throw new JetbackupError('key-wrong', `${where} is a key for ${key.asymmetricKeyType}, and manifests are signed with ed25519`, {
      hint: 'Make one: openssl genpkey -algorithm ed25519',
    });
  }
  return { publicKey: publicKeyOf(createPublicKey(key)), key };
}

/** Reads the text of a public key, `ed25519:…`. `where` names it in errors. Throws `key-wrong`. */
export function parsePublicKey(text: string, where: string): PublicKey {
  const problem = validatePublicKey(text);
  if (problem !== undefined) {
    throw new JetbackupError('key-wrong', `${where}: ${problem}`, {
      hint: '`jetbackup init` printed the public key; it begins with "ed25519:".',
    });
  }
  const x = Buffer.from(text.slice(textPrefix.length), 'base64').toString('base64url');
  return publicKeyOf(createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' }));
}

/** What is wrong with the text of a public key, or undefined. */
export function validatePublicKey(text: string): string | undefined {
  if (text.includes('PRIVATE KEY')) return 'this is a private key; give the public one, ed25519:…';
  if (!text.startsWith(textPrefix)) return 'a public key for signatures begins with "ed25519:"';
  const encoded = text.slice(textPrefix.length);
  const raw = Buffer.from(encoded, 'base64');
  if (raw.byteLength !== PUBLIC_KEY_BYTES || raw.toString('base64') !== encoded) return 'after "ed25519:" come 44 characters of base64';
  return undefined;
}

/** The public key as PEM, for `openssl pkeyutl -verify -pubin -rawin`. */
export function publicKeyPem(publicKey: PublicKey): string {
  return publicKey.key.export({ type: 'spki', format: 'pem' }).toString();
}

/**
 * Signs a manifest. What it returns is known to hold when it is read back: a manifest with a value that its stored form loses or
 * refuses throws here, while the backup can still fail, and not on the day of the restore.
 */
export function sign(manifest: UnsignedManifest, key: SigningKey): Manifest {
  const signed: Manifest = { ...manifest, signature: signatureOf(manifest, key) };
  try {
    verify(parseManifest(encodeManifest(signed), 'the new manifest'), [key.publicKey]);
  } catch (cause) {
    throw new JetbackupError('bug', `the manifest of ${manifest.id} would not hold when it is read back: ${messageOf(cause)}`, { cause });
  }
  return signed;
}

/** Signs what an operator decided. */
export function signDocument<T extends object>(document: T, key: SigningKey): T & { readonly signature: Signature } {
  return { ...document, signature: signatureOf(document, key) };
}

function signatureOf(document: object, { key, publicKey }: SigningKey): Signature {
  return { algorithm: 'ed25519', keyId: publicKey.keyId, value: signBytes(null, canonicalBytes(document), key).toString('base64') };
}

/** Returns only when one of `publicKeys` signed exactly this manifest; else throws `not-authentic`. */
export function verify(manifest: Manifest, publicKeys: readonly PublicKey[]): void {
  verifyDocument(manifest, `the manifest of ${manifest.id}`, publicKeys);
}

/** Returns only when one of `publicKeys` signed exactly this document, which `what` names in errors; else throws `not-authentic`. */
export function verifyDocument(document: { readonly signature: Signature }, what: string, publicKeys: readonly PublicKey[]): void {
  const { keyId, value } = document.signature;
  const publicKey = publicKeys.find((candidate) => candidate.keyId === keyId);
  if (publicKey === undefined) {
    const trusted = publicKeys.length === 0 ? 'none is' : `only ${publicKeys.map((candidate) => candidate.keyId).join(', ')} are`;
    throw new JetbackupError('not-authentic', `${what} is signed with key ${keyId}, which is not trusted here`, {
      hint: `Of the keys in signing.publicKey, ${trusted} trusted. If ${keyId} is an earlier key of yours, add its public key there; if not, somebody else wrote this backup: do not restore it.`,
    });
  }
  let signed: Uint8Array;
  try {
    signed = canonicalBytes(document);
  } catch (cause) {
    // JCS has no form for a lone surrogate, so nothing that holds one was ever signed.
    throw new JetbackupError('not-authentic', `${what} has no canonical form, so it was never signed`, { cause });
  }
  if (!verifyBytes(null, signed, publicKey.key, Buffer.from(value, 'base64'))) {
    throw new JetbackupError('not-authentic', `the signature of ${what} does not hold: it was changed after it was signed`, {
      hint: 'Do not restore from it. Take another backup (jetbackup list), and find out who can write to the repository.',
    });
  }
}

/** Whether this key signed exactly this document, whichever key it names. Does not throw. */
export function isSignedBy(document: { readonly signature: Signature }, { key }: PublicKey): boolean {
  try {
    return verifyBytes(null, canonicalBytes(document), key, Buffer.from(document.signature.value, 'base64'));
  } catch {
    return false;
  }
}

function publicKeyOf(key: KeyObject): PublicKey {
  const raw = Buffer.from(key.export({ format: 'jwk' }).x ?? '', 'base64url');
  if (raw.byteLength !== PUBLIC_KEY_BYTES) throw new TypeError('an Ed25519 public key has 32 bytes');
  return { text: textPrefix + raw.toString('base64'), keyId: sha256Hex(raw).slice(0, 16), key };
}
