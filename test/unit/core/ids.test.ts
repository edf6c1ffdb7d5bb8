import fc from 'fast-check';
import { Temporal } from 'temporal-polyfill';
import { describe, expect, test } from 'vitest';
import { DatabaseNameSchema, IdSchema, newId } from '../../../src/core/ids.ts';

// Years 0 to 9999: the instants that an id can name.
const instants = fc
  .integer({ min: Date.UTC(1970, 0, 1), max: Date.UTC(9999, 11, 31) })
  .map((ms) => Temporal.Instant.fromEpochMilliseconds(ms));

const bytes = fc.uint8Array({ minLength: 4, maxLength: 4 });

describe('an id', () => {
  test.each([
    ['00.000', '00'],
    ['00.027', '0y'],
    ['00.028', '10'],
    ['00.999', 'zy'],
  ])('is the UTC second %s, two letters for its part and four random ones', (second, part) => {
    const id = newId(Temporal.Instant.from(`2026-11-20T03:00:${second}+01:00`), () => Uint8Array.of(9, 10, 35, 255));
    expect(id).toBe(`20261120T020000Z-${part}9az3`);
  });

  test('is always one that is accepted', () => {
    fc.assert(
      fc.property(instants, bytes, (now, random) => {
        expect(IdSchema.safeParse(newId(now, () => random)).success).toBe(true);
      }),
    );
  });

  test('sorts as text by its instant, to the millisecond', () => {
    fc.assert(
      fc.property(instants, fc.oneof(instants, fc.integer({ min: -1_500, max: 1_500 })), bytes, bytes, (a, other, x, y) => {
        const b = typeof other === 'number' ? a.add({ milliseconds: other }) : other;
        const order = Math.sign(a.epochMilliseconds - b.epochMilliseconds);
        fc.pre(order !== 0 && b.epochMilliseconds >= 0);
        const [first, second] = [newId(a, () => x), newId(b, () => y)];
        expect(first < second ? -1 : first > second ? 1 : 0).toBe(order);
      }),
    );
  });

  // Of 1.7e6: of a hundred, two are the same once in 340 times, and four pairs once in 3e11.
  test('is a new one each time in the same instant', () => {
    const now = Temporal.Instant.from('2026-11-20T02:00:00Z');
    expect(new Set(Array.from({ length: 100 }, () => newId(now))).size).toBeGreaterThan(96);
  });

  test.each([
    '',
    'latest',
    '20261120T020000Z',
    '20261120T020000Z-K3F9QA',
    '20261120T020000Z-k3f9qa/',
    '../20261120T020000Z-k3f9qa',
    'x20261120T020000Z-k3f9qa',
  ])('is not %j', (text) => {
    expect(IdSchema.safeParse(text).success).toBe(false);
  });
});

describe('the name of a database', () => {
  test.each(['jetadmin', 'Jet-Admin_2.0', '1', 'a'.repeat(63)])('may be %j', (name) => {
    expect(DatabaseNameSchema.safeParse(name).success).toBe(true);
  });

  test.each([
    '',
    '.',
    '..',
    '-x',
    '_x',
    'a/b',
    'a b',
    'ü',
    'a\n',
    'a'.repeat(64),
    'runs',
    'leases',
    'readers',
    'deleting.json',
    'jetbackup.json',
    'RECOVERY.md',
  ])('may not be %j', (name) => {
    expect(DatabaseNameSchema.safeParse(name).success).toBe(false);
  });
});
