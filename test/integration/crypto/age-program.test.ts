import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { inPath } from '../../../scripts/prerequisites.ts';
import { bytesOf, collect, KiB, MiB } from '../../../src/core/bytes.ts';
import { createOpener, createSealer } from '../../../src/crypto/age.ts';
import { generateIdentity, openIdentityFile, parseIdentities, recipientOf } from '../../../src/crypto/identities.ts';
import { runProgram } from '../../support/stock-programs.ts';

const folder = await mkdtemp(path.join(tmpdir(), 'jetbackup-age-'));
afterAll(() => rm(folder, { recursive: true, force: true }));

const ours = await generateIdentity();
const keyFile = path.join(folder, 'keys.txt');
await writeFile(keyFile, `# recipient: ${ours.recipient}\n${ours.identity}\n`, { mode: 0o600 });

const sealed = (plain: Uint8Array, recipients: readonly string[] = [ours.recipient]) =>
  collect(createSealer(recipients).seal(bytesOf(plain)), 64 * MiB);
const opened = (file: Uint8Array, identity = ours.identity) =>
  collect(createOpener(parseIdentities(identity, 'keys.txt')).open(bytesOf(file)), 64 * MiB);

const terminal = await inPath('script');

const chunk = 64 * KiB;
const sizes = [0, 1, chunk - 1, chunk, chunk + 1, 2 * chunk - 1, 2 * chunk, 2 * chunk + 1, 8 * chunk, 5_000_000];

describe.skipIf(!(await inPath('age')) || !(await inPath('age-keygen')))('the stock age program', () => {
  test.each(sizes)('opens what is sealed here: %i bytes', async (size) => {
    const plain = randomBytes(size);
    const { code, stdout, stderr } = await runProgram('age', ['--decrypt', '--identity', keyFile], await sealed(plain));
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(plain.equals(stdout)).toBe(true);
  });

  test.each(sizes)('seals what opens here: %i bytes', async (size) => {
    const plain = randomBytes(size);
    const { code, stdout } = await runProgram('age', ['--recipient', ours.recipient], plain);
    expect(code).toBe(0);
    expect(plain.equals(await opened(stdout))).toBe(true);
  });

  test('agrees in both directions on content of any length', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(4 * chunk), async (size) => {
        const plain = randomBytes(size);
        const theirs = await runProgram('age', ['--decrypt', '--identity', keyFile], await sealed(plain));
        expect(plain.equals(theirs.stdout)).toBe(true);
        const back = await runProgram('age', ['--recipient', ours.recipient], plain);
        expect(plain.equals(await opened(back.stdout))).toBe(true);
      }),
      { numRuns: 20 },
    );
  });

  test('opens with any one of several recipients, and makes files for several that open here', async () => {
    const made = await runProgram('age-keygen', [], '');
    const theirs = made.stdout.toString();
    const identity = theirs.split('\n').find((line) => line.startsWith('AGE-SECRET-KEY-1')) ?? '';
    const theirRecipient = await recipientOf(identity);
    expect(theirs).toContain(theirRecipient);
    const theirFile = path.join(folder, 'theirs.txt');
    await writeFile(theirFile, theirs, { mode: 0o600 });

    const plain = randomBytes(3 * chunk);
    const file = await sealed(plain, [ours.recipient, theirRecipient]);
    for (const key of [keyFile, theirFile]) {
      expect(plain.equals((await runProgram('age', ['--decrypt', '--identity', key], file)).stdout)).toBe(true);
    }
    const back = await runProgram('age', ['--recipient', ours.recipient, '--recipient', theirRecipient], plain);
    for (const key of [ours.identity, theirs]) expect(plain.equals(await opened(back.stdout, key))).toBe(true);
  });

  test('refuses a file of ours that is cut or changed', async () => {
    const file = await sealed(randomBytes(2 * chunk + 7));
    const changed = Buffer.from(file);
    changed.writeUInt8(changed.readUInt8(changed.byteLength - 1) ^ 1, changed.byteLength - 1);
    for (const bad of [file.subarray(0, -1), file.subarray(0, -(7 + 16)), changed]) {
      expect((await runProgram('age', ['--decrypt', '--identity', keyFile], bad)).code).not.toBe(0);
    }
  });

  // The program asks for a passphrase at a terminal only; util-linux's `script` gives it one.
  test.skipIf(!terminal).each(['', '--armor '])('makes a protected identity file (age -p %s) that opens here', async (armor) => {
    const file = path.join(folder, `keys${armor.trim()}.age`);
    const script = `age --passphrase ${armor}--output '${file}' '${keyFile}'`;
    const { stdout } = await runProgram('script', ['-qec', script, '/dev/null'], 'correct horse\ncorrect horse\n');
    const content = await readFile(file).catch(() => {
      throw new Error(`age made no file: ${stdout.toString()}`);
    });
    const [identity] = await openIdentityFile(content, file, async () => 'correct horse');
    expect(await identity?.recipient()).toBe(ours.recipient);
    await expect(openIdentityFile(content, file, async () => 'wrong')).rejects.toMatchObject({ code: 'key-wrong' });
  });
});
