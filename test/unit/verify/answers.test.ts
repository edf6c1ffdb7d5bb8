import { describe, expect, it } from 'vitest';
import type { Source } from '../../../src/core/manifest.ts';
import { stateOf } from '../../../src/postgres/database-errors.ts';
import { canary, judge as judgeCanary } from '../../../src/verify/checks/canary.ts';
import { problemWith, queries } from '../../../src/verify/checks/queries.ts';
import { databaseSearchPath } from '../../../src/verify/checks/scalar.ts';
import { judge as judgeValues, values } from '../../../src/verify/checks/values.ts';
import { sampleManifest } from '../../support/manifest.ts';
import { contextOf, print } from './contexts.ts';

const { signal } = new AbortController();

describe('recorded values', () => {
  const recorded = [
    { name: 'users', sql: 'SELECT 1', value: '7' },
    { name: 'none', sql: 'SELECT 2', value: null },
  ];
  const value = (text: string | null) => ({ kind: 'value' as const, value: text, isBoolean: false });
  const denied = { kind: 'error' as const, state: '42501', message: 'permission denied' };

  it('that are the same pass, NULL too', () => {
    expect(judgeValues(recorded, [value('7'), value(null)], true)).toEqual({
      status: 'pass',
      message: '2 of 2 recorded values as at backup',
    });
  });
  it('that differ, fail or are no value fail', () => {
    expect(judgeValues(recorded, [value('8'), value('')], true)).toMatchObject({
      status: 'fail',
      message: '2 of 2 recorded values not as at backup',
      findings: ['the value "users" is "8", at backup "7"', 'the value "none" is "", at backup NULL'],
    });
    expect(judgeValues(recorded, [{ kind: 'shape', why: 'gave no row' }, denied], true)).toMatchObject({
      findings: [
        'the value "users" was "7" at backup, and now its query gave no row',
        'the value "none" was NULL at backup, and now its query failed (42501): permission denied',
      ],
    });
  });
  it('that may not be asked for on a server that is not ours are neither passed nor failed', () => {
    expect(judgeValues(recorded, [denied, denied], false)).toMatchObject({ status: 'skip' });
    expect(judgeValues(recorded, [value('7'), denied], false)).toMatchObject({
      status: 'pass',
      message: expect.stringContaining('1 of 2 recorded values as at backup; 1 cannot be asked for'),
    });
  });
  it('that were not recorded are skipped', async () => {
    expect(await values.run(contextOf(print(), print()), signal)).toEqual({
      status: 'skip',
      message: 'the backup recorded no values (values)',
    });
    expect(await values.run(contextOf(undefined, print()), signal)).toMatchObject({ status: 'skip' });
  });
});

describe('the canary', () => {
  const row = { schema: 'public', table: 'c', backup: 'b1', writtenAt: '2026-11-20T02:00:00.123456Z' };
  const rows = { total: '3', writtenAt: row.writtenAt, newer: '0', later: '0' };

  it('that is there and the newest passes', () => {
    expect(judgeCanary(row, rows)).toEqual({
      status: 'pass',
      message: 'the row that the backup wrote at 2026-11-20T02:00:00.123456Z is there and is the newest',
    });
  });
  it('passes where another backup wrote its own before the snapshot, and tells of it', () => {
    expect(judgeCanary(row, { ...rows, newer: '1' })).toMatchObject({
      status: 'pass',
      message: expect.stringContaining('is followed by 1 of other backups'),
    });
  });
  it.each([
    ['is gone', { writtenAt: null }],
    ['is of another time', { writtenAt: '2026-11-19T02:00:00.123456Z' }],
    ['is followed by one from after the snapshot', { newer: '1', later: '1' }],
  ])('that %s fails', (_, over) => {
    expect(judgeCanary(row, { ...rows, ...over })).toMatchObject({ status: 'fail', hint: expect.stringContaining('jetbackup') });
  });
  it('that was not written is skipped', async () => {
    expect(await canary.run(contextOf(print(), print()), signal)).toEqual({
      status: 'skip',
      message: 'the backup wrote no canary (canary)',
    });
  });
});

describe('queries', () => {
  const value = (text: string | null, isBoolean = false) => ({ kind: 'value' as const, value: text, isBoolean });

  it('of which there are none are skipped with the setting’s name', async () => {
    expect(await queries.run(contextOf(print(), print()), signal)).toEqual({
      status: 'skip',
      message: 'no queries are configured (verify.queries)',
    });
  });
  it('give what is expected, as text', () => {
    expect(problemWith({ expect: '7' }, value('7'))).toBeUndefined();
    expect(problemWith({ expect: '7' }, value('7.0'))).toBe('gave "7.0", not "7"');
    expect(problemWith({ expect: '' }, value(null))).toBe('gave NULL, not ""');
    expect(problemWith({ expect: 'false' }, value('f', true))).toBeUndefined();
    expect(problemWith({ expect: 't' }, value('t', true))).toBeUndefined();
  });
  it('without an expectation give the boolean true and nothing that looks like it', () => {
    expect(problemWith({ expect: undefined }, value('t', true))).toBeUndefined();
    expect(problemWith({ expect: undefined }, value('f', true))).toBe('gave false, not true');
    expect(problemWith({ expect: undefined }, value('true'))).toContain('no boolean');
  });
  it('show of a long value its beginning', () => {
    expect(problemWith({ expect: '7' }, value('x'.repeat(5000)))).toHaveLength('gave "…", not "7"'.length + 200);
  });
  it('find names by the search_path that the database has of its own', () => {
    const settings = (...all: Source['settings']) => databaseSearchPath({ ...sampleManifest().source, settings: all });
    expect(settings({ role: null, setting: 'search_path=app, public' }, { role: 'x', setting: 'search_path=other' })).toBe('app, public');
    expect(settings({ role: 'x', setting: 'search_path=other' })).toBeUndefined();
  });
});

describe('an error of the server', () => {
  const state = (code: string) => stateOf(Object.assign(new Error('no'), { code }));
  it('about a statement is a verdict', () => {
    expect(['42P01', '42501', '57014', '22012', 'XX002', 'P0001', '25006'].map(state)).toEqual([
      '42P01',
      '42501',
      '57014',
      '22012',
      'XX002',
      'P0001',
      '25006',
    ]);
  });
  it('about itself, or of the way to it, is none', () => {
    expect(['53100', '53200', '57P01', '57P02', '08006', '58030', '40P01', '55P03', 'EPIPE', 'ECONNRESET'].map(state)).toEqual(
      Array(10).fill(undefined),
    );
    expect(stateOf(new Error('Connection terminated unexpectedly'))).toBeUndefined();
  });
});
