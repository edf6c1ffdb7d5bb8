import { randomBytes } from 'node:crypto';
import type { ByteStream } from '../core/bytes.ts';
import { JetbackupError } from '../core/errors.ts';
import { endOfHeader, makeHeader, NONCE_BYTES, openHeader } from './age-header.ts';
import { openPayload, payloadKey, sealPayload } from './age-payload.ts';
import type { Identity } from './identities.ts';
import { validateRecipients } from './recipients.ts';
import type { Opener, Sealer } from './sealer.ts';
import { parseSshRecipient } from './ssh.ts';

/** Seals in age's format, so that anyone with an identity opens it with the `age` program. Throws `config-invalid` on a bad recipient. */
export function createSealer(recipients: readonly string[]): Sealer {
  // An SSH key's comment says nothing to age, and does not make it another key.
  const unique = [...new Set(recipients.map((recipient) => parseSshRecipient(recipient)?.text ?? recipient))];
  const problem = validateRecipients(unique);
  if (problem !== undefined) {
    throw new JetbackupError('config-invalid', `cannot encrypt: ${problem}`, {
      hint: 'Give encryption.recipients (or JETBACKUP_RECIPIENTS) as one or more public keys, age1….',
    });
  }
  return {
    recipients: unique,
    async *seal(plain) {
      const { header, fileKey } = await makeHeader(unique);
      const nonce = randomBytes(NONCE_BYTES);
      const key = payloadKey(fileKey, nonce);
      fileKey.fill(0);
      try {
        yield* sealPayload(Buffer.concat([header, nonce]), plain, key);
      } finally {
        key.fill(0);
      }
    },
  };
}

/** Opens binary age files of any origin. Throws `key-missing` when there is no identity at all. */
export function createOpener(identities: readonly Identity[]): Opener {
  if (identities.length === 0) {
    throw new JetbackupError('key-missing', 'there is no identity to decrypt with', {
      hint: 'Set encryption.identityFile (or JETBACKUP_IDENTITY_FILE) to the file with the line AGE-SECRET-KEY-1….',
    });
  }
  return {
    async *open(sealed) {
      const source = sealed[Symbol.asyncIterator]();
      try {
        const { header, nonce, rest } = await readHead(source);
        const fileKey = await openHeader(header, identities);
        const key = payloadKey(fileKey, nonce);
        fileKey.fill(0);
        try {
          yield* openPayload(resume(rest, source), key);
        } finally {
          key.fill(0);
        }
      } finally {
        await source.return?.();
      }
    },
  };
}

async function readHead(source: AsyncIterator<Uint8Array>): Promise<{ header: Buffer; nonce: Buffer; rest: Buffer }> {
  let head = Buffer.alloc(0);
  for (;;) {
    const end = endOfHeader(head);
    if (end !== undefined && head.byteLength >= end + NONCE_BYTES) {
      return { header: head.subarray(0, end), nonce: head.subarray(end, end + NONCE_BYTES), rest: head.subarray(end + NONCE_BYTES) };
    }
    const step = await source.next();
    if (step.done === true) {
      throw new JetbackupError('damaged', head.byteLength === 0 ? 'the encrypted file is empty' : 'the age header ends early');
    }
    head = Buffer.concat([head, step.value]);
  }
}

async function* resume(first: Uint8Array, source: AsyncIterator<Uint8Array>): ByteStream {
  if (first.byteLength > 0) yield first;
  for (;;) {
    const step = await source.next();
    if (step.done === true) return;
    yield step.value;
  }
}
