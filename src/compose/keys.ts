import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import type { Config, KeySource } from '../config/config.ts';
import { JetbackupError, messageOf } from '../core/errors.ts';
import { type Identity, openIdentityFile, parseIdentities, passphraseIdentity } from '../crypto/identities.ts';
import { loadSigningKey, type PublicKey, parsePublicKey, type SigningKey } from '../crypto/signature.ts';

/* The keys of a configuration: read when a command needs them, and missed with what to set. */

const RECIPIENTS_HINT = 'Set encryption.recipients (or JETBACKUP_RECIPIENTS) to one or more public keys, age1….';

export function recipientsOf(config: Config): readonly string[] {
  if (config.recipients.length > 0) return config.recipients;
  throw new JetbackupError('key-missing', 'there is no recipient to encrypt the backup to', { hint: RECIPIENTS_HINT });
}

async function readKey(source: KeySource, what: string): Promise<{ content: Buffer; where: string }> {
  if (source.kind === 'value') return { content: Buffer.from(source.value.reveal(), 'utf8'), where: source.variable };
  try {
    return { content: await readFile(source.path), where: source.path };
  } catch (cause) {
    throw unreadable(what, source.path, cause);
  }
}

function unreadable(what: string, path: string, cause: unknown): JetbackupError {
  return new JetbackupError('key-missing', `the ${what} cannot be read: ${messageOf(cause)}`, {
    cause,
    hint: `Bring the file to ${path} (from escrow, if it is lost here), readable by this user alone: chmod 600.`,
  });
}

const SIGNING_KEY_HINT =
  'Set signing.keyFile (or JETBACKUP_SIGNING_KEY_FILE, or JETBACKUP_SIGNING_KEY) to the key that `jetbackup init` made.';
const PUBLIC_KEY_HINT = 'Set signing.publicKey (or JETBACKUP_SIGNING_PUBLIC_KEY) to the ed25519:… that `jetbackup init` printed.';
const IDENTITY_HINT =
  'Set encryption.identityFile (or JETBACKUP_IDENTITY_FILE, or JETBACKUP_IDENTITY) to the identity, AGE-SECRET-KEY-1…; it should be in escrow.';

export async function signingKeyOf(config: Config, what: string): Promise<SigningKey> {
  if (config.signingKey === undefined) {
    throw new JetbackupError('key-missing', `there is no key to sign ${what} with`, { hint: SIGNING_KEY_HINT });
  }
  const { content, where } = await readKey(config.signingKey, 'signing key');
  return loadSigningKey(content.toString('utf8'), where);
}

/** The trusted public keys; a host that signs trusts at least itself. Empty on a host that has neither. */
export function publicKeysOf(config: Config): PublicKey[] {
  if (config.publicKeys.length > 0) return config.publicKeys.map((text) => parsePublicKey(text, 'signing.publicKey'));
  const { signingKey } = config;
  if (signingKey === undefined) return [];
  if (signingKey.kind === 'value') return [loadSigningKey(signingKey.value.reveal(), signingKey.variable).publicKey];
  try {
    return [loadSigningKey(readFileSync(signingKey.path, 'utf8'), signingKey.path).publicKey];
  } catch (error) {
    throw error instanceof JetbackupError ? error : unreadable('signing key', signingKey.path, error);
  }
}

export function requiredPublicKeys(config: Config): PublicKey[] {
  const keys = publicKeysOf(config);
  if (keys.length > 0) return keys;
  throw new JetbackupError('key-missing', 'there is no public key to check backups against, and none is used unchecked', {
    hint: PUBLIC_KEY_HINT,
  });
}

export async function identitiesOf(config: Config, ask: (() => Promise<string>) | undefined): Promise<Identity[]> {
  const { identity, passphrase } = config;
  if (identity === undefined) {
    if (passphrase !== undefined) return [passphraseIdentity(passphrase.reveal())];
    throw new JetbackupError('key-missing', 'there is no identity to open backups with', { hint: IDENTITY_HINT });
  }
  const { content, where } = await readKey(identity, 'identity');
  if (identity.kind === 'value') return parseIdentities(content.toString('utf8'), where);
  const given = passphrase === undefined ? ask : async () => passphrase.reveal();
  return await openIdentityFile(content, where, given);
}
