import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readDocument } from '../../../src/config/document.ts';
import { escapeInterpolation, interpolate } from '../../../src/config/interpolate.ts';

const none = () => undefined;

describe('${NAME} in a value', () => {
  it('is replaced by the variable, also in the middle of a word', () => {
    expect(interpolate('postgres://u:${PW}@h/${DB}', (name) => ({ PW: 'p@:#', DB: 'x' })[name]).value).toBe('postgres://u:p@:#@h/x');
  });

  it('takes the default where the variable is unset or empty, and an empty default', () => {
    expect(interpolate('${A:-one} ${B:-two} [${C:-}]', (name) => (name === 'B' ? '' : undefined)).value).toBe('one two []');
  });

  it('without a default is a problem where the variable is not set, and says both ways to set it', () => {
    const { problems } = interpolate('${A}', none);
    expect(problems).toEqual([{ message: 'the environment variable A is not set', remedy: expect.stringContaining('A_FILE') }]);
  });

  it.each(['${', '${}', '${a-b}', '${A:x}', 'x${A:-{}}'])('that is malformed is a problem: %s', (text) => {
    expect(interpolate(text, () => 'v').problems[0]?.remedy).toContain('"$${"');
  });

  it('gives any value of the variable unchanged, and expands nothing in it', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.constantFrom('', '${X}', '$${', '\n  a: b', '# no comment'), (value, tail) => {
        const secret = `${value}${tail}`;
        expect(interpolate('${X}', () => secret).value).toBe(secret);
        const { raw, problems } = readDocument('key: "${X}"\nother: 1\n', 'f', () => secret);
        expect(problems).toEqual([]);
        expect(raw).toEqual(secret === '' ? { other: '1' } : { key: secret, other: '1' });
      }),
    );
  });

  it('can be written literally: any text comes back from its escaped form', () => {
    const pieces = fc.array(fc.constantFrom('$', '{', '}', '$${', '${A}', '${', ':-', 'x', '"')).map((parts) => parts.join(''));
    fc.assert(
      fc.property(fc.oneof(fc.string(), pieces), (text) => {
        expect(interpolate(escapeInterpolation(text), () => 'WRONG')).toEqual({ value: text, used: [], problems: [] });
      }),
    );
  });
});
