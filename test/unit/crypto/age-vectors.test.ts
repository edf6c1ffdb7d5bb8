import { createHash } from 'node:crypto';
import { inflateSync } from 'node:zlib';
import * as vectors from 'cctv-age';
import { describe, expect, test } from 'vitest';
import { isJetbackupError } from '../../../src/core/errors.ts';
import { createOpener } from '../../../src/crypto/age.ts';
import { dearmor, parseIdentities, passphraseIdentity } from '../../../src/crypto/identities.ts';

// The public age vectors of C2SP/CCTV, written by age's author and released under CC0 (npm package cctv-age).

interface Vector {
  readonly name: string;
  readonly fields: ReadonlyMap<string, readonly string[]>;
  readonly file: Buffer;
}

function readVector(name: string, content: Uint8Array): Vector {
  const bytes = Buffer.from(content);
  const end = bytes.indexOf('\n\n');
  const fields = new Map<string, string[]>();
  for (const line of bytes.toString('utf8', 0, end).split('\n')) {
    const [key = '', value = ''] = line.split(/: (.*)/s);
    fields.set(key, [...(fields.get(key) ?? []), value]);
  }
  const body = bytes.subarray(end + 2);
  return { name, fields, file: fields.get('compressed')?.[0] === 'zlib' ? inflateSync(body) : body };
}

const known = new Set(['expect', 'payload', 'identity', 'passphrase', 'armored', 'file key', 'comment', 'compressed']);
const all = Object.entries(vectors).map(([name, content]) => readVector(name, content));

async function* pieces(file: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let offset = 0; offset < file.byteLength; offset += size) yield file.subarray(offset, offset + size);
}

/** What was released, and how it ended. */
async function open(vector: Vector, size: number): Promise<{ sha256: string; outcome: string }> {
  const hash = createHash('sha256');
  try {
    const opener = createOpener([
      ...(vector.fields.get('identity') ?? []).flatMap((text) => parseIdentities(text, 'the vector')),
      ...(vector.fields.get('passphrase') ?? []).map(passphraseIdentity),
      // Some vectors fail before any identity matters, and name none.
      ...(vector.fields.has('identity') || vector.fields.has('passphrase') ? [] : [passphraseIdentity('never asked')]),
    ]);
    const file = vector.fields.has('armored') ? dearmor(vector.file) : vector.file;
    for await (const chunk of opener.open(pieces(file, size))) hash.update(chunk);
  } catch (error) {
    if (!isJetbackupError(error) && !vector.fields.has('armored')) throw error;
    return { sha256: hash.digest('hex'), outcome: isJetbackupError(error) ? error.code : 'armor' };
  }
  return { sha256: hash.digest('hex'), outcome: 'success' };
}

const outcomes: Readonly<Record<string, readonly string[]>> = {
  success: ['success'],
  'no match': ['key-wrong'],
  'HMAC failure': ['damaged'],
  'header failure': ['damaged'],
  'payload failure': ['damaged'],
  // Text that is not armor at all is handed on, and is no age file then.
  'armor failure': ['armor', 'damaged'],
};

describe('the public age vectors', () => {
  test('are all here and of the format that this test reads', () => {
    expect(all.length).toBeGreaterThanOrEqual(140);
    expect(all.filter(({ fields }) => [...fields.keys()].some((key) => !known.has(key)))).toEqual([]);
  });

  describe.each(all.map((vector) => [vector.name, vector] as const))('%s', (_, vector) => {
    const size = vector.file.byteLength;
    // A byte at a time takes seconds on the vectors of several MiB, and they differ from the others only past their first chunk.
    const smallest = size > 300_000 ? 997 : 1;
    test.each([
      ['at once', size],
      ['in network-sized pieces', 16_384],
      [smallest === 1 ? 'byte by byte' : 'in small odd pieces', smallest],
    ])('%s', async (_, pieceSize) => {
      const expected = vector.fields.get('expect')?.[0] ?? '';
      const { sha256, outcome } = await open(vector, Math.max(pieceSize, 1));
      expect(outcomes[expected]).toContain(outcome);
      const payload = vector.fields.get('payload')?.[0];
      if (payload !== undefined) expect(sha256).toBe(payload);
      else expect(sha256).toBe(createHash('sha256').digest('hex'));
    });
  });
});
