import { relative, sep } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { pathOf } from '../../../src/storage/filesystem-paths.ts';
import { byKey, checkedRange, isKey } from '../../../src/storage/key.ts';

const step = fc.string({ unit: fc.constantFrom('.', '..', '/', 'a', '\\', '~', ' ', '\0', '%2e', 'ä', '-'), maxLength: 6 });

describe('a key', () => {
  it('that is accepted never leads out of the directory of the repository', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 5 }), (steps) => {
        const key = steps.join('/');
        if (!isKey(key)) return;
        const way = relative('/srv/repository', pathOf('/srv/repository', key));
        expect(way).not.toBe('');
        expect(way.split(sep)).not.toContain('..');
        expect(way.split(sep).join('/')).toBe(key);
      }),
      { numRuns: 2000 },
    );
  });

  it('sorts as its bytes do', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: 'grapheme-ascii', minLength: 1 })), (keys) => {
        const sorted = keys.map((key) => ({ key })).sort(byKey);
        expect(sorted.map(({ key }) => key)).toEqual([...keys].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))));
      }),
    );
  });

  it('the longest that is accepted fits, with its slashes as two bytes and a suffix, into a file name', () => {
    const longest = `${'a/'.repeat(15)}${'b'.repeat(170)}`;
    expect(isKey(longest)).toBe(true);
    expect(isKey(`${longest}b`)).toBe(false);
    expect(Buffer.byteLength(longest.replaceAll('/', '\u00a6')) + 17).toBeLessThanOrEqual(255);
  });
});

it('a range is accepted exactly when it lies inside the object', () => {
  const inside = (offset: number, length: number) => {
    try {
      return checkedRange('k', 10, { offset, length }).length === length;
    } catch {
      return false;
    }
  };
  for (let offset = -2; offset < 13; offset += 1) {
    for (let length = -2; length < 13; length += 1)
      expect(inside(offset, length)).toBe(offset >= 0 && length >= 0 && offset + length <= 10);
  }
  expect(inside(Number.MAX_SAFE_INTEGER, 5)).toBe(false);
});
