import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type DigestColumn, digestExpression, quoteIdentifier } from '../../../src/postgres/fingerprint-digest.ts';
import { batches, type Table } from '../../../src/postgres/fingerprint-tables.ts';
import { normalizeDeparsed } from '../../../src/postgres/inventory-deparsed.ts';
import { normalizePrivileges, parseAclItem } from '../../../src/postgres/inventory-privileges.ts';

describe('definitions that the server deparses', () => {
  it('read the same before and after a dump of a check on varchar', () => {
    const before = `CHECK (((name)::text = ANY ((ARRAY['small'::character varying, 'large'::character varying])::text[])))`;
    const after = `CHECK (((name)::text = ANY (ARRAY[('small'::character varying)::text, ('large'::character varying)::text])))`;
    expect(normalizeDeparsed(before)).toBe(normalizeDeparsed(after));
  });

  it.each([
    [`CHECK ((n > 1))`, `CHECK ((n >= 1))`],
    [`CHECK ((n > 1))`, `CHECK ((m > 1))`],
    [`CHECK ((t = 'a'::text))`, `CHECK ((t = 'A'::text))`],
    [`'a (b)'`, `'a b'`],
    [`'a::text'`, `'a'`],
    [`"a::b"`, `"a"`],
    [`a AND b`, `a OR b`],
    [`now() - '1 day'::interval`, `now() - '2 days'::interval`],
  ])('still differ: %s and %s', (one, other) => {
    expect(normalizeDeparsed(one)).not.toBe(normalizeDeparsed(other));
  });

  it.each([
    [`x::timestamp(3) with time zone`, 'x'],
    [`x::numeric(10,2)`, 'x'],
    [`(x)::double precision`, 'x'],
    [`x::app."Plan Type"[]`, 'x'],
    [`'1'::interval day to second(0)`, `'1'`],
    [`x::bit varying(5) || y`, 'x || y'],
  ])('%s reads as %s', (sql, plain) => {
    expect(normalizeDeparsed(sql)).toBe(plain);
  });

  it('come out whatever the text is', () => {
    fc.assert(fc.property(fc.string(), (text) => typeof normalizeDeparsed(text) === 'string'));
  });
});

describe('privileges', () => {
  it.each([
    ['bob=ar*w/alice', 'bob', ['a', 'r*', 'w']],
    ['=U/alice', '', ['U']],
    ['"a ""b""=/c"=r/alice', 'a "b"=/c', ['r']],
    ['bob=/alice', 'bob', []],
  ])('of %s are understood', (item, grantee, privileges) => {
    expect(parseAclItem(item)).toEqual({ grantee, privileges });
  });

  it('count as the default when they say the same in another order and by another grantor', () => {
    expect(normalizePrivileges(['=X/bob', 'alice=X/alice'], ['alice=X/alice', '=X/alice'], 'alice')).toBeUndefined();
    expect(normalizePrivileges(null, null, 'alice')).toBeUndefined();
  });

  it('of several grantors are one', () => {
    expect(normalizePrivileges(['bob=r/alice', 'bob=r*w/carol', 'alice=arw/alice'], ['alice=arwd/alice'], 'alice')).toEqual([
      '"bob"=r*w',
      '<owner>=arw',
    ]);
  });

  it('that were all taken away are none, not the default ones', () => {
    expect(normalizePrivileges([], ['alice=X/alice', '=X/alice'], 'alice')).toEqual([]);
  });
});

describe('the digest of a table', () => {
  const column = (name: string, baseType: number, type: string, output = 'textout'): DigestColumn => ({
    name,
    baseType,
    baseTypeName: `"pg_catalog"."${type}"`,
    elementType: 0,
    output: `"pg_catalog"."${output}"`,
  });

  it('does not depend on the order of the columns', () => {
    const columns = [column('b', 25, 'text'), column('a', 23, 'int4'), column('C', 1700, 'numeric')];
    expect(digestExpression(columns)).toBe(digestExpression(columns.toReversed()));
  });

  it('of a table without columns is that of its number of rows alone', () => {
    expect(digestExpression([])).toBe(`'0'::pg_catalog.text`);
  });

  it('takes what has no exact equality through text', () => {
    expect(digestExpression([column('e', 99_999, 'mood', 'enum_out')])).toContain('textin("pg_catalog"."enum_out"("e"');
    expect(digestExpression([column('j', 3802, 'jsonb', 'jsonb_out')])).toContain('textin("pg_catalog"."jsonb_out"("j"');
  });

  it('cannot be talked into other SQL by a name', () => {
    fc.assert(
      fc.property(fc.string(), (name) => {
        const quoted = quoteIdentifier(name);
        expect(quoted.slice(1, -1).replaceAll('""', '')).not.toContain('"');
      }),
    );
  });
});

it('many small tables share a statement, a large one has its own', () => {
  const table = (bytes: number): Table => ({
    oid: 1,
    schema: 's',
    name: 't',
    kind: 'table',
    unlogged: false,
    condition: '',
    bytes,
    fileNode: '1',
    columns: [],
  });
  const found = batches([table(10 ** 9), table(10 ** 8), ...Array.from({ length: 250 }, () => table(8192))]);
  expect(found.map((batch) => batch.length)).toEqual([1, 1, 100, 100, 50]);
});
