import { inspect } from 'node:util';
import { armor, Encrypter, generateHybridIdentity, identityToRecipient } from 'age-encryption';
import { describe, expect, test } from 'vitest';
import { bytesOf, collect, MiB } from '../../../src/core/bytes.ts';
import { JetbackupError } from '../../../src/core/errors.ts';
import { createOpener, createSealer } from '../../../src/crypto/age.ts';
import {
  generateIdentity,
  isEncryptedIdentityFile,
  openIdentityFile,
  parseIdentities,
  passphraseIdentity,
  recipientOf,
} from '../../../src/crypto/identities.ts';
import { validateRecipient, validateRecipients } from '../../../src/crypto/recipients.ts';

const first = await generateIdentity();
const second = await generateIdentity();
const hybrid = await generateHybridIdentity();

async function caught(run: () => unknown): Promise<JetbackupError> {
  try {
    await run();
  } catch (error) {
    if (error instanceof JetbackupError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

/** As `age --passphrase` makes it, but with a work factor that takes milliseconds. */
async function protectedBy(passphrase: string, text: string): Promise<Uint8Array> {
  const encrypter = new Encrypter();
  encrypter.setPassphrase(passphrase);
  encrypter.setScryptWorkFactor(10);
  return encrypter.encrypt(text);
}

describe('an identity file', () => {
  test('may hold comments, empty lines, Windows line ends and several keys of both kinds', async () => {
    const text = `# created: 2026-11-20\r\n# public key: ${first.recipient}\r\n${first.identity}\r\n\n  ${second.identity}\n${hybrid}\n`;
    const identities = parseIdentities(text, 'keys.txt');
    expect(await Promise.all(identities.map((identity) => identity.recipient()))).toEqual([
      first.recipient,
      second.recipient,
      await identityToRecipient(hybrid),
    ]);
  });

  test('with a mistyped key names the line and shows nothing of it', async () => {
    const typo = `${first.identity.slice(0, -1)}${first.identity.endsWith('Q') ? 'P' : 'Q'}`;
    const error = await caught(() => parseIdentities(`# mine\n${typo}\n`, 'keys.txt'));
    expect(error.code).toBe('key-wrong');
    expect(error.message).toContain('line 2 of keys.txt');
    expect(inspect(error, { depth: 9 }).toUpperCase()).not.toContain(typo.slice(16, 40));
  });

  test.each([
    ['', 'holds no identity'],
    ['# only a comment\n', 'holds no identity'],
    ['age1qqqqqq', 'public key'],
    ['AGE-PLUGIN-YUBIKEY-1QQQQ', 'plugins'],
    ['-----BEGIN OPENSSH PRIVATE KEY-----', 'SSH'],
    ['password', 'AGE-SECRET-KEY-1'],
  ])('with %j instead says what it wants', async (text, expected) => {
    const error = await caught(() => parseIdentities(text, 'keys.txt'));
    expect(error.code).toBe('key-wrong');
    expect(`${error.message} ${error.hint}`).toContain(expected);
  });

  test('shows no secret when it is printed or made JSON', () => {
    const [identity] = parseIdentities(first.identity, 'keys.txt');
    expect(inspect(identity, { depth: 9, showHidden: true })).not.toContain(first.identity);
    expect(JSON.stringify(identity)).not.toContain(first.identity);
  });
});

describe('an identity file with a passphrase', () => {
  test.each(['binary', 'armored'])('opens with it, %s', async (form) => {
    const file = await protectedBy('correct horse', `${first.identity}\n`);
    const content = form === 'armored' ? Buffer.from(armor.encode(file)) : file;
    expect(isEncryptedIdentityFile(content)).toBe(true);
    const [identity] = await openIdentityFile(content, 'keys.age', async () => 'correct horse');
    expect(await identity?.recipient()).toBe(first.recipient);
  });

  test('is not opened by another passphrase', async () => {
    const file = await protectedBy('correct horse', `${first.identity}\n`);
    const error = await caught(() => openIdentityFile(file, 'keys.age', async () => 'battery staple'));
    expect(error).toMatchObject({ code: 'key-wrong', message: 'the passphrase does not open keys.age' });
  });

  test('without anybody to ask says so', async () => {
    const file = await protectedBy('correct horse', first.identity);
    const error = await caught(() => openIdentityFile(file, 'keys.age'));
    expect(error.code).toBe('key-missing');
    expect(error.hint).toContain('age -d keys.age');
  });

  test('asks for nothing when the file is plain', async () => {
    const [identity] = await openIdentityFile(Buffer.from(first.identity), 'keys.txt', () => {
      throw new Error('asked');
    });
    expect(await identity?.recipient()).toBe(first.recipient);
  });

  test('that is encrypted to a key instead, damaged or huge is refused', async () => {
    const toKey = await collect(createSealer([first.recipient]).seal(bytesOf(second.identity)), MiB);
    expect(await caught(() => openIdentityFile(toKey, 'keys.age', async () => 'x'))).toMatchObject({
      code: 'key-wrong',
      message: expect.stringContaining('encrypted to keys'),
    });
    const damaged = await protectedBy('correct horse', first.identity);
    damaged.set([1, 2, 3], damaged.byteLength - 3);
    expect(await caught(() => openIdentityFile(damaged, 'keys.age', async () => 'correct horse'))).toMatchObject({
      code: 'key-wrong',
      message: expect.stringContaining('damaged'),
    });
    expect(await caught(() => openIdentityFile(new Uint8Array(2 * MiB), 'keys.age'))).toMatchObject({ code: 'key-wrong' });
  });
});

describe('a backup', () => {
  test('encrypted to a post-quantum recipient opens with its identity', async () => {
    const sealer = createSealer([await identityToRecipient(hybrid)]);
    const sealed = await collect(sealer.seal(bytesOf('rows')), MiB);
    const opened = await collect(createOpener(parseIdentities(hybrid, 'keys.txt')).open(bytesOf(sealed)), MiB);
    expect(Buffer.from(opened).toString()).toBe('rows');
  });

  test('encrypted with a passphrase opens with it, and says that another one is wrong', async () => {
    const sealed = await protectedBy('correct horse', 'rows');
    const opened = await collect(createOpener([passphraseIdentity('correct horse')]).open(bytesOf(sealed)), MiB);
    expect(Buffer.from(opened).toString()).toBe('rows');
    const error = await caught(() => collect(createOpener([passphraseIdentity('wrong')]).open(bytesOf(sealed)), MiB));
    expect(error).toMatchObject({ code: 'key-wrong', message: 'the passphrase is wrong' });
    const keyInstead = await caught(() => collect(createOpener(parseIdentities(first.identity, 'k')).open(bytesOf(sealed)), MiB));
    expect(keyInstead.message).toContain('a passphrase');
  });
});

describe('a recipient', () => {
  test('that is good has no problem, alone and with others of its kind', async () => {
    const pq = await identityToRecipient(hybrid);
    for (const set of [[first.recipient], [first.recipient, second.recipient], [pq]]) expect(validateRecipients(set)).toBeUndefined();
    expect(validateRecipients([first.recipient, pq])).toContain('cannot be mixed');
    expect(validateRecipients([])).toContain('no recipient');
  });

  test.each([
    ['age1yubikey1qwt50d05nh5vutpdzmlg5wn80xq5negm4uj9ghv0snvdd3yysf5yw3rhl3t', 'plugins (age1yubikey1…)'],
    ['age1tag1qt8lw0ual6avlwmwatk888yqnmdamm7xfd0wak53ut6elz5c4swx2yqdj4e', 'plugins (age1tag1…)'],
    ['ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHsKLqeplhpW+uObz5dvMgjz1OxfM', 'whole ssh-ed25519'],
    ['ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQC', 'whole ssh-ed25519'],
    ['alice@example.com', 'begins with "age1"'],
    ['age1qqqq', 'copy it again'],
  ])('%s is refused with the reason', (text, reason) => {
    expect(validateRecipient(text)).toContain(reason);
  });

  test('that is a secret key is refused without repeating it', () => {
    const problem = validateRecipient(first.identity);
    expect(problem).toContain('secret key');
    expect(problem).not.toContain(first.identity);
  });

  test('belongs to its identity', async () => {
    expect(await recipientOf(first.identity)).toBe(first.recipient);
    expect((await caught(() => recipientOf('AGE-SECRET-KEY-1NONSENSE'))).code).toBe('key-wrong');
  });
});
