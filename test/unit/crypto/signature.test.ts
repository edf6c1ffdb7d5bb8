import { generateKeyPairSync } from 'node:crypto';
import { inspect } from 'node:util';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { JetbackupError } from '../../../src/core/errors.ts';
import { encodeManifest, type Manifest, parseManifest } from '../../../src/core/manifest.ts';
import {
  generateSigningKey,
  loadSigningKey,
  parsePublicKey,
  publicKeyPem,
  sign,
  validatePublicKey,
  verify,
} from '../../../src/crypto/signature.ts';
import { sampleManifest } from '../../support/manifests.ts';

const pair = generateSigningKey();
const key = loadSigningKey(pair.privatePem, 'signing.pem');
const publicKey = parsePublicKey(pair.publicKey, 'signing.publicKey');
const signed = sign(sampleManifest(), key);

function caught(run: () => unknown): JetbackupError {
  try {
    run();
  } catch (error) {
    if (error instanceof JetbackupError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

describe('a signed manifest', () => {
  test('holds with its public key, also after it was stored and read', () => {
    expect(() => verify(signed, [publicKey])).not.toThrow();
    expect(() => verify(parseManifest(encodeManifest(signed), 'manifest.json'), [publicKey])).not.toThrow();
  });

  test('holds when its key is one of several, as during a rotation', () => {
    const newer = parsePublicKey(generateSigningKey().publicKey, 'signing.publicKey');
    expect(() => verify(signed, [newer, publicKey])).not.toThrow();
  });

  test('does not depend on the order of its fields or the white space of its JSON', () => {
    const entries = Object.entries(JSON.parse(Buffer.from(encodeManifest(signed)).toString('utf8'))).reverse();
    const shuffled = parseManifest(Buffer.from(JSON.stringify(Object.fromEntries(entries))), 'manifest.json');
    expect(() => verify(shuffled, [publicKey])).not.toThrow();
  });

  test('does not hold when any value in it is changed', () => {
    const original = JSON.parse(JSON.stringify(signed)) as Manifest;
    const paths = leaves(original).filter((path) => path[0] !== 'signature');
    expect(paths.length).toBeGreaterThan(60);
    for (const path of paths) {
      const copy = structuredClone(original);
      change(copy, path);
      expect(caught(() => verify(copy, [publicKey])).code, path.join('.')).toBe('not-authentic');
    }
  });

  test('does not hold with any bit of the signature flipped', () => {
    fc.assert(
      fc.property(fc.nat(511), (bit) => {
        const value = Buffer.from(signed.signature.value, 'base64');
        value.writeUInt8(value.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
        const forged = { ...signed, signature: { ...signed.signature, value: value.toString('base64') } };
        expect(caught(() => verify(forged, [publicKey])).message).toContain('changed after it was signed');
      }),
    );
    for (const value of ['', 'AAAA']) {
      expect(caught(() => verify({ ...signed, signature: { ...signed.signature, value } }, [publicKey])).code).toBe('not-authentic');
    }
  });

  test('of another key is told apart from a changed one, and names the key', () => {
    const stranger = loadSigningKey(generateSigningKey().privatePem, 'other.pem');
    const error = caught(() => verify(sign(sampleManifest(), stranger), [publicKey]));
    expect(error.code).toBe('not-authentic');
    expect(error.exitCode).toBe(22);
    expect(error.message).toContain(`signed with key ${stranger.publicKey.keyId}`);
    expect(error.hint).toContain(publicKey.keyId);
    expect(caught(() => verify(signed, [])).hint).toContain('none is trusted');
  });

  test('that only claims a trusted key id does not hold', () => {
    const stranger = loadSigningKey(generateSigningKey().privatePem, 'other.pem');
    const forged = sign(sampleManifest(), stranger);
    const claimed = { ...forged, signature: { ...forged.signature, keyId: publicKey.keyId } };
    expect(caught(() => verify(claimed, [publicKey])).message).toContain('changed after it was signed');
  });

  test('with text that has no canonical form is not authentic, and no bug', () => {
    const odd = { ...signed, warnings: ['\ud800'] };
    expect(caught(() => verify(odd, [publicKey])).code).toBe('not-authentic');
  });
});

describe('a manifest that its stored form would change', () => {
  const lost = Object.defineProperty({}, '__proto__', { value: 'x', enumerable: true });
  test.each([
    ['a tag that JSON cannot carry', sampleManifest({ tags: lost })],
    ['an id of another form', sampleManifest({ id: 'latest' })],
    ['an instant that is none', sampleManifest({ snapshotInstant: 'yesterday' })],
  ])('is not signed: %s', (_, manifest) => {
    expect(caught(() => sign(manifest, key)).code).toBe('bug');
  });
});

describe('a signing key', () => {
  test('goes into files and back', () => {
    expect(key.publicKey.text).toBe(pair.publicKey);
    expect(publicKey.keyId).toBe(key.publicKey.keyId);
    expect(publicKey.keyId).toMatch(/^[0-9a-f]{16}$/);
    expect(pair.publicKey).toMatch(/^ed25519:[A-Za-z0-9+/]{43}=$/);
    expect(publicKeyPem(publicKey)).toMatch(/^-----BEGIN PUBLIC KEY-----\n/);
  });

  test('of RFC 8032 has the public key that the RFC gives', () => {
    const seed = Buffer.from('9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60', 'hex');
    const der = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), seed]);
    const pem = `-----BEGIN PRIVATE KEY-----\n${der.toString('base64')}\n-----END PRIVATE KEY-----\n`;
    const expected = Buffer.from('d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a', 'hex').toString('base64');
    expect(loadSigningKey(pem, 'rfc.pem').publicKey.text).toBe(`ed25519:${expected}`);
  });

  test('shows no secret when it is printed or made JSON', () => {
    const secret = pair.privatePem.split('\n')[1] ?? 'missing';
    expect(`${inspect(key, { depth: 9, showHidden: true })}${JSON.stringify(key)}`).not.toContain(secret);
  });

  test.each([
    ['nothing', '', 'not a private key in PEM'],
    ['a public key', publicKeyPem(publicKey), 'not a private key in PEM'],
    ['an RSA key', rsaPem(), 'signed with ed25519'],
    ['a key with a passphrase', protectedPem(), 'protected by a passphrase'],
  ])('that is %s is refused with what to do', (_, pem, message) => {
    const error = caught(() => loadSigningKey(pem, 'signing.pem'));
    expect(error.code).toBe('key-wrong');
    expect(error.message).toContain(message);
    expect(error.hint).toContain('openssl');
  });
});

describe('the text of a public key', () => {
  test.each([
    ['', 'begins with "ed25519:"'],
    ['ed25519:', '44 characters'],
    [`${pair.publicKey}=`, '44 characters'],
    [pair.publicKey.slice(0, -2), '44 characters'],
    [pair.publicKey.replace('ed25519:', 'rsa:'), 'begins with "ed25519:"'],
    [pair.privatePem, 'private key'],
  ])('%j is refused with the reason', (text, reason) => {
    expect(validatePublicKey(text)).toContain(reason);
    const error = caught(() => parsePublicKey(text, 'signing.publicKey'));
    expect(error.code).toBe('key-wrong');
    expect(inspect(error)).not.toContain(pair.privatePem.split('\n')[1]);
  });
});

function rsaPem(): string {
  return generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
}

function protectedPem(): string {
  const { privateKey } = generateKeyPairSync('ed25519');
  return privateKey.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'secret' }).toString();
}

function leaves(value: unknown, path: readonly (string | number)[] = []): (readonly (string | number)[])[] {
  if (Array.isArray(value)) return value.flatMap((item, index) => leaves(item, [...path, index]));
  if (typeof value === 'object' && value !== null) return Object.entries(value).flatMap(([name, item]) => leaves(item, [...path, name]));
  return [path];
}

/** Changes the one value at `path` to another one. */
function change(root: unknown, path: readonly (string | number)[]): void {
  let parent: unknown = root;
  for (const step of path.slice(0, -1)) parent = Reflect.get(Object(parent), step);
  const last = path.at(-1) ?? '';
  const value: unknown = Reflect.get(Object(parent), last);
  const changed =
    typeof value === 'number' ? value + (value === Number.MAX_SAFE_INTEGER ? -1 : 1) : typeof value === 'boolean' ? !value : `${value}x`;
  Reflect.set(Object(parent), last, changed);
}
