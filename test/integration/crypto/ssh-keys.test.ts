import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { inspect } from 'node:util';
import { afterAll, describe, expect, test } from 'vitest';
import { inPath } from '../../../scripts/prerequisites.ts';
import { bytesOf, collect, MiB } from '../../../src/core/bytes.ts';
import { createOpener, createSealer } from '../../../src/crypto/age.ts';
import { generateIdentity, parseIdentities } from '../../../src/crypto/identities.ts';
import { validateRecipient } from '../../../src/crypto/recipients.ts';
import { runProgram } from '../../support/stock-programs.ts';

const folder = await mkdtemp(path.join(tmpdir(), 'jetbackup-ssh-'));
afterAll(() => rm(folder, { recursive: true, force: true }));

const lacking = !(await inPath('ssh-keygen')) || !(await inPath('age'));

async function makeKey(name: string, ...args: string[]): Promise<{ file: string; secret: string; recipient: string }> {
  const file = path.join(folder, name);
  const { code, stderr } = await runProgram('ssh-keygen', ['-q', '-N', '', '-C', 'alice@example.com', '-f', file, ...args], '');
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return { file, secret: await readFile(file, 'utf8'), recipient: await readFile(`${file}.pub`, 'utf8') };
}

describe.skipIf(lacking)('an SSH key of type ed25519', () => {
  test('seals what the age program opens with it, and opens what age seals to it, for one key after the other', async () => {
    const plain = randomBytes(100_000);
    for (let number = 0; number < 10; number += 1) {
      const { file, secret, recipient } = await makeKey(`key${number}`, '-t', 'ed25519');
      const sealed = await collect(createSealer([recipient]).seal(bytesOf(plain)), MiB);
      expect(plain.equals((await runProgram('age', ['--decrypt', '--identity', file], sealed)).stdout)).toBe(true);

      const theirs = await runProgram('age', ['--recipients-file', `${file}.pub`], plain);
      const [identity] = parseIdentities(secret, file);
      expect(identity).toBeDefined();
      expect(plain.equals(await collect(createOpener(parseIdentities(secret, file)).open(bytesOf(theirs.stdout)), MiB))).toBe(true);
      expect(await identity?.recipient()).toBe(recipient.split(' ').slice(0, 2).join(' '));
    }
  });

  test('stands beside age keys, is one key whatever its comment, and does not open what is for others', async () => {
    const { secret, recipient } = await makeKey('beside', '-t', 'ed25519');
    const other = await makeKey('other', '-t', 'ed25519');
    const age = await generateIdentity();
    const sealer = createSealer([age.recipient, recipient, recipient.replace('alice', 'bob')]);
    expect(sealer.recipients).toEqual([age.recipient, recipient.split(' ').slice(0, 2).join(' ')]);
    const sealed = await collect(sealer.seal(bytesOf('rows')), MiB);
    for (const text of [secret, age.identity]) {
      expect(Buffer.from(await collect(createOpener(parseIdentities(text, 'key')).open(bytesOf(sealed)), MiB)).toString()).toBe('rows');
    }
    const stranger = createOpener(parseIdentities(other.secret, 'other'));
    await expect(collect(stranger.open(bytesOf(sealed)), MiB)).rejects.toMatchObject({ code: 'key-wrong' });
  });

  test('with a changed stanza opens nothing', async () => {
    const { secret, recipient } = await makeKey('changed', '-t', 'ed25519');
    const sealed = Buffer.from(await collect(createSealer([recipient]).seal(bytesOf('rows')), MiB));
    const opener = createOpener(parseIdentities(secret, 'key'));
    const end = sealed.indexOf('\n---');
    for (let at = sealed.indexOf('-> '); at < end; at += 1) {
      const changed = Buffer.from(sealed);
      changed.writeUInt8(changed.readUInt8(at) ^ 1, at);
      await expect(collect(opener.open(bytesOf(changed)), MiB), `byte ${at}`).rejects.toMatchObject({
        exitCode: expect.toBeOneOf([21, 22]),
      });
    }
  });

  test('cut or changed is refused, and shows nothing of itself', async () => {
    const { secret, recipient } = await makeKey('cut', '-t', 'ed25519');
    const lines = secret.trim().split('\n');
    const body = lines.slice(1, -1).join('');
    for (let length = 0; length < body.length; length += 8) {
      const pem = [lines[0], body.slice(0, length), lines.at(-1)].join('\n');
      let error: unknown;
      try {
        // What is cut off may be the comment and the padding only: then it is still the whole key.
        if ((await parseIdentities(pem, 'id')[0]?.recipient()) === recipient.split(' ').slice(0, 2).join(' ')) continue;
      } catch (caught) {
        error = caught;
      }
      expect(error, `cut at ${length}`).toMatchObject({ code: 'key-wrong' });
      if (length > 0) expect(inspect(error, { depth: 9 })).not.toContain(body.slice(0, length));
    }
    const encoded = recipient.split(' ')[1] ?? '';
    for (let length = 0; length < encoded.length; length += 1) {
      expect(validateRecipient(`ssh-ed25519 ${encoded.slice(0, length)}`)).toContain('whole ssh-ed25519');
    }
  });

  test('with a passphrase, and one of another type, are refused with what to do', async () => {
    const rsa = await makeKey('rsa', '-t', 'rsa', '-b', '2048');
    expect(validateRecipient(rsa.recipient)).toContain('ssh-ed25519');
    expect(() => parseIdentities(rsa.secret, 'id_rsa')).toThrow('id_rsa is not an SSH key of type ed25519');
    const { file, secret } = await makeKey('protected', '-t', 'ed25519');
    expect((await runProgram('ssh-keygen', ['-q', '-p', '-P', '', '-N', 'correct horse', '-f', file], '')).code).toBe(0);
    const locked = await readFile(file, 'utf8');
    expect(locked).not.toBe(secret);
    expect(() => parseIdentities(locked, 'id_ed25519')).toThrow('SSH key with a passphrase');
  });
});
