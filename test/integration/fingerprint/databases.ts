import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import * as z from 'zod';
import type { SqlSession } from '../../../scripts/fixtures/jetadmin.ts';
import type { Fingerprint } from '../../../src/core/fingerprint.ts';
import { parseConnection } from '../../../src/postgres/connection.ts';
import { type FingerprintRequest, takeFingerprint } from '../../../src/postgres/fingerprint.ts';
import { clientTools } from '../../support/client-tools.ts';
import type { PostgresServer } from '../../support/postgres.ts';

const run = promisify(execFile);

/** Runs `load` in a new database. */
export async function makeDatabase(
  server: PostgresServer,
  name: string,
  load: (session: SqlSession) => Promise<unknown>,
  create = 'TEMPLATE template0',
): Promise<void> {
  await server.query(`CREATE DATABASE ${pg.escapeIdentifier(name)} ${create}`);
  await inDatabase(server, name, load);
}

export async function inDatabase<T>(server: PostgresServer, name: string, use: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client(server.connection(name));
  await client.connect();
  try {
    return await use(client);
  } finally {
    await client.end();
  }
}

/** Plain pg_dump -Fc with the client of the source's major, pg_restore with that of the target's: no part of this project. */
export async function dumpAndRestore(
  source: PostgresServer,
  sourceName: string,
  target: PostgresServer,
  targetName: string,
  options: { readonly create?: string; readonly restore?: readonly string[] } = {},
): Promise<void> {
  await target.query(`CREATE DATABASE ${pg.escapeIdentifier(targetName)} ${options.create ?? 'TEMPLATE template0'}`);
  const folder = await mkdtemp(join(tmpdir(), 'jetbackup-fingerprint-'));
  try {
    const file = join(folder, 'dump');
    const program = async (server: PostgresServer, name: string) => join((await clientTools(server.major)).directory, name);
    const environment = (server: PostgresServer, database: string) => ({
      env: { PGHOST: server.host, PGPORT: String(server.port), PGUSER: server.user, PGPASSWORD: server.password, PGDATABASE: database },
    });
    await run(await program(source, 'pg_dump'), ['-Fc', '-Z0', '-f', file], environment(source, sourceName));
    await run(
      await program(target, 'pg_restore'),
      ['--exit-on-error', ...(options.restore ?? []), '-d', targetName, file],
      environment(target, targetName),
    );
  } finally {
    await rm(folder, { recursive: true });
  }
}

export function fingerprintOf(server: PostgresServer, name: string, request: Partial<FingerprintRequest> = {}): Promise<Fingerprint> {
  const settings = parseConnection({ url: server.url(name), env: {} });
  return takeFingerprint(settings, { mode: 'content', ...request }, new AbortController().signal);
}

/** Gives the server an extension of our own: each version a script from scratch, the first one the default. */
export async function makeExtension(server: PostgresServer, name: string, versions: Readonly<Record<string, string>>): Promise<void> {
  const [row] = await server.query("SELECT setting FROM pg_config WHERE name = 'SHAREDIR'");
  const folder = `${z.object({ setting: z.string() }).parse(row).setting}/extension`;
  const files = [
    [`${name}.control`, `default_version = '${Object.keys(versions)[0]}'\nrelocatable = false\n`],
    ...Object.entries(versions).map(([version, sql]) => [`${name}--${version}.sql`, sql]),
  ];
  for (const [file, text] of files) {
    const { exitCode, output } = await server.exec(['sh', '-c', 'printf %s "$1" > "$2"', 'sh', text ?? '', `${folder}/${file}`]);
    if (exitCode !== 0) throw new Error(`${file} was not written: ${output}`);
  }
}
