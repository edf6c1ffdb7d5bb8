import { readdir, readFile, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { collect } from '../../../src/core/bytes.ts';
import { isJetbackupError, type JetbackupError } from '../../../src/core/errors.ts';
import { type ConnectionSettings, hidden, openClient } from '../../../src/postgres/connection.ts';
import { dumpDatabase } from '../../../src/postgres/dump.ts';
import { exportSnapshot } from '../../../src/postgres/snapshot.ts';
import type { ClientTools } from '../../../src/postgres/tools.ts';
import { type PostgresMajor, type PostgresServer, startPostgres } from '../../support/postgres.ts';
import { baseEnv, deps, dump, settingsOf, tools } from './pipeline.ts';

const MANY = 1024 * 1024 * 1024;

async function failure(work: Promise<unknown>): Promise<JetbackupError> {
  const error: unknown = await work.then(
    () => undefined,
    (thrown) => thrown,
  );
  if (!isJetbackupError(error)) throw new Error('it should have failed with an error of the catalogue', { cause: error });
  return error;
}

describe.each<PostgresMajor>([15, 17, 18])('a dump from PostgreSQL %i', (major) => {
  let server: PostgresServer;
  let used: ClientTools;
  let settings: ConnectionSettings;

  beforeAll(async () => {
    server = await startPostgres(major);
    used = await tools(major);
    settings = settingsOf(server);
    await server.query(`
      CREATE TABLE "Wanted" (id int, v text);
      INSERT INTO "Wanted" SELECT i, repeat(md5(i::text), 10) FROM generate_series(1, 200000) i;
      CREATE ROLE nobody LOGIN PASSWORD 'nobody';
      CREATE ROLE reader LOGIN PASSWORD 'reader' IN ROLE pg_read_all_data`);
  });
  afterAll(async () => {
    await server?.stop();
  });

  it('gives way to an application that holds a table, and names the table', async () => {
    const other = new pg.Client(server.connection());
    await other.connect();
    await other.query('BEGIN; LOCK TABLE "Wanted" IN ACCESS EXCLUSIVE MODE');
    const error = await failure(dump(settings, used, 300));
    await other.end();
    expect(error.code).toBe('dump-interrupted-by-lock');
    expect(error.retryable).toBe(true);
    expect(error.hint).toContain('public."Wanted"');
  });

  it('says which right is missing when the user may not read a table', async () => {
    const error = await failure(dump({ ...settings, user: 'nobody', password: hidden('nobody') }, used));
    expect(error.code).toBe('database-denied');
    expect(error.message).toContain('permission denied for table Wanted');
    expect(error.hint).toContain('pg_read_all_data');
  });

  it('refuses to leave out the rows that row-level security hides', async () => {
    await server.query('CREATE DATABASE guarded');
    await server.query('CREATE TABLE secret (id int); ALTER TABLE secret ENABLE ROW LEVEL SECURITY', 'guarded');
    const reader = { ...settingsOf(server, 'guarded'), user: 'reader', password: hidden('reader') };
    const error = await failure(dump(reader, used));
    expect(error.code).toBe('database-denied');
    expect(error.hint).toContain('BYPASSRLS');
  });

  it('fails as unreachable when its server process is ended half way, and so does the snapshot', async () => {
    await using snapshot = await exportSnapshot(settings, { lockName: 'kill' });
    const stream = dumpDatabase(deps, { settings: snapshot.settings, tools: used, snapshot: snapshot.id, lockTimeoutMs: 5000, baseEnv });
    const source = stream[Symbol.asyncIterator]();
    await source.next();
    await snapshot.assertHeld();
    const ended = await server.query(
      "SELECT application_name FROM pg_stat_activity, pg_terminate_backend(pid) WHERE application_name LIKE 'jetbackup %'",
    );
    expect(ended).toHaveLength(2);
    const error = await failure(collect({ [Symbol.asyncIterator]: () => source }, MANY));
    expect(error.code).toBe('database-unreachable');
    expect((await failure(snapshot.assertHeld())).code).toBe('database-unreachable');
  });

  it('says that the password is wrong, and does not show it', async () => {
    const wrong = { ...settings, password: hidden('hunter2') };
    const error = await failure(exportSnapshot(wrong, { lockName: 'wrong' }));
    expect(error.code).toBe('database-denied');
    await using snapshot = await exportSnapshot(settings, { lockName: 'wrong' });
    const stream = dumpDatabase(deps, { settings: wrong, tools: used, snapshot: snapshot.id, lockTimeoutMs: 5000, baseEnv });
    const second = await failure(collect(stream, MANY));
    expect(second.code).toBe('database-denied');
    expect(`${error.message}${error.hint}${second.message}${second.hint}`).not.toContain('hunter2');
  });
});

describe('the snapshot and its connection', () => {
  let server: PostgresServer;
  let settings: ConnectionSettings;

  beforeAll(async () => {
    server = await startPostgres(15);
    settings = settingsOf(server);
    await server.query('CREATE TABLE t AS SELECT i, repeat(md5(i::text), 10) FROM generate_series(1, 60000) i');
  });
  afterAll(async () => {
    await server?.stop();
  });

  it('lets one backup of a database run at a time, and names the other one', async () => {
    const first = await exportSnapshot(settings, { lockName: 'one' });
    const error = await failure(exportSnapshot(settings, { lockName: 'one' }));
    expect(error.code).toBe('locked');
    expect(error.message).toMatch(/server process \d+ \("jetbackup snapshot", connected since \d{4}-/);
    await using _other = await exportSnapshot(settings, { lockName: 'two' });
    await first[Symbol.asyncDispose]();
    await using _again = await exportSnapshot(settings, { lockName: 'one' });
  });

  it('hands pg_dump its password in a passfile that only the user can read, and removes it', async () => {
    await using snapshot = await exportSnapshot(settings, { lockName: 'secret' });
    const stream = dumpDatabase(deps, {
      settings: snapshot.settings,
      tools: await tools(15),
      snapshot: snapshot.id,
      lockTimeoutMs: 5000,
      baseEnv,
    });
    const source = stream[Symbol.asyncIterator]();
    await source.next();

    const children: { argv: string; environ: string[] }[] = [];
    for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
      const argv = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
      const environ = (await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '')).split('\0');
      if (environ.includes('PGAPPNAME=jetbackup pg_dump') && environ.includes(`PGPORT=${server.port}`)) children.push({ argv, environ });
    }
    expect(children.length).toBeGreaterThan(0);
    for (const { argv, environ } of children) {
      expect(argv).toContain('--no-password');
      expect(argv + environ.join()).not.toContain(server.password);
      expect(environ.some((variable) => variable.startsWith('PGPASSWORD'))).toBe(false);
    }
    const passfile = children[0]?.environ.find((variable) => variable.startsWith('PGPASSFILE='))?.slice('PGPASSFILE='.length) ?? '';
    expect((await stat(passfile)).mode & 0o777).toBe(0o600);
    expect((await stat(dirname(passfile))).mode & 0o777).toBe(0o700);
    expect(await readFile(passfile, 'utf8')).toBe('*:*:*:*:p@ss\\:w/rd\\\\ %41\n');

    await source.return?.();
    await expect(stat(dirname(passfile))).rejects.toThrow('ENOENT');
  });

  it('ends a query when the signal is aborted, here and on the server', async () => {
    const stop = new AbortController();
    const client = await openClient(settings, { applicationName: 'sleeper', signal: stop.signal });
    const sleeping = client.query('SELECT pg_sleep(60)');
    stop.abort(new Error('enough'));
    await expect(sleeping).rejects.toThrow();
    await expect
      .poll(() => server.query("SELECT FROM pg_stat_activity WHERE application_name = 'sleeper'"), { timeout: 15_000, interval: 500 })
      .toEqual([]);
  });

  it('goes on to the next host, and nails the settings to the one that answered', async () => {
    const [host] = settings.hosts;
    if (host === undefined) throw new Error('the settings name a host');
    await using snapshot = await exportSnapshot({ ...settings, hosts: [{ host: '127.0.0.1', port: 1 }, host] }, { lockName: 'hosts' });
    expect(snapshot.settings.hosts).toEqual([{ ...host, hostaddr: expect.stringMatching(/^[\d.:a-f]+$/) }]);
  });

  it('is refused a connection without encryption where one is asked for', async () => {
    const error = await failure(openClient({ ...settings, ssl: { mode: 'require' } }, { applicationName: 'test' }));
    expect(error.code).toBe('database-denied');
    expect(error.hint).toContain('sslmode=prefer');
  });

  it('tells a missing database and a dead server apart', async () => {
    const missing = await failure(openClient(settingsOf(server, 'no such'), { applicationName: 'test' }));
    expect(missing).toMatchObject({ code: 'database-denied', hint: expect.stringContaining('psql -l') });
    const dead = await failure(openClient({ ...settings, hosts: [{ host: '127.0.0.1', port: 1 }] }, { applicationName: 'test' }));
    expect(dead).toMatchObject({ code: 'database-unreachable', message: expect.stringContaining('ECONNREFUSED') });
  });
});
