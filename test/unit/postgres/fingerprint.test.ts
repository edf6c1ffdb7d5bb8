import { describe, expect, it } from 'vitest';
import { type Fingerprint, FingerprintSchema, type InventoryEntry } from '../../../src/core/fingerprint.ts';
import { parseConnection } from '../../../src/postgres/connection.ts';
import { compareFingerprints, noFingerprint, notes, summarize, takeFingerprint } from '../../../src/postgres/fingerprint.ts';

const base: Fingerprint = {
  version: 1,
  mode: 'content',
  server: { versionNum: 170_006, encoding: 'UTF8', probe: '1' },
  tables: [
    { schema: 'public', name: 'tblTenants', kind: 'table', rows: 1000, digest: '5' },
    { schema: 'public', name: 'totals', kind: 'materialized-view', rows: 1, digest: '6' },
  ],
  sequences: [{ schema: 'public', name: 's', lastValue: '41', isCalled: true, increment: '1', cycle: false }],
  largeObjects: { count: 2, bytes: 10, digest: '7', owners: '8' },
  inventory: [],
};
const messages = (expected: Fingerprint, actual: Fingerprint, options = {}) =>
  compareFingerprints(expected, actual, options).map(({ message }) => message);
const withTenants = (change: Partial<Fingerprint['tables'][number]>): Fingerprint => ({
  ...base,
  tables: base.tables.map((table) => (table.name === 'tblTenants' ? { ...table, ...change } : table)),
});
const withSequence = (change: Partial<Fingerprint['sequences'][number]>): Fingerprint => ({
  ...base,
  sequences: base.sequences.map((sequence) => ({ ...sequence, ...change })),
});
const withObject = (entry: Partial<InventoryEntry>, versionNum = 170_006): Fingerprint => ({
  ...base,
  server: { versionNum, encoding: 'UTF8', probe: '1' },
  inventory: [{ kind: 'table', identity: 'public.t', definition: 'a', ...entry }],
});

it('equal fingerprints show no difference', () => {
  expect(compareFingerprints(base, structuredClone(base))).toEqual([]);
});

it('a fingerprint survives being stored', () => {
  expect(FingerprintSchema.parse(JSON.parse(JSON.stringify(base)))).toEqual(base);
});

it('the summary counts tables, rows and objects', () => {
  expect(summarize(base)).toEqual({ mode: 'content', tables: 2, rows: 1001, sequences: 1, largeObjects: 2, objects: 0 });
});

it('mode off reads nothing and compares equal to anything', async () => {
  // No such server: it must not even try to connect.
  const settings = parseConnection({ url: 'postgres://nobody@127.0.0.1:1/none', env: {} });
  let ready = false;
  const taken = await takeFingerprint(
    settings,
    {
      mode: 'off',
      onReady: async () => {
        ready = true;
      },
    },
    new AbortController().signal,
  );
  expect(taken).toEqual(noFingerprint);
  expect(ready).toBe(true);
  expect(compareFingerprints(taken, base)).toEqual([]);
  expect(compareFingerprints(base, taken)).toEqual([]);
});

describe('rows and content', () => {
  it('says how many rows are missing', () => {
    expect(messages(base, withTenants({ rows: 959 }))).toEqual(['public."tblTenants": 41 rows missing (1000 at backup, 959 now)']);
  });

  it('says when the content alone differs', () => {
    expect(messages(base, withTenants({ digest: '9' }))).toEqual([
      'public."tblTenants": as many rows (1000), but their content is not the same',
    ]);
  });

  it('compares counts alone where one side has no digests', () => {
    expect(messages({ ...withTenants({ digest: null }), mode: 'counts' }, base)).toEqual([]);
  });

  it('compares counts alone where the servers hash differently', () => {
    const elsewhere: Fingerprint = { ...withTenants({ digest: '9' }), server: { versionNum: 170_006, encoding: 'UTF8', probe: '2' } };
    expect(messages(base, elsewhere)).toEqual([]);
  });

  it('tells another encoding as such, not as damage', () => {
    const latin: Fingerprint = { ...withTenants({ digest: '9' }), server: { versionNum: 170_006, encoding: 'LATIN1', probe: '1' } };
    expect(messages(base, latin)).toEqual(['the database is in LATIN1, at backup in UTF8: its content was not compared']);
  });

  it('passes over tables that could not be read at backup', () => {
    const standby: Fingerprint = { ...base, tables: [], unread: [{ schema: 'public', name: 'tblTenants', reason: 'unlogged' }] };
    expect(messages(standby, base)).toEqual([]);
  });

  it('leaves a refreshed materialized view to the notes', () => {
    const refreshed: Fingerprint = {
      ...base,
      tables: base.tables.map((table) => (table.name === 'totals' ? { ...table, digest: '0' } : table)),
    };
    expect(messages(base, refreshed)).toEqual([]);
    expect(notes(base, refreshed)).toEqual(['public.totals was refreshed by the restore and is not as it was (1 row at backup, 1 now)']);
  });
});

