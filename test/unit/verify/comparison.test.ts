import { describe, expect, it } from 'vitest';
import type { Fingerprint, InventoryEntry } from '../../../src/core/fingerprint.ts';
import type { CheckContext } from '../../../src/verify/check.ts';
import { fingerprint } from '../../../src/verify/checks/fingerprint.ts';
import { inventory } from '../../../src/verify/checks/inventory.ts';
import { MAX_FINDINGS } from '../../../src/verify/checks/result.ts';
import { contextOf, extension, index, print, table } from './contexts.ts';

const { signal } = new AbortController();

describe('the fingerprint', () => {
  const run = (expected: Fingerprint | undefined, actual: Fingerprint, over: Partial<CheckContext> = {}) =>
    fingerprint.run(contextOf(expected, actual, over), signal);

  it('that is equal passes, and says how much was compared', async () => {
    expect(await run(print(), print())).toEqual({
      status: 'pass',
      message: "2 tables with 6 rows, 0 sequences, 0 large objects as in the dump's snapshot; contents compared row for row",
    });
  });

  it('that differs fails with counts in the message and names in the findings', async () => {
    const actual = print({ tables: [table('a', { digest: '18' }), table('c')] });
    expect(await run(print(), actual)).toEqual({
      status: 'fail',
      message: "not what the dump's snapshot held: 1 table missing, 1 table that was not there at backup, 1 table with other contents",
      hint: expect.stringContaining('jetbackup backup'),
      findings: [
        'public.a: as many rows (3), but their content is not the same',
        'public.b: the table is missing (3 rows at backup)',
        'public.c: the table was not there at backup (3 rows now)',
      ],
    });
  });

  it('of another server that hashes otherwise says that contents were not compared', async () => {
    const actual = print({
      server: { versionNum: 170_006, encoding: 'UTF8', probe: '2' },
      tables: [table('a', { digest: '1' }), table('b')],
    });
    expect(await run(print(), actual)).toMatchObject({
      status: 'pass',
      message: expect.stringContaining('contents were not compared, because'),
    });
  });

  it('of counts alone says that contents were not compared', async () => {
    const counts = print({ mode: 'counts', tables: [table('a', { digest: null })] });
    expect(await run(counts, counts)).toMatchObject({
      status: 'pass',
      message: expect.stringContaining('contents were not compared (fingerprint: counts)'),
    });
  });

  it('tells of tables that could not be read and of views that were refreshed', async () => {
    const view = (rows: number) => table('v', { kind: 'materialized-view', rows });
    const unread = [{ schema: 'public', name: 'u', reason: 'a standby has no rows of unlogged tables' }];
    const found = await run(print({ tables: [view(1)], unread }), print({ tables: [view(2)] }));
    expect(found.message).toMatch(
      /^0 tables with 0 rows.*; 1 table could not be read at backup; 1 materialized view refreshed by the restore$/,
    );
    expect(found.findings).toEqual(['public.v was refreshed by the restore and is not as it was (1 row at backup, 2 now)']);
  });

  it('that the backup does not have is skipped, never passed', async () => {
    const off = print({ mode: 'off' });
    expect(await run(undefined, off)).toEqual({ status: 'skip', message: 'the backup holds no fingerprint' });
    expect(await run(off, off)).toEqual({ status: 'skip', message: 'the backup was made without a fingerprint (fingerprint: off)' });
  });

  it('of thousands of lost tables is told in a bounded number of lines', async () => {
    const many = print({ tables: Array.from({ length: 5000 }, (_, at) => table(`t${at}`)) });
    const { findings } = await run(many, print({ tables: [] }));
    expect(findings).toHaveLength(MAX_FINDINGS + 1);
    expect(findings?.at(-1)).toBe('and 4900 more');
  });
});

describe('the inventory', () => {
  const run = (expected: Fingerprint | undefined, actual: Fingerprint, over: Partial<CheckContext> = {}) =>
    inventory.run(contextOf(expected, actual, over), signal);

  it('that is equal passes', async () => {
    expect(await run(print(), print())).toEqual({ status: 'pass', message: 'all 1 object as at backup' });
  });

  it('counts what is missing, extra and changed, an object that changed twice once', async () => {
    const expected = print({ inventory: [index('public.gone'), { ...index('public.i'), owner: 'a' }] });
    const actual = print({ inventory: [{ ...index('public.i', 'bb'), owner: 'b' }, index('public.new')] });
    expect(await run(expected, actual)).toMatchObject({
      status: 'fail',
      message: 'of 2 objects: 1 missing, 1 not there at backup, 1 not as at backup',
      findings: [
        'index public.gone is missing',
        'index public.i is not as it was at backup',
        'index public.i belongs to b, at backup to a',
        'index public.new was not there at backup',
      ],
    });
  });

  it('passes with another version of an extension, and counts it', async () => {
    expect(await run(print({ inventory: [extension('3.4')] }), print({ inventory: [extension('3.5')] }))).toEqual({
      status: 'pass',
      message: 'all 1 object as at backup; 1 extension of another version than at backup',
      findings: ["the extension postgis is of version 3.5, at backup 3.4: a restore installs the target's own"],
    });
  });

  it('leaves owners out where the restore did, and says so', async () => {
    const owned = (owner: string) => print({ inventory: [{ ...index('public.i'), owner }] });
    expect(await run(owned('a'), owned('b'))).toMatchObject({ status: 'fail' });
    expect(await run(owned('a'), owned('b'), { noOwner: true })).toMatchObject({
      status: 'pass',
      message: expect.stringContaining('owners and privileges were not compared'),
    });
  });

  it('says what is not compared between two majors', async () => {
    const newer = print({ server: { versionNum: 180_001, encoding: 'UTF8', probe: '1' } });
    expect((await run(print(), newer)).message).toBe(
      'all 1 object as at backup; expressions and queries were not compared between PostgreSQL 17 and 18',
    );
  });

  it('leaves the encoding to the check of that name, and no object that is called so', async () => {
    const latin = { versionNum: 170_006, encoding: 'LATIN1', probe: '1' };
    expect(await run(print(), print({ server: latin }))).toMatchObject({ status: 'pass' });
    const schema = (definition: string): InventoryEntry => ({ kind: 'schema', identity: 'encoding', definition });
    expect(await run(print({ inventory: [schema('aa')] }), print({ inventory: [schema('bb')], server: latin }))).toMatchObject({
      status: 'fail',
    });
  });

  it('that the backup does not have is skipped', async () => {
    expect(await run(undefined, print())).toMatchObject({ status: 'skip' });
  });
});
