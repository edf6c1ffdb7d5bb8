import { Decrypter, Encrypter, type Stanza } from 'age-encryption';
import { collect } from '../core/bytes.ts';
import { JetbackupError, messageOf } from '../core/errors.ts';
import type { Identity } from './identities.ts';
import { ageRecipient } from './recipients.ts';

/** The first line of every age file (https://c2sp.org/age). */
export const VERSION_LINE = 'age-encryption.org/v1\n';

/**
 * Bytes of header that are read at most. An X25519 recipient takes about 100 bytes and a hybrid one about 1,600, so this is
 * far more recipients than anyone has, and little enough that a hostile stream can neither fill memory nor keep the CPU busy.
 */
export const HEADER_MAX_BYTES = 256 * 1024;

/** age's constants: bytes of the payload's nonce, and of a Poly1305 tag. */
export const NONCE_BYTES = 16;
export const TAG_BYTES = 16;

/** A new file key, and the header that gives it to the recipients. The caller clears the key once the payload key is derived. */
export async function makeHeader(recipients: readonly string[]): Promise<{ header: Uint8Array; fileKey: Uint8Array }> {
  const encrypter = new Encrypter();
  for (const recipient of recipients) encrypter.addRecipient(ageRecipient(recipient));
  let fileKey: Uint8Array | undefined;
  // A recipient that adds nothing to the header: it only learns the key that the package has drawn.
  encrypter.addRecipient({
    wrapFileKey(key) {
      fileKey = key;
      return [];
    },
  });
  // Of bytes it would make a Response, and for that Node.js loads what fetches pages: 25 ms of every backup's start.
  const emptyFile = await collect(await encrypter.encrypt(new Blob().stream()), HEADER_MAX_BYTES);
  if (fileKey === undefined) throw new TypeError('every recipient is given the file key');
  // An empty file is its header, the nonce and the tag of one empty chunk.
  return { header: emptyFile.subarray(0, emptyFile.byteLength - NONCE_BYTES - TAG_BYTES), fileKey };
}

/**
 * Where the header at the start of `bytes` ends (the offset of the first byte after it), or undefined when it goes on.
 * Throws `damaged` as soon as this cannot be an age file.
 */
export function endOfHeader(bytes: Buffer): number | undefined {
  const version = bytes.toString('latin1', 0, Math.min(bytes.byteLength, VERSION_LINE.length));
  if (!VERSION_LINE.startsWith(version)) {
    const armored = '-----BEGIN AGE'.startsWith(version.slice(0, 14)) || version.startsWith('-----BEGIN AGE');
    throw new JetbackupError('damaged', armored ? 'this age file is armored (text); a backup is binary' : 'this is not an age file');
  }
  // Only the last line of a header begins so: dashes are not in base64, and a stanza begins with "->".
  const lastLine = bytes.indexOf('\n--- ', 0, 'latin1');
  const newline = lastLine === -1 ? -1 : bytes.indexOf('\n', lastLine + 1, 'latin1');
  if (newline !== -1 && newline < HEADER_MAX_BYTES) return newline + 1;
  if (bytes.byteLength >= HEADER_MAX_BYTES) throw new JetbackupError('damaged', `the age header is longer than ${HEADER_MAX_BYTES} bytes`);
  return undefined;
}

/**
 * The file key out of a complete header, checked against the header's MAC.
 * Throws `key-wrong` (no identity matches) and `damaged` (syntax, a broken stanza, the MAC).
 */
export async function openHeader(header: Uint8Array, identities: readonly Identity[]): Promise<Uint8Array> {
  const decrypter = new Decrypter();
  let stanzas: readonly Stanza[] | undefined;
  let noneMatched = false;
  // Identities are asked in turn until one matches: the first of these two sees the parsed header, the last one that nobody did.
  decrypter.addIdentity({
    unwrapFileKey(parsed) {
      stanzas = parsed;
      return null;
    },
  });
  for (const identity of identities) identity.addTo(decrypter);
  decrypter.addIdentity({
    unwrapFileKey() {
      noneMatched = true;
      return null;
    },
  });
  try {
    return await decrypter.decryptHeader(header);
  } catch (cause) {
    if (stanzas !== undefined && noneMatched) throw await noMatch(stanzas, identities, cause);
    throw new JetbackupError('damaged', `the age header is damaged: ${messageOf(cause)}`, { cause });
  }
}

const kinds: Readonly<Record<string, string>> = {
  X25519: 'age1…',
  mlkem768x25519: 'age1pq1…',
  scrypt: 'a passphrase',
  'ssh-ed25519': 'ssh-ed25519 …',
  'ssh-rsa': 'ssh-rsa …',
};

async function noMatch(stanzas: readonly Stanza[], identities: readonly Identity[], cause: unknown): Promise<JetbackupError> {
  const known = stanzas.flatMap((stanza) => kinds[stanza.args[0] ?? ''] ?? []);
  const to = `${known.length} ${known.length === 1 ? 'recipient' : 'recipients'} (${known.length === 0 ? 'none of a known kind' : known.join(', ')})`;
  if (known.includes('a passphrase') && identities.some((identity) => identity.kind === 'passphrase')) {
    return new JetbackupError('key-wrong', 'the passphrase is wrong', { cause });
  }
  const given = (await Promise.all(identities.map((identity) => identity.recipient()))).map((recipient) => recipient ?? 'a passphrase');
  return new JetbackupError('key-wrong', `no identity given opens this: it is encrypted to ${to}`, {
    hint: `Given: ${given.length === 0 ? 'none' : given.join(', ')}. Pass the identity file of one of the recipients in the backup's manifest (jetbackup show ID): encryption.identityFile, or JETBACKUP_IDENTITY_FILE.`,
    cause,
  });
}