describe('sequences', () => {
  it.each([
    [{ lastValue: '40' }, true],
    [{ isCalled: false }, true],
    [{ lastValue: '41' }, false],
    [{ lastValue: '42', isCalled: false }, false],
    [{ lastValue: '100' }, false],
  ])('at 41, one restored as %o is behind: %s', (change, behind) => {
    expect(compareFingerprints(base, withSequence(change)).length > 0).toBe(behind);
  });

  it('one that counts down is behind when it is above', () => {
    const down = withSequence({ increment: '-1' });
    expect(messages(down, withSequence({ increment: '-1', lastValue: '42' }))).toHaveLength(1);
    expect(messages(down, withSequence({ increment: '-1', lastValue: '40' }))).toEqual([]);
  });

  it('does not lose digits of a large value', () => {
    const far = withSequence({ lastValue: '9223372036854775807' });
    expect(messages(far, withSequence({ lastValue: '9223372036854775806' }))).toHaveLength(1);
  });

  it('one that cycles may be anywhere', () => {
    expect(messages(withSequence({ cycle: true }), withSequence({ cycle: true, lastValue: '1' }))).toEqual([]);
  });
});

describe('objects', () => {
  it('compares deparsed definitions within one major only', () => {
    expect(messages(withObject({ deparsed: 'x' }), withObject({ deparsed: 'y' }))).toEqual([
      'table public.t is not defined as it was at backup',
    ]);
    expect(messages(withObject({ deparsed: 'x' }), withObject({ deparsed: 'y' }, 180_001))).toEqual([]);
    expect(messages(withObject({ definition: 'x' }), withObject({ definition: 'y' }, 180_001))).toEqual([
      'table public.t is not as it was at backup',
    ]);
  });

  it('does not miss a lost grant, and says who lost what', () => {
    const before = withObject({ owner: 'o', privileges: ['"bob"=ar', '<owner>=arw'] });
    expect(messages(before, withObject({ owner: 'o', privileges: ['"bob"=r', '<owner>=arw'] }))).toEqual([
      'table public.t has other privileges: "bob"=ar, <owner>=arw at backup, "bob"=r, <owner>=arw now',
    ]);
  });

  it('knows that MAINTAIN came with 17', () => {
    const before = withObject({ privileges: ['"bob"=arw'] }, 150_001);
    expect(messages(before, withObject({ privileges: ['"bob"=amrw'] }))).toEqual([]);
    expect(messages(withObject({ privileges: ['"bob"=arw'] }), withObject({ privileges: ['"bob"=amrw'] }))).toHaveLength(1);
  });

  it('without owners, compares the grants to others where these were asked for', () => {
    const before = withObject({ owner: 'alice', privileges: ['"bob"=r', '<owner>=arw'] });
    const after = withObject({ owner: 'postgres', privileges: ['"alice"=arw', '"bob"=r', '<owner>=Dadmrtwx'] });
    expect(messages(before, after, { noOwner: true, noPrivileges: false })).toEqual([]);
    expect(messages(before, withObject({ owner: 'postgres' }), { noOwner: true, noPrivileges: false })).toHaveLength(1);
  });

  it('without owners, grants and default privileges are left out as well', () => {
    const before: Fingerprint = {
      ...base,
      inventory: [
        { kind: 'default privileges', identity: 'of app for r', definition: null, privileges: ['"bob"=r'] },
        { kind: 'privileges on a system object', identity: 'function pg_catalog.pg_ls_dir(text)', definition: 'a' },
        { kind: 'schema', identity: 'app', definition: null, owner: 'app', privileges: ['"bob"=U', '<owner>=CU'] },
      ],
    };
    const after: Fingerprint = {
      ...base,
      largeObjects: { ...base.largeObjects, owners: '9' },
      inventory: [{ kind: 'schema', identity: 'app', definition: null, owner: 'postgres' }],
    };
    expect(messages(before, after, { noOwner: true })).toEqual([]);
    expect(messages(before, after)).toHaveLength(5);
  });

  it('a lost table is told once, not once more for each column and index', () => {
    const before: Fingerprint = {
      ...base,
      inventory: [
        { kind: 'column', identity: 'public."tblTenants".slug', definition: 'a' },
        { kind: 'constraint', identity: 'slug on public."tblTenants"', definition: 'a' },
        { kind: 'table', identity: 'public."tblTenants"', definition: 'a' },
      ],
    };
    expect(messages(before, { ...base, tables: [] })).toEqual(['public."tblTenants": the table is missing (1000 rows at backup)']);
  });

  it('a schema public that the source had dropped is no surplus', () => {
    const fresh: Fingerprint = { ...base, inventory: [{ kind: 'schema', identity: 'public', definition: null }] };
    expect(messages(base, fresh)).toEqual([]);
  });
});

