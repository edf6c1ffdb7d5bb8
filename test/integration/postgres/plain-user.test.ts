import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { type ConnectionSettings, hidden } from '../../../src/postgres/connection.ts';
import {
  analyzeDatabase,
  createStagingDatabase,
  inspectTarget,
  missingPrerequisites,
  sweepStaging,
} from '../../../src/postgres/restore.ts';
import type { ClientTools } from '../../../src/postgres/tools.ts';
import { type PostgresServer, startPostgres } from '../../support/postgres.ts';
import { dump, fill, settingsOf, tools } from './pipeline.ts';

/** As on a managed service: the application's owner may create databases and is nothing more. */
describe('a user who is no superuser', () => {
  let server: PostgresServer;
  let used: ClientTools;
  let owner: ConnectionSettings;

  beforeAll(async () => {
    [server, used] = await Promise.all([startPostgres(17), tools(17)]);
    await server.query("CREATE ROLE owner LOGIN CREATEDB PASSWORD 'owner'");
    await server.query('CREATE DATABASE src OWNER owner');
    await server.query('CREATE EXTENSION pgcrypto; CREATE EXTENSION file_fdw', 'src');
    await server.query(
      `SET ROLE owner; CREATE EXTENSION hstore;
       CREATE TABLE t (id int PRIMARY KEY, v hstore); INSERT INTO t VALUES (1, 'a=>1');
       REVOKE INSERT ON t FROM owner; CREATE TABLE c (t int REFERENCES t); INSERT INTO c VALUES (1)`,
      'src',
    );
    owner = { ...settingsOf(server, 'src'), user: 'owner', password: hidden('owner') };
  });
  afterAll(async () => {
    await server?.stop();
  });

  it('backs up and restores his own database, without the rights that only a superuser has', async () => {
    await server.query('DROP EXTENSION file_fdw', 'src');
    const { snapshot, archive } = await dump(owner, used);
    const settings = { ...owner, database: 'copy' };
    const state = await inspectTarget(settings);
    expect(state).toMatchObject({ isSuperuser: false, canCreateDatabase: true, canCreateRole: false });
    expect(missingPrerequisites({ ...snapshot.source, roles: ['owner'] }, snapshot.server, state, { noOwner: false })).toEqual([]);
    await using staging = await createStagingDatabase(settings, {
      source: snapshot.source,
      finalName: 'copy',
      runId: 'x-plain1',
      noOwner: true,
    });
    await fill(staging, archive, used, { noOwner: true });
    await analyzeDatabase(staging.settings, 2);
    await staging.promote('copy');
    expect(await server.query('SELECT v FROM t JOIN c ON c.t = t.id', 'copy')).toEqual([{ v: '"a"=>"1"' }]);
    expect(await sweepStaging(settings)).toEqual([]);
  });

  it('restores rows into a table on which its owner has no right to insert, because rights come last', async () => {
    const { snapshot, archive } = await dump(owner, used);
    const settings = { ...owner, database: 'second' };
    await using staging = await createStagingDatabase(settings, {
      source: snapshot.source,
      finalName: 'second',
      runId: 'x-plain2',
      noOwner: false,
    });
    await fill(staging, archive, used, { noOwner: true, noPrivileges: false });
    await staging.promote('second');
    expect(
      await server.query("SELECT has_table_privilege('owner', 't', 'INSERT') AS may, (SELECT count(*)::int FROM t) AS n", 'second'),
    ).toEqual([{ may: false, n: 1 }]);
  });

  it('learns beforehand of an extension that only a superuser may create', async () => {
    const { snapshot } = await dump(owner, used);
    const source = { ...snapshot.source, roles: [], extensions: [{ name: 'file_fdw', version: '1.0', schema: 'public' }] };
    const problems = missingPrerequisites(source, snapshot.server, await inspectTarget({ ...owner, database: 'third' }), {
      noOwner: false,
    });
    expect(problems).toEqual([
      { code: 'target-denied', message: 'only a superuser may create the extension "file_fdw"', hint: 'Restore as a superuser.' },
    ]);
  });

  it('restores although a superuser is connected to everything, and says who it is if he stays', async () => {
    const { snapshot } = await dump(owner, used);
    const settings = { ...owner, database: 'watched' };
    await using staging = await createStagingDatabase(settings, {
      source: snapshot.source,
      finalName: 'watched',
      runId: 'x-plain3',
      noOwner: true,
    });
    const monitoring = new pg.Client({ ...server.connection(staging.name), application_name: 'monitoring' });
    const own = new pg.Client({ ...server.connection(staging.name), user: 'owner', password: 'owner' });
    own.on('error', () => {});
    await Promise.all([monitoring.connect(), own.connect()]);
    const left = setTimeout(() => void monitoring.end(), 7_000);
    onTestFinished(() => clearTimeout(left));
    await staging.promote('watched');
    expect(await server.query('SELECT current_database() AS name', 'watched')).toEqual([{ name: 'watched' }]);

    await using second = await createStagingDatabase(settings, {
      source: snapshot.source,
      finalName: 'again',
      runId: 'x-plain4',
      noOwner: true,
    });
    const staying = new pg.Client({ ...server.connection(second.name), application_name: 'monitoring' });
    await staying.connect();
    await expect(second.promote('again')).rejects.toMatchObject({
      code: 'restore-failed',
      message: expect.stringMatching(/cannot be renamed to again .* of role "postgres" \("monitoring"\) in again_jetbackup_plain4/),
      hint: expect.stringContaining('superuser'),
    });
    await staying.end();
    await second.promote('again');
  });
});
