import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Source } from '../../../src/core/manifest.ts';
import { checkIds } from '../../../src/core/verification.ts';
import { allChecks } from '../../../src/verify/all.ts';
import { amcheck, judge as judgeAmcheck } from '../../../src/verify/checks/amcheck.ts';
import { sampleOf } from '../../../src/verify/checks/amcheck-sample.ts';
import { asAtBackup } from '../../../src/verify/checks/compare.ts';
import { judge as judgeConstraints } from '../../../src/verify/checks/constraints.ts';
import { judge as judgeEncoding } from '../../../src/verify/checks/encoding.ts';
import { judge as judgeIndexes } from '../../../src/verify/checks/indexes.ts';
import { sampleManifest } from '../../support/manifest.ts';

import { contextOf, index, print } from './contexts.ts';

const { signal } = new AbortController();

it('runs in the order in which checks are recorded', () => {
  const order = allChecks.map(({ id }) => id);
  expect(order).toEqual(checkIds.slice(-order.length));
});

describe('constraints', () => {
  const open = { kind: 'constraint', identity: 'c on public.t', validated: false, mayBeDeclared: true };
  const good = { ...open, identity: 'd on public.t', validated: true };

  it('that are all validated pass', () => {
    expect(judgeConstraints([good], undefined)).toEqual({ status: 'pass', message: 'all 1 constraint validated' });
  });
  it('that were not valid at backup either pass, and are told', () => {
    expect(judgeConstraints([good, open], () => true)).toMatchObject({
      status: 'pass',
      findings: ['the constraint c on public.t is NOT VALID, as its definition says'],
    });
  });
  it('that were valid at backup fail', () => {
    expect(judgeConstraints([good, open], () => false)).toMatchObject({
      status: 'fail',
      message: '1 of 2 constraints not validated, which was at backup',
    });
  });
  it('without an inventory pass where a dump may say so, and fail where none can', () => {
    expect(judgeConstraints([open], undefined)).toMatchObject({ status: 'pass' });
    expect(judgeConstraints([{ ...open, mayBeDeclared: false }], undefined)).toMatchObject({ status: 'fail' });
  });
  it('are held against the same definition in the backup', async () => {
    const same = await asAtBackup(
      contextOf(
        print({ inventory: [index('public.i', 'aa'), index('public.j', 'aa')] }),
        print({ inventory: [index('public.i', 'aa'), index('public.j', 'bb')] }),
      ),
    );
    expect(['public.i', 'public.j', 'public.k'].map((identity) => same?.('index', identity))).toEqual([true, false, false]);
    expect(await asAtBackup(contextOf(undefined, print()))).toBeUndefined();
  });
});

describe('indexes', () => {
  const partial = { identity: 'public.p', usable: false, lacksParts: true };
  const broken = { identity: 'public.b', usable: false, lacksParts: false };

  it('that were invalid at backup pass, others fail', () => {
    expect(judgeIndexes([partial], () => true)).toMatchObject({ status: 'pass', findings: [expect.stringContaining('public.p')] });
    expect(judgeIndexes([partial, broken], (_, identity) => identity === 'public.p')).toMatchObject({
      status: 'fail',
      findings: ['the index public.b is not valid'],
    });
  });
  it('without an inventory pass only where a partition has no part of them', () => {
    expect(judgeIndexes([partial], undefined)).toMatchObject({ status: 'pass' });
    expect(judgeIndexes([broken], undefined)).toMatchObject({ status: 'fail', message: '1 of 1 index not valid' });
  });
});