describe('an extension', () => {
  const withExtension = (version: string, more: Partial<Fingerprint> = {}): Fingerprint => ({
    ...base,
    ...more,
    inventory: [{ kind: 'extension', identity: 'citext', definition: 'a', deparsed: version }, ...(more.inventory ?? [])],
  });
  const configuration = (rows: number, digest: string): Fingerprint['tables'] => [
    ...base.tables,
    { schema: 'public', name: 'spatial_ref_sys', kind: 'extension', rows, digest },
  ];

  it('of another version is a note and no difference: the dump names no version', () => {
    expect(messages(withExtension('1.5'), withExtension('1.6'))).toEqual([]);
    expect(notes(withExtension('1.5'), withExtension('1.6'))).toEqual([
      "the extension citext is of version 1.6, at backup 1.5: a restore installs the target's own",
    ]);
    expect(notes(withExtension('1.6'), withExtension('1.6'))).toEqual([]);
  });

  it('that is missing, or lies in another schema, is a difference', () => {
    expect(messages(withExtension('1.5'), base)).toEqual(['extension citext is missing']);
    const moved: Fingerprint = { ...base, inventory: [{ kind: 'extension', identity: 'citext', definition: 'b', deparsed: '1.6' }] };
    expect(messages(withExtension('1.5'), moved)).toEqual(['extension citext is not as it was at backup']);
  });

  it('brings a comment of its own, which is no difference', () => {
    const comment = (definition: string) =>
      withExtension('1.5', { inventory: [{ kind: 'comment', identity: 'on extension citext', definition }] });
    expect(messages(comment('a'), comment('b'))).toEqual([]);
    expect(messages(comment('a'), withExtension('1.5'))).toEqual([]);
  });

  it('of another version may start from other privileges', () => {
    const revoked = { kind: 'privileges on a system object', identity: 'function public.f()', definition: 'a' };
    const builtIn = { ...revoked, identity: 'function pg_catalog.f()' };
    expect(messages(withExtension('1.5', { inventory: [revoked] }), withExtension('1.6'))).toEqual([]);
    expect(messages(withExtension('1.5', { inventory: [revoked] }), withExtension('1.5'))).toHaveLength(1);
    expect(messages(withExtension('1.5', { inventory: [builtIn] }), withExtension('1.6'))).toHaveLength(1);
  });

  it('of another version may have its tables otherwise, but not lose rows of the user', () => {
    const before = withExtension('1.5', { tables: configuration(2, '1') });
    expect(messages(before, withExtension('1.6', { tables: configuration(2, '9') }))).toEqual([]);
    expect(messages(before, withExtension('1.6', { tables: configuration(3, '9') }))).toEqual([]);
    expect(messages(before, withExtension('1.6', { tables: configuration(1, '9') }))).toHaveLength(1);
    expect(messages(before, withExtension('1.6'))).toHaveLength(1);
    expect(messages(withExtension('1.5', { tables: configuration(0, '0') }), withExtension('1.6'))).toEqual([]);
    expect(messages(before, withExtension('1.5', { tables: configuration(2, '9') }))).toHaveLength(1);
  });
});
