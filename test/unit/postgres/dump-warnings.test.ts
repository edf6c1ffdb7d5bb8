import { describe, expect, it } from 'vitest';
import { readWarnings } from '../../../src/postgres/dump-warnings.ts';

const heard = (...pieces: string[]) => {
  const reader = readWarnings();
  for (const piece of pieces) reader.add(piece);
  return reader.read();
};

describe('what pg_dump warns of', () => {
  it('is told with its details, and without what else it says', () => {
    expect(
      heard(`pg_dump: reading schemas
pg_dump: warning: there are circular foreign-key constraints on this table:
pg_dump: detail: t
pg_dump: hint: Consider a full dump.
pg_dump: dumping contents of table "public.t"
pg_dump: detail: not of a warning
pg_dump: warning: subscriptions not dumped because current user is not a superuser
`),
    ).toEqual([
      'there are circular foreign-key constraints on this table: t Consider a full dump.',
      'subscriptions not dumped because current user is not a superuser',
    ]);
  });

  it('is whole wherever the pieces end, also without a last line break', () => {
    const text = 'pg_dump: warning: one\r\npg_dump: warning: two';
    expect(heard(...text)).toEqual(['one', 'two']);
  });

  it('is told once', () => {
    expect(heard('pg_dump: warning: one\n'.repeat(1000))).toEqual(['one']);
  });

  it('is bounded, and says by how much', () => {
    const lines = Array.from({ length: 1000 }, (_, i) => `pg_dump: warning: ${i} ${'x'.repeat(3000)}\n`);
    const found = heard(...lines);
    expect(found).toHaveLength(21);
    expect(found.at(-1)).toBe('and 980 more');
    expect(Math.max(...found.map(({ length }) => length))).toBe(500);
  });

  it('is not gathered where a line never ends', () => {
    expect(heard('pg_dump: warning: ', ...Array.from({ length: 100 }, () => 'x'.repeat(1000)))[0]).toHaveLength(500);
  });
});
