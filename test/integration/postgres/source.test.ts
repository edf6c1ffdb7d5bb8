import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { collect } from '../../../src/core/bytes.ts';
import { type ConnectionSettings, hidden, openClient } from '../../../src/postgres/connection.ts';
import { dumpDatabase } from '../../../src/postgres/dump.ts';
import { exportSnapshot } from '../../../src/postgres/snapshot.ts';
import { hiddenFromUser, readSource } from '../../../src/postgres/source.ts';
import { type PostgresMajor, type PostgresServer, startPostgres } from '../../support/postgres.ts';
import { makeExtension } from '../fingerprint/databases.ts';
import { baseEnv, deps, settingsOf, tools } from './pipeline.ts';

describe.each([15, 17, 18] as const)('PostgreSQL %i', (major: PostgresMajor) => {
  let server: PostgresServer;
  beforeAll(async () => {
    server = await startPostgres(major, { command: ['-c', 'wal_level=logical'] });
  });
  afterAll(async () => {
    await server?.stop();
  });

  const rolesOf = async (database: string) => {
    const client = await openClient(settingsOf(server, database), { applicationName: 'test' });
    try {
      return (await readSource(client, major * 10_000)).roles;
    } finally {
      await client.end();
    }
  };

  it('needs the roles that own and get rights, and not those of extensions', async () => {
    await server.query(
      'CREATE ROLE app; CREATE ROLE installer SUPERUSER; CREATE ROLE reader; CREATE ROLE script_reader; CREATE ROLE hanger',
    );
    await makeExtension(server, 'roles_ext', {
      '1.0': `CREATE TABLE @extschema@.ext_table (id int GENERATED ALWAYS AS IDENTITY, v text);
        CREATE VIEW @extschema@.ext_view AS SELECT 1 AS one;
        CREATE TYPE @extschema@.ext_enum AS ENUM ('a'); CREATE TYPE @extschema@.ext_pair AS (a int, b text);
        CREATE TYPE @extschema@.ext_range AS RANGE (subtype = int4);
        CREATE FUNCTION @extschema@.ext_function() RETURNS int LANGUAGE sql AS 'SELECT 1';
        GRANT SELECT ON @extschema@.ext_table TO script_reader;`,
    });
    await server.query('CREATE DATABASE owned OWNER app');
    await server.query(
      `ALTER SCHEMA public OWNER TO app;
       CREATE EXTENSION pgcrypto; CREATE EXTENSION postgres_fdw; CREATE EXTENSION roles_ext;
       SET ROLE installer; CREATE EXTENSION hstore; RESET ROLE;
       SET ROLE app; CREATE TABLE t (id serial PRIMARY KEY, v hstore, e ext_enum[]); RESET ROLE`,
      'owned',
    );
    expect(await rolesOf('owned')).toEqual(['app']);

    // A dump does hold these.
    await server.query('GRANT SELECT ON ext_table TO reader; CREATE TYPE mine AS (a int); ALTER TYPE mine OWNER TO hanger', 'owned');
    expect(await rolesOf('owned')).toEqual(['app', 'hanger', 'reader']);
    // The bootstrap superuser stands in no list of dependencies.
    await server.query('CREATE TABLE of_superuser ()', 'owned');
    expect(await rolesOf('owned')).toEqual(['app', 'hanger', 'postgres', 'reader']);
  });

  it('tells what a user who is no superuser does not back up', async () => {
    await server.query('CREATE DATABASE partly');
    await server.query("CREATE ROLE dumper LOGIN PASSWORD 'dumper'; GRANT pg_read_all_data TO dumper");
    await server.query("CREATE SUBSCRIPTION s CONNECTION 'host=nowhere password=hush' PUBLICATION p WITH (connect = false)", 'partly');
    await server.query(
      `CREATE EXTENSION postgres_fdw; CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw;
       CREATE USER MAPPING FOR postgres SERVER far OPTIONS (user 'u', password 'hush')`,
      'partly',
    );
    const used = await tools(major);
    const warnings = async (settings: ConnectionSettings) => {
      const found: string[] = [];
      await using snapshot = await exportSnapshot(settings, { lockName: 'partly' });
      const onWarning = (text: string) => void found.push(text);
      const request = { settings: snapshot.settings, tools: used, snapshot: snapshot.id, lockTimeoutMs: 5_000, baseEnv, onWarning };
      await collect(dumpDatabase(deps, request), 1e6);
      const client = await openClient(settings, { applicationName: 'test' });
      found.push(...(await hiddenFromUser(client)));
      await client.end();
      return found;
    };
    const superuser = settingsOf(server, 'partly');
    expect(await warnings(superuser)).toEqual([]);
    expect(await warnings({ ...superuser, user: 'dumper', password: hidden('dumper') })).toEqual([
      expect.stringMatching(/^pg_dump: subscriptions not dumped because current user is not a superuser/),
      'this user may not see the options (user names, passwords) of user mappings on the foreign server "far": these mappings are backed up without them',
    ]);
  });
});
