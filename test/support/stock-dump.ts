import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { clientTools } from './client-tools.ts';
import type { PostgresServer } from './postgres.ts';

const execute = promisify(execFile);

function libpq(at: PostgresServer, database: string): Record<string, string> {
  return { PGHOST: at.host, PGPORT: String(at.port), PGUSER: at.user, PGPASSWORD: at.password, PGDATABASE: database };
}

/** What the stock pg_dump says of a whole database, in sorted lines: an opinion that owes jetbackup nothing. */
export async function stockDump(at: PostgresServer, database: string, options: readonly string[] = []): Promise<string[]> {
  const { directory } = await clientTools(at.major);
  const { stdout } = await execute(join(directory, 'pg_dump'), ['--inserts', ...options], {
    env: libpq(at, database),
    maxBuffer: 512 * 1024 * 1024,
    encoding: 'latin1',
  });
  // \restrict carries a random word, and pg_attver is a mark of the server's own, which a pg_dump older than it writes out;
  // rows come in the order in which they lie, which is no part of the content.
  return stdout
    .replaceAll(/, pg_attver=\d+|pg_attver=\d+, /g, '')
    .split('\n')
    .filter((line) => !/^\\(un)?restrict |^--| SET \(pg_attver=\d+\);$/.test(line))
    .sort();
}

/**
 * A restore by pg_dump and pg_restore alone: what they change on the way (how expressions are written, the order of
 * inherited columns) is right.
 * `create` is what to append to CREATE DATABASE, `options` are pg_dump's.
 */
export async function stockRestore(
  at: PostgresServer,
  database: string,
  restored: string,
  create: string,
  options: readonly string[] = [],
): Promise<void> {
  const { directory } = await clientTools(at.major);
  await at.query(`CREATE DATABASE "${restored}" ${create}`);
  const archive = await execute(join(directory, 'pg_dump'), ['-Fc', ...options], {
    env: libpq(at, database),
    maxBuffer: 512 * 1024 * 1024,
    encoding: 'buffer',
  });
  const restoring = execute(join(directory, 'pg_restore'), ['--exit-on-error', `--dbname=${restored}`], { env: libpq(at, restored) });
  restoring.child.stdin?.end(archive.stdout);
  await restoring;
}
