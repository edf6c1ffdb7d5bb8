import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { inPath } from '../../../scripts/prerequisites.ts';
import { canonicalBytes, encodeManifest } from '../../../src/core/manifest.ts';
import { generateSigningKey, loadSigningKey, publicKeyPem, sign } from '../../../src/crypto/signature.ts';
import { sampleManifest } from '../../support/manifests.ts';
import { runProgram } from '../../support/stock-programs.ts';

const folder = await mkdtemp(path.join(tmpdir(), 'jetbackup-signature-'));
afterAll(() => rm(folder, { recursive: true, force: true }));

const key = loadSigningKey(generateSigningKey().privatePem, 'signing.pem');

async function canonicalByJq(stored: Uint8Array): Promise<Buffer> {
  const { code, stdout, stderr } = await runProgram('jq', ['-cjS', 'del(.signature)'], stored);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return stdout;
}

describe.skipIf(!(await inPath('jq')))('jq', () => {
  test('makes the very bytes that were signed, whatever text is in the manifest', async () => {
    const manifest = sign(sampleManifest(), key);
    expect((await canonicalByJq(encodeManifest(manifest))).toString('utf8')).toBe(Buffer.from(canonicalBytes(manifest)).toString('utf8'));
  });

  test('makes them for every character of the first planes, one by one', async () => {
    const characters: string[] = [];
    for (let code = 1; code < 0x3000; code += 1) if (code !== 0x7f) characters.push(String.fromCodePoint(code));
    characters.push('\ue000', '\ufeff', '\uffff', '😀', '\u{10ffff}');
    const manifest = sign(sampleManifest({ warnings: characters }), key);
    expect((await canonicalByJq(encodeManifest(manifest))).toString('utf8')).toBe(Buffer.from(canonicalBytes(manifest)).toString('utf8'));
  });
});

describe.skipIf(!(await inPath('jq')) || !(await inPath('openssl')))('openssl', () => {
  const publicFile = path.join(folder, 'public.pem');
  const signatureFile = path.join(folder, 'signature');
  const contentFile = path.join(folder, 'content');
  const check = () =>
    runProgram(
      'openssl',
      ['pkeyutl', '-verify', '-pubin', '-inkey', publicFile, '-rawin', '-in', contentFile, '-sigfile', signatureFile],
      '',
    );

  test('verifies a manifest, and refuses it once it is changed', async () => {
    const manifest = sign(sampleManifest(), key);
    await writeFile(publicFile, publicKeyPem(key.publicKey));
    await writeFile(signatureFile, Buffer.from(manifest.signature.value, 'base64'));

    await writeFile(contentFile, await canonicalByJq(encodeManifest(manifest)));
    expect((await check()).stdout.toString()).toContain('Signature Verified Successfully');

    await writeFile(contentFile, await canonicalByJq(encodeManifest({ ...manifest, jetbackup: '0.1.1' })));
    expect((await check()).code).not.toBe(0);
  });
});
