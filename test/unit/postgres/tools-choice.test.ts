import { describe, expect, it } from 'vitest';
import type { ClientTools } from '../../../src/postgres/tools.ts';
import { chooseTools } from '../../../src/postgres/tools-choice.ts';

function tools(version: string): ClientTools {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const directory = `/v${version}`;
  return {
    major,
    minor,
    version: `pg_dump (PostgreSQL) ${version}`,
    directory,
    pgDump: `${directory}/pg_dump`,
    pgRestore: '',
    pgDumpall: '',
    warnings: [],
  };
}

function choose(purpose: 'dump' | 'restore', found: string[], server: number, dumpedBy?: string) {
  const choice = chooseTools(found.map(tools), {
    purpose,
    serverVersionNum: server,
    ...(dumpedBy === undefined ? {} : { dumpedBy: `pg_dump (PostgreSQL) ${dumpedBy} (Debian)` }),
  });
  return choice.tools === undefined ? choice : `${choice.tools.major}.${choice.tools.minor}`;
}

describe('the tools to dump with', () => {
  it.each([
    [['15.18', '17.6', '18.1'], 170_006, '17.6'],
    [['15.18', '18.1', '16.2'], 150_018, '15.18'],
    [['17.1', '17.6', '17.3'], 170_003, '17.6'],
    [['16.2', '18.1'], 150_004, '16.2'],
    [['18.1'], 140_004, '18.1'],
  ])('of %j for a server %i are %s', (found, server, expected) => {
    expect(choose('dump', found, server)).toBe(expected);
  });

  it('are refused when older than the server, with the major to install', () => {
    expect(choose('dump', ['15.18', '16.4'], 170_006)).toMatchObject({
      reason: 'the server is PostgreSQL 17, and the PostgreSQL client programs found are 15.18 (/v15.18), 16.4 (/v16.4)',
      installMajor: 17,
    });
    expect(choose('dump', [], 170_006)).toMatchObject({
      reason: 'the server is PostgreSQL 17, and no PostgreSQL client programs were found',
      installMajor: 17,
    });
  });

  it('come with a warning when they are of an older minor, or when there will be no way back to the server’s major', () => {
    const warnings = (found: string, server: number) =>
      chooseTools([tools(found)], { purpose: 'dump', serverVersionNum: server }).tools?.warnings;
    expect(warnings('15.18', 150_020)).toEqual([expect.stringContaining('older than the server (15.20)')]);
    expect(warnings('17.6', 150_020)).toEqual([expect.stringContaining('restored into PostgreSQL 17 or newer only')]);
    expect(warnings('16.6', 150_020)).toEqual([]);
    expect(warnings('18.1', 170_020)).toEqual([]);
    expect(warnings('17.6', 170_006)).toEqual([]);
  });
});

describe('the tools to restore with', () => {
  it.each([
    // [found, target, dumped by, expected]
    [['15.18', '17.6', '18.1'], 170_006, '15.18', '17.6'],
    [['15.18', '17.6'], 150_018, '15.18', '15.18'],
    [['15.18', '16.1'], 170_006, '15.18', '16.1'],
    [['16.1', '17.6'], 150_018, '15.18', '16.1'],
    [['18.1'], 170_006, '17.6', '18.1'],
    [['15.1', '15.9'], 170_006, '15.1', '15.9'],
  ])('of %j into %i for an archive of pg_dump %s are %s', (found, target, dumpedBy, expected) => {
    expect(choose('restore', found, target, dumpedBy)).toBe(expected);
  });

  it('are refused when they cannot read the archive, with the major to install', () => {
    expect(choose('restore', ['15.18', '16.1'], 170_006, '17.6')).toMatchObject({ installMajor: 17 });
    // 17 reads it, but begins with a statement that 15 does not know.
    expect(choose('restore', ['17.6'], 150_018, '15.18')).toMatchObject({ installMajor: 15 });
  });

  it('do not exist for an archive of pg_dump 17 and an older target', () => {
    expect(choose('restore', ['15.18', '17.6'], 150_018, '17.6')).toEqual({
      reason: 'the archive was written by pg_dump 17, which only pg_restore 17 or newer reads, and that cannot restore into PostgreSQL 15',
      hint: 'Restore into PostgreSQL 17 or newer.',
    });
  });
});
