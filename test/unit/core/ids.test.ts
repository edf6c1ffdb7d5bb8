import fc from 'fast-check';
import { Temporal } from 'temporal-polyfill';
import { describe, expect, test } from 'vitest';
import { DatabaseNameSchema, IdSchema, newId } from '../../../src/core/ids.ts';

// Years 0 to 9999: the instants that an id can name.
const instants = fc
  .integer({ min: Date.UTC(1970, 0, 1), max: Date.UTC(9999, 11, 31) })
  .map((ms) => Temporal.Instant.fromEpochMilliseconds(ms));

describe('an id', () => {
  test('is the UTC second and six letters', () => {
    const id = newId(Temporal.Instant.from('2026-11-20T03:00:00.999+01:00'), () => Uint8Array.of(0, 9, 10, 35, 36, 255));
    expect(id).toBe('20261120T020000Z-09az03');
  });

  test('is always one that is accepted', () => {
    fc.assert(
      fc.property(instants, fc.uint8Array({ minLength: 6, maxLength: 6 }), (now, random) => {
        expect(IdSchema.safeParse(newId(now, () => random)).success).toBe(true);
      }),
    );
  });

  test('sorts as text by its instant', () => {
    fc.assert(
      fc.property(instants, instants, (a, b) => {
        const order = Math.sign(Math.floor(a.epochMilliseconds / 1000) - Math.floor(b.epochMilliseconds / 1000));
        const [first, second] = [newId(a, () => new Uint8Array(6)), newId(b, () => new Uint8Array(6))];
        expect(first < second ? -1 : first > second ? 1 : 0).toBe(order);
      }),
    );
  });

  test('is a new one each time in the same second', () => {
    const now = Temporal.Instant.from('2026-11-20T02:00:00Z');
    expect(new Set(Array.from({ length: 100 }, () => newId(now))).size).toBe(100);
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
