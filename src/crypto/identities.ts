import { Decrypter as AgeDecrypter, armor, type Decrypter, generateX25519Identity, identityToRecipient } from 'age-encryption';
import { JetbackupError } from '../core/errors.ts';
import { parseSshIdentity } from './ssh.ts';

/** A secret that opens backups. Opaque on purpose: neither JSON nor an inspection of it shows the secret. */
export interface Identity {
  readonly kind: 'key' | 'passphrase';
  /** Its public key, for messages and for the escrow check; undefined for a passphrase. */
  recipient(): Promise<string | undefined>;
  addTo(decrypter: Decrypter): void;
}

/** An identity file larger than this is not one. */
export const IDENTITY_FILE_MAX_BYTES = 1024 * 1024;

const armorBegin = '-----BEGIN AGE ENCRYPTED FILE-----';
const binaryBegin = 'age-encryption.org/';

/**
 * Makes a key pair: the identity (`AGE-SECRET-KEY-1…`, keep it off the backup host) and its recipient (`age1…`).
 */
export async function generateIdentity(): Promise<{ readonly identity: string; readonly recipient: string }> {
  const identity = await generateX25519Identity();
  return { identity, recipient: await identityToRecipient(identity) };
}

/** The recipient that belongs to the text of an identity. Throws `key-wrong`. */
export async function recipientOf(identity: string): Promise<string> {
  const recipient = await keyIdentity(identity, 'the identity').recipient();
  if (recipient === undefined) throw new TypeError('a key has a recipient');
  return recipient;
}

/** Opens what was encrypted with `age --passphrase`. */
export function passphraseIdentity(passphrase: string): Identity {
  return {
    kind: 'passphrase',
    recipient: async () => undefined,
    addTo: (decrypter) => decrypter.addPassphrase(passphrase),
  };
}

/**
 * Reads the text of an identity file: one identity a line, with comments (`#`) and empty lines; or an OpenSSH private key
 * (Ed25519, without a passphrase). `where` names it in errors.
 * Throws `key-wrong`; no error shows a line's content.
 */
export function parseIdentities(text: string, where: string): Identity[] {
  if (text.trimStart().startsWith('-----BEGIN')) return [sshIdentity(text, where)];
  const identities: Identity[] = [];
  for (const [index, raw] of text.split(/\r?\n/).entries()) {
    const line = raw.trim();
    if (line === '' || line.startsWith('#')) continue;
    identities.push(keyIdentity(line, `line ${index + 1} of ${where}`));
  }
  if (identities.length === 0) {
    throw new JetbackupError('key-wrong', `${where} holds no identity`, {
      hint: 'An identity file has a line that begins with AGE-SECRET-KEY-1; `age-keygen` and `jetbackup init` make one.',
    });
  }
  return identities;
}

/** Whether the content of an identity file is itself encrypted (`age --passphrase`, with or without `--armor`). */
export function isEncryptedIdentityFile(content: Uint8Array): boolean {
  const head = Buffer.from(content.subarray(0, 256)).toString('latin1').trimStart();
  return head.startsWith(armorBegin) || head.startsWith(binaryBegin);
}

/**
 * Reads an identity file, which may be encrypted with a passphrase; `passphrase` is asked only then.
 * Throws `key-missing` (encrypted, and no passphrase can be had) and `key-wrong` (not an identity file, or a wrong passphrase).
 */
export async function openIdentityFile(content: Uint8Array, where: string, passphrase?: () => Promise<string>): Promise<Identity[]> {
  if (content.byteLength > IDENTITY_FILE_MAX_BYTES) throw new JetbackupError('key-wrong', `${where} is too large to be an identity file`);
  if (!isEncryptedIdentityFile(content)) return parseIdentities(Buffer.from(content).toString('utf8'), where);
  if (passphrase === undefined) {
    throw new JetbackupError('key-missing', `${where} is protected by a passphrase, and none was given`, {
      hint: `Run at a terminal to be asked for it, or make an unprotected copy where this runs unattended: age -d ${where}`,
    });
  }
  const secret = await passphrase();
  let reachedPassphrase = false;
  let tried = false;
  const decrypter = new AgeDecrypter();
  decrypter.addIdentity({
    unwrapFileKey(stanzas) {
      reachedPassphrase = stanzas.length === 1 && stanzas[0]?.args[0] === 'scrypt';
      return null;
    },
  });
  decrypter.addPassphrase(secret);
  decrypter.addIdentity({
    unwrapFileKey() {
      tried = true;
      return null;
    },
  });
  let text: string;
  try {
    text = await decrypter.decrypt(dearmor(content), 'text');
  } catch (cause) {
    if (reachedPassphrase && tried) throw new JetbackupError('key-wrong', `the passphrase does not open ${where}`, { cause });
    if (tried) {
      throw new JetbackupError('key-wrong', `${where} is encrypted to keys, not to a passphrase`, {
        hint: 'Decrypt it with the `age` program first, and give the result.',
        cause,
      });
    }
    throw new JetbackupError('key-wrong', `${where} is a damaged age file`, { cause });
  }
  return parseIdentities(text, where);
}

/** The binary age file in what may be its armored form (PEM). Throws the package's error when the armor does not hold. */
export function dearmor(content: Uint8Array): Uint8Array {
  const text = Buffer.from(content).toString('latin1');
  return text.trimStart().startsWith(armorBegin) ? armor.decode(text) : content;
}

function keyIdentity(text: string, where: string): Identity {
  const key = text.trim();
  try {
    new AgeDecrypter().addIdentity(key);
  } catch {
    // The package's own message repeats the text, which is a secret with perhaps one letter wrong: no cause, no quote.
    throw new JetbackupError('key-wrong', `${where} is not a valid identity`, { hint: hintFor(key) });
  }
  return {
    kind: 'key',
    recipient: () => identityToRecipient(key),
    addTo: (decrypter) => decrypter.addIdentity(key),
  };
}

function sshIdentity(pem: string, where: string): Identity {
  const parsed = parseSshIdentity(pem);
  if (typeof parsed !== 'string') {
    return { kind: 'key', recipient: async () => parsed.recipient, addTo: (decrypter) => decrypter.addIdentity(parsed.identity) };
  }
  if (parsed === 'encrypted') {
    throw new JetbackupError('key-wrong', `${where} is an SSH key with a passphrase, which is not supported`, {
      hint: 'Make a copy without one (ssh-keygen -p -N "" -f COPY), or decrypt with the `age` program.',
    });
  }
  throw new JetbackupError('key-wrong', `${where} is not an SSH key of type ed25519`, {
    hint: 'SSH keys of other types are not supported; an age identity begins with AGE-SECRET-KEY-1.',
  });
}

function hintFor(text: string): string {
  if (text.startsWith('age1')) return 'This is a recipient (a public key); what opens backups is its identity, AGE-SECRET-KEY-1….';
  if (text.startsWith('AGE-PLUGIN-')) return 'Identities of age plugins are not supported; decrypt with the `age` program.';
  return 'An identity is one line that begins with AGE-SECRET-KEY-1 or AGE-SECRET-KEY-PQ-1; a letter is wrong or missing.';
}
