import { describe, expect, it } from 'vitest';
import { bytesOf, collect } from '../../../src/core/bytes.ts';
import type { ProcessRunner } from '../../../src/platform/processes.ts';
import { parseConnection } from '../../../src/postgres/connection.ts';
import { dumpGlobals } from '../../../src/postgres/globals.ts';

const tools = {
  ...{ major: 17, minor: 6, version: 'pg_dump (PostgreSQL) 17.6', directory: '/usr/bin', warnings: [] },
  ...{ pgDump: 'pg_dump', pgRestore: 'pg_restore', pgDumpall: 'pg_dumpall' },
};

async function globalsOf(sql: string): Promise<string> {
  const processes: ProcessRunner = {
    output: () => bytesOf(sql),
    consume: () => Promise.reject(new Error('not of this test')),
  };
  const settings = parseConnection({ url: 'postgresql://app@127.0.0.1/app', env: {} });
  const { stream } = await dumpGlobals({ processes }, { settings, tools, rolePasswords: true, baseEnv: {} });
  return Buffer.from(await collect(stream, 1e6)).toString('utf8');
}

const body = `--\n-- PostgreSQL database cluster dump\n--\n\n${'CREATE ROLE app;\n'.repeat(200)}\n`;
const end = '--\n-- PostgreSQL database cluster dump complete\n--\n\n';

describe('roles and tablespaces', () => {
  it('pass as pg_dumpall wrote them, with or without the line that lifts its restriction', async () => {
    expect(await globalsOf(body + end)).toBe(body + end);
    expect(await globalsOf(`${body}\\unrestrict abc\n\n${end}`)).toContain('unrestrict abc');
    expect(await globalsOf(`${body}${end}\\unrestrict abc\n\n`)).toContain('unrestrict abc');
  });

  it.each([
    ['nothing at all', ''],
    ['half of it', body.slice(0, 1000)],
    ['all but the last line', body],
    ['a half last line', body + end.slice(0, 30)],
    ['the last line in the middle alone', `COMMENT ON ROLE app IS '\n${end}';\n${body}`],
  ])('are no backup when a wrapper that exits with 0 passes on %s', async (_, sql) => {
    await expect(globalsOf(sql)).rejects.toMatchObject({
      code: 'dump-failed',
      message: expect.stringContaining('is incomplete'),
      hint: expect.stringContaining('bindir'),
    });
  });
});
