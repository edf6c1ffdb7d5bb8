import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isNewerFormat, JetbackupError } from '../../../src/core/errors.ts';
import {
  artifactOf,
  canonicalBytes,
  encodeManifest,
  type Manifest,
  majorOf,
  parseManifest,
  UnsignedManifestSchema,
} from '../../../src/core/manifest.ts';
import { sampleManifest } from '../../support/manifests.ts';

const signature = { algorithm: 'ed25519', keyId: '0123456789abcdef', value: 'AAAA' } as const;
const manifest: Manifest = { ...sampleManifest(), signature };
// `__proto__` is no name that JSON in JavaScript can carry; signing refuses it (signature.test.ts).
const tagNames = fc.string({ unit: 'grapheme' }).filter((name) => name !== '__proto__');
const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('utf8');

function parsed(json: unknown): Manifest {
  return parseManifest(Buffer.from(JSON.stringify(json)), 'jetadmin/x/manifest.json');
}

function refused(bytes: Uint8Array | string): JetbackupError {
  try {
    parseManifest(Buffer.from(bytes), 'jetadmin/x/manifest.json');
  } catch (error) {
    if (error instanceof JetbackupError) return error;
    throw error;
  }
  throw new Error('it was accepted');
}

describe('a manifest', () => {
  test('comes back equal from its stored form', () => {
    expect(UnsignedManifestSchema.safeParse(sampleManifest()).error).toBeUndefined();
    expect(parseManifest(encodeManifest(manifest), 'manifest.json')).toEqual(manifest);
    expect(text(encodeManifest(manifest)).endsWith('}\n')).toBe(true);
  });

  test('has the same canonical bytes before and after it was stored', () => {
    fc.assert(
      fc.property(fc.dictionary(tagNames, fc.string({ unit: 'grapheme' })), fc.array(fc.string({ unit: 'grapheme' })), (tags, warnings) => {
        const made = { ...manifest, tags: { ...tags }, warnings };
        const stored = parseManifest(encodeManifest(made), 'manifest.json');
        expect(text(canonicalBytes(stored))).toBe(text(canonicalBytes(made)));
      }),
    );
  });

  test('has canonical bytes that leave out the signature and nothing else', () => {
    expect(text(canonicalBytes(manifest))).toBe(text(canonicalBytes(sampleManifest())));
    expect(JSON.parse(text(canonicalBytes(manifest)))).toEqual(sampleManifest());
    expect(text(canonicalBytes(manifest))).toMatch(/^\{"artifacts":\[\{"codec":"gzip","compressed":\{"bytes":100,/);
  });

  test('that differs in any tag or warning has other canonical bytes', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: 'grapheme' })), fc.array(fc.string({ unit: 'grapheme' })), (a, b) => {
        const equal = JSON.stringify(a) === JSON.stringify(b);
        const [first, second] = [canonicalBytes({ ...manifest, warnings: a }), canonicalBytes({ ...manifest, warnings: b })];
        expect(text(first) === text(second)).toBe(equal);
      }),
    );
  });

  test('is refused with an unknown field, so that nothing unsigned or unknown is relied on', () => {
    expect(refused(JSON.stringify({ ...manifest, extra: 1 })).code).toBe('damaged');
    expect(refused(JSON.stringify({ ...manifest, signature: { ...signature, extra: 1 } })).code).toBe('damaged');
  });

  test('is refused without a signature', () => {
    expect(refused(JSON.stringify(sampleManifest())).message).toContain('signature');
  });

  test.each(['../../other/dump', '/etc/passwd', 'a/b', '', '.', '-x', 'Dump'])('cannot name an object %j outside its folder', (name) => {
    const [dump] = manifest.artifacts;
    const moved = { ...manifest, artifacts: [{ ...dump, objects: [{ name, bytes: 1 }] }] };
    expect(refused(JSON.stringify(moved)).code).toBe('damaged');
  });

  test('of a later format asks for a newer jetbackup, and is told apart from a damaged one', () => {
    const error = refused(JSON.stringify({ format: 2, whatever: true }));
    expect(error.code).toBe('damaged');
    expect(error.message).toContain('format 2');
    expect(error.hint).toContain('newer jetbackup');
    expect(isNewerFormat(error)).toBe(true);
  });

  test.each([
    ['nothing', ''],
    ['half a file', encodeManifest(manifest).subarray(0, 500)],
    ['another JSON', '[]'],
    ['null', 'null'],
    ['bytes that are no UTF-8', Uint8Array.of(0x22, 0xff, 0x22)],
    ['one of this format that lacks a field', JSON.stringify({ ...manifest, artifacts: undefined })],
    ['one of an earlier format than the first', JSON.stringify({ ...manifest, format: 0 })],
    ['one whose format is no number', JSON.stringify({ ...manifest, format: '2' })],
  ])('is not %s: that is damaged, whichever jetbackup reads it', (_, bytes) => {
    const error = refused(bytes);
    expect(error.code).toBe('damaged');
    expect(error.message).toContain('jetadmin/x/manifest.json');
    expect(isNewerFormat(error)).toBe(false);
  });

  test('finds its artifacts by kind, and the major of its server', () => {
    expect(artifactOf(manifest, 'dump')?.objects[0]?.name).toBe('dump.pgc.gz.age');
    expect(artifactOf(manifest, 'globals')).toBeUndefined();
    expect(majorOf(manifest.server)).toBe(17);
    expect(majorOf(parsed({ ...manifest, server: { ...manifest.server, versionNum: 90624 } }).server)).toBe(9);
  });
});
