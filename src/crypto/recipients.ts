import { Encrypter, type Recipient } from 'age-encryption';
import { parseSshRecipient } from './ssh.ts';

const hybridPrefix = 'age1pq1';

/**
 * What is wrong with the text of a recipient, or undefined when it is a good one: `age1…` (X25519), `age1pq1…` (post-quantum
 * hybrid) or `ssh-ed25519 …`. The text itself is repeated only where it cannot be a secret.
 */
export function validateRecipient(text: string): string | undefined {
  if (/^AGE-SECRET-KEY-/i.test(text)) {
    return 'this is an identity (a secret key), not a recipient; the recipient is what `age-keygen -y` prints for it';
  }
  if (text.startsWith('ssh-')) {
    if (parseSshRecipient(text) !== undefined) return undefined;
    return 'of SSH keys only whole ssh-ed25519 ones are supported; make an age key with `jetbackup init` or `age-keygen`';
  }
  if (!text.startsWith('age1')) return 'a recipient begins with "age1" or "ssh-ed25519"';
  // Bech32's data part never holds a "1", so a second one shows the name of a plugin or of another kind of key.
  if (!text.startsWith(hybridPrefix) && text.lastIndexOf('1') > 3) {
    return `recipients of age plugins (${text.slice(0, text.lastIndexOf('1') + 1)}…) are not supported: no restore here could open what is encrypted to them`;
  }
  try {
    new Encrypter().addRecipient(text);
    return undefined;
  } catch {
    return 'not a valid recipient: a letter is wrong or missing; copy it again';
  }
}

/**
 * What is wrong with a set of recipients taken together, or undefined. The age specification forbids the mixture of
 * post-quantum and classical recipients: the file would only be as strong as the weaker one, and `age` refuses to make it.
 */
export function validateRecipients(recipients: readonly string[]): string | undefined {
  if (recipients.length === 0) return 'there is no recipient to encrypt to';
  for (const recipient of recipients) {
    const problem = validateRecipient(recipient);
    if (problem !== undefined) return problem;
  }
  const hybrid = recipients.filter((recipient) => recipient.startsWith(hybridPrefix)).length;
  if (hybrid !== 0 && hybrid !== recipients.length) {
    return 'post-quantum recipients (age1pq1…) and others (age1…) cannot be mixed: the others would undo the protection';
  }
  return undefined;
}

/** What age's Encrypter takes for a valid recipient. */
export function ageRecipient(text: string): string | Recipient {
  return parseSshRecipient(text)?.recipient ?? text;
}
