import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { generateIdentity } from '../../src/crypto/identities.ts';
import { clientTools } from '../support/client-tools.ts';
import { contentsOf, createSample, expectFailure, type Installation, makeInstallation } from '../support/installation.ts';
import { type PostgresServer, startPostgres } from '../support/postgres.ts';
import { until } from '../support/waiting.ts';

const DATABASE = 'source';
const CONTROL_FILE = '/usr/share/postgresql/17/extension/hstore.control';

describe('what a command needs and does not find', () => {
  let server: PostgresServer;
  let older: PostgresServer;
  let installation: Installation;
  let identityFile: string;
  let identity: string;
  let signingKeyFile: string;
  let signingKey: string;

  const databases = async () => (await server.query('SELECT datname FROM pg_database ORDER BY 1')).map(({ datname }) => datname);
  const restore = (...args: string[]) => installation.cli.run('restore', 'latest', '--as', 'restored', ...args);

  beforeAll(async () => {
    [server, older] = await Promise.all([startPostgres(17), startPostgres(15)]);
    await createSample(server, DATABASE, 1);
    installation = await makeInstallation({ server, database: DATABASE });
    identityFile = join(installation.cli.directory, 'jetbackup-identity.txt');
    identity = await readFile(identityFile, 'utf8');
    signingKeyFile = join(installation.cli.directory, 'jetbackup-signing-key.pem');
    signingKey = await readFile(signingKeyFile, 'utf8');
    await installation.backup();
  });
  afterEach(async () => {
    await installation.programs.restore();
    await installation.expectNothingLeft();
    expect(await databases()).not.toContain('restored');
  });
  afterAll(async () => {
    await installation?.[Symbol.asyncDispose]();
    await Promise.all([server?.stop(), older?.stop()]);
  });

  describe('keys', () => {
    afterEach(async () => {
      await writeFile(identityFile, identity, { mode: 0o600 });
      await writeFile(signingKeyFile, signingKey, { mode: 0o600 });
    });

    it('a wrong identity opens nothing', async () => {
      await writeFile(identityFile, `${(await generateIdentity()).identity}\n`);
      expectFailure(await restore(), 21);
      expectFailure(await installation.cli.run('export', 'latest', '-o', join(installation.cli.directory, 'exported')), 21);
      expect(installation.proxy.applications.filter((name) => name.includes('pg_restore'))).toEqual([]);
    });

    it('no identity is told as such, and where it should be', async () => {
      await rm(identityFile);
      expectFailure(await restore(), 21, /jetbackup-identity\.txt/);
    });

    it('a backup needs the signing key and no identity', async () => {
      await rm(identityFile);
      await installation.backup();
      await rm(signingKeyFile);
      const committed = await installation.committed();
      expectFailure(await installation.cli.run('backup'), 21, /signing key/);
      expect(await installation.committed()).toEqual(committed);
      // It failed before it began, and is on record all the same: alarms go by that.
      const status = (await installation.cli.run('status', '--json')).json();
      const failed = { operation: 'backup', result: 'failed', error: expect.objectContaining({ code: 'key-missing' }) };
      expect(status).toMatchObject({ databases: [{ lastRuns: expect.arrayContaining([expect.objectContaining(failed)]) }] });
    });
  });

  it('a missing role stops the restore before it begins; --create-roles and --no-owner each get it through', async () => {
    await server.query('CREATE ROLE app_owner');
    await server.query('CREATE DATABASE owned');
    await server.query('CREATE TABLE kept AS SELECT n FROM generate_series(1, 10) n; ALTER TABLE kept OWNER TO app_owner', 'owned');
    await using other = await makeInstallation({ server, database: 'owned' });
    await other.backup();
    const contents = await contentsOf(server, 'owned');
    await server.query('DROP DATABASE owned');
    await server.query('DROP ROLE app_owner');

    const attempt = (...args: string[]) => other.cli.run('restore', 'latest', ...args);
    expectFailure(await attempt(), 23, /app_owner[\s\S]*hint: .*--create-roles.*--no-owner/);
    expect(await databases()).not.toContain('owned');
    for (const option of ['--no-owner', '--create-roles']) {
      const restored = await attempt(option);
      expect(restored, restored.stderr).toMatchObject({ code: 0 });
      expect(await contentsOf(server, 'owned')).toEqual(contents);
      const [table] = await server.query("SELECT tableowner FROM pg_tables WHERE tablename = 'kept'", 'owned');
      expect(table).toEqual({ tableowner: option === '--no-owner' ? 'postgres' : 'app_owner' });
      await server.query('DROP DATABASE owned');
    }
    await server.query('DROP ROLE app_owner');
    await other.expectNothingLeft();
  });

  it('a missing extension stops the restore before it begins', async () => {
    await server.query('CREATE EXTENSION hstore', DATABASE);
    await installation.backup();
    await server.exec(['mv', CONTROL_FILE, '/tmp/hstore.control']);
    expectFailure(await restore(), 23, /hstore[\s\S]*hint: .*(install|Install)/);
    await server.exec(['mv', '/tmp/hstore.control', CONTROL_FILE]);
    await installation.restoresEqual();
  });

  it('a target of an older major is refused before it is touched', async () => {
    const before = await older.query('SELECT oid, datname FROM pg_database ORDER BY 1');
    const to = `postgres://${older.user}@${older.host}:${older.port}/restored`;
    const { PGPASSWORD } = { PGPASSWORD: older.password };
    await installation.configure({ bindir: (await clientTools(17)).directory });
    const ended = await installation.cli.start(['restore', 'latest', '--to', to], { PGPASSWORD }).ended;
    expectFailure(ended, 23, /PostgreSQL 17.*PostgreSQL 15/);
    expect(await older.query('SELECT oid, datname FROM pg_database ORDER BY 1')).toEqual(before);
    await installation.configure({ bindir: installation.programs.directory });
  });

  it('a name that is taken is refused, and what has it stays as it is', async () => {
    const before = await contentsOf(server, DATABASE);
    expectFailure(await installation.cli.run('restore', 'latest', '--as', DATABASE), 23, /already/);
    expectFailure(await installation.cli.run('restore', 'latest', '--as', 'postgres'), 23, /already/);
    expect(await contentsOf(server, DATABASE)).toEqual(before);
  });

  it('of two backups of one database at once the second is told of the first, which goes on', async () => {
    const before = await installation.committed();
    await installation.programs.hold('pg_dumpall');
    const run = installation.cli.start(['backup']);
    await until('the first is at work', () => installation.programs.reached());
    expectFailure(await installation.cli.run('backup'), 12, /another run/);
    await installation.programs.restore();
    expect(await run.ended).toMatchObject({ code: 0 });
    expect(await installation.committed()).toHaveLength(before.length + 1);
    await installation.restoresEqual();
  });

  it('backups of two databases at once do not disturb each other', async () => {
    await createSample(server, 'neighbour', 1);
    const file = join(installation.cli.directory, 'jetbackup.yaml');
    const before = await readFile(file, 'utf8');
    const { databases: configured, ...rest } = await import('yaml').then(({ parse }) => parse(before));
    const url = String(configured[0].url).replace(`/${DATABASE}`, '/neighbour');
    const both = { ...rest, databases: [configured[0], { ...configured[0], name: 'neighbour', url }] };
    await writeFile(file, JSON.stringify(both));
    await installation.programs.hold('pg_dumpall');
    const runs = [DATABASE, 'neighbour'].map((name) => installation.cli.start(['backup', name]));
    await until('both are at work', async () => {
      const [row] = await server.query("SELECT count(*)::int AS n FROM pg_stat_activity WHERE application_name = 'jetbackup snapshot'");
      return row?.['n'] === 2;
    });
    await installation.programs.restore();
    for (const run of runs) {
      const ended = await run.ended;
      expect(ended, ended.stderr).toMatchObject({ code: 0 });
    }
    await writeFile(file, before);
  });
});