describe('amcheck', () => {
  const tree = (identity: string, bytes = 8192) => ({ oid: '1', identity, bytes });
  const [a, b] = [tree('public.a'), tree('public.b', 16384)];

  it('says how many of how many, and how many bytes', () => {
    expect(judgeAmcheck([a, b], [{ index: a, asked: { outcome: 'sound' } }])).toEqual({
      status: 'pass',
      message: '1 of 2 B-trees checked against their tables, 8192 of 24576 bytes',
    });
  });
  it('fails with the index that is corrupt in its findings alone', () => {
    const found = judgeAmcheck(
      [a, b],
      [
        { index: a, asked: { outcome: 'corrupt', message: 'item order invariant violated' } },
        { index: b, asked: { outcome: 'sound' } },
      ],
    );
    expect(found).toMatchObject({ status: 'fail', findings: ['public.a: item order invariant violated'] });
    expect(found.message).toBe('1 corrupt: all 2 B-trees checked against their tables, 24576 of 24576 bytes');
  });
  it('passes no index that it could not look at', () => {
    const unable = { outcome: 'unable' as const, message: 'permission denied' };
    expect(judgeAmcheck([a], [{ index: a, asked: unable }])).toMatchObject({ status: 'skip', findings: ['public.a: permission denied'] });
    expect(
      judgeAmcheck(
        [a, b],
        [
          { index: a, asked: unable },
          { index: b, asked: { outcome: 'sound' } },
        ],
      ),
    ).toMatchObject({
      status: 'pass',
      message: '1 of 2 B-trees checked against their tables, 16384 of 24576 bytes; 1 cannot be checked',
    });
  });
  it('that is off is skipped', async () => {
    expect(await amcheck.run(contextOf(print(), print()), signal)).toEqual({ status: 'skip', message: 'amcheck is off (verify.amcheck)' });
  });

  const trees = fc.uniqueArray(fc.record({ identity: fc.string(), bytes: fc.nat(1000) }), { selector: ({ identity }) => identity });
  it('samples within the budget, all of it where it fits, and leaves out nothing that would still fit', () => {
    fc.assert(
      fc.property(trees, fc.string(), fc.nat(5000), (all, seed, budget) => {
        const chosen = sampleOf(all, seed, budget);
        const size = (some: readonly { readonly bytes: number }[]) => some.reduce((sum, { bytes }) => sum + bytes, 0);
        expect(size(chosen)).toBeLessThanOrEqual(budget);
        if (size(all) <= budget) expect(new Set(chosen)).toEqual(new Set(all));
        for (const left of all.filter((one) => !chosen.includes(one))) expect(left.bytes).toBeGreaterThan(budget - size(chosen));
        expect(sampleOf(all.toReversed(), seed, budget)).toEqual(chosen);
      }),
    );
  });
  it('gives every index its turn as backups come', () => {
    const all = Array.from({ length: 20 }, (_, at) => ({ identity: `public.i${at}`, bytes: 10 }));
    const seen = new Set(Array.from({ length: 60 }, (_, backup) => sampleOf(all, `backup-${backup}`, 40)).flat());
    expect(seen.size).toBe(20);
  });
});

describe('the encoding', () => {
  const source: Source = { ...sampleManifest().source, collate: 'en_US.UTF-8', collationVersion: '2.36' };
  const now = {
    ...{ versionNum: 150_008, encoding: 'UTF8', collate: 'en_US.UTF-8', ctype: 'C.UTF-8', provider: 'c' as const, locale: null },
    collationVersion: '2.36',
  };

  it('that is the same passes without a word more', () => {
    expect(judgeEncoding(source, 15, now, [])).toEqual({ status: 'pass', message: 'the encoding is UTF8, as at backup' });
  });
  it('that is another fails', () => {
    expect(judgeEncoding(source, 15, { ...now, encoding: 'LATIN1' }, [])).toMatchObject({
      status: 'fail',
      message: 'the encoding is LATIN1, at backup it was UTF8',
    });
  });
  it('passes with other collation versions, which are told to be no corruption', () => {
    const found = judgeEncoding(source, 15, { ...now, collationVersion: '2.41' }, [{ identity: 'public.de', recorded: '1', actual: '2' }]);
    expect(found).toMatchObject({
      status: 'pass',
      message: 'the encoding is UTF8, as at backup; 2 collation versions differ, which is no corruption',
    });
    expect(found.findings).toEqual([
      "the database's collation is of version 2.41 (libc), at backup 2.36",
      "the collation public.de is recorded with version 1, and the server's library has 2",
      expect.stringContaining('built every index anew'),
    ]);
  });
  it('says nothing of a version that one side has not noted', () => {
    expect(judgeEncoding({ ...source, collationVersion: null }, 14, now, []).findings).toBeUndefined();
  });
  it('tells another locale, and takes no two spellings of one for two', () => {
    expect(judgeEncoding(source, 15, { ...now, collate: 'C' }, [])).toMatchObject({
      status: 'pass',
      findings: ['LC_COLLATE is C, at backup en_US.UTF-8', expect.stringContaining('may sort otherwise')],
    });
    const icu = { ...source, localeProvider: 'i' as const, locale: 'en_US' };
    expect(judgeEncoding(icu, 15, { ...now, provider: 'i', locale: 'en-US' }, []).findings).toBeUndefined();
  });
  it('tells another major', () => {
    expect(judgeEncoding(source, 14, now, []).message).toBe(
      'the encoding is UTF8, as at backup; restored into PostgreSQL 15, the backup is of PostgreSQL 14',
    );
  });
});
