import { afterAll, beforeAll, expect, it } from 'vitest';
import { compareFingerprints, notes } from '../../../src/postgres/fingerprint.ts';
import { type PostgresServer, startPostgres } from '../../support/postgres.ts';
import { dumpAndRestore, fingerprintOf, makeDatabase, makeExtension } from './databases.ts';

let server: PostgresServer;
beforeAll(async () => {
  server = await startPostgres(17);
  // All the kinds of object whose presence or make could depend on the version, with what hangs on them.
  const version = (word: string, more: string) => `
    CREATE TABLE @extschema@.ext_settings (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text CONSTRAINT ${word}_check CHECK (name <> '${word}'));
    SELECT pg_catalog.pg_extension_config_dump('@extschema@.ext_settings', 'WHERE id > 100');
    CREATE TABLE @extschema@.${word}_table (id bigint GENERATED ALWAYS AS IDENTITY, serial serial, v text DEFAULT '${word}');
    CREATE INDEX ${word}_index ON @extschema@.${word}_table (v);
    CREATE VIEW @extschema@.ext_view AS SELECT '${word}' AS word;
    CREATE TYPE @extschema@.${word}_enum AS ENUM ('${word}');
    CREATE TYPE @extschema@.${word}_range AS RANGE (subtype = int4);
    CREATE DOMAIN @extschema@.ext_domain AS text CONSTRAINT ${word} CHECK (VALUE <> '${word}');
    CREATE FUNCTION @extschema@.ext_function() RETURNS text LANGUAGE sql AS $$SELECT '${word}'$$;
    COMMENT ON FUNCTION @extschema@.ext_function() IS '${word}';
    CREATE OPERATOR @extschema@.${word === 'old' ? '<<<' : '>>>'} (LEFTARG = text, RIGHTARG = text, FUNCTION = pg_catalog.texteq);
    CREATE AGGREGATE @extschema@.${word}_aggregate (int4) (SFUNC = pg_catalog.int4pl, STYPE = int4);
    ${more}`;
  await makeExtension(server, 'versioned', {
    '2.0': version('new', 'REVOKE ALL ON FUNCTION @extschema@.ext_function() FROM PUBLIC;'),
    '1.0': version('old', ''),
  });
});
afterAll(async () => {
  await server?.stop();
});

it('a restore that installs other versions of the extensions is equal, and says so', async () => {
  await makeDatabase(server, 'older', (session) =>
    session.query(`
      CREATE EXTENSION versioned VERSION '1.0';
      CREATE EXTENSION hstore VERSION '1.4'; CREATE EXTENSION pg_trgm VERSION '1.3'; CREATE EXTENSION citext;
      CREATE EXTENSION pg_stat_statements VERSION '1.4';
      REVOKE ALL ON FUNCTION ext_function() FROM PUBLIC;
      INSERT INTO ext_settings (id, name) OVERRIDING SYSTEM VALUE VALUES (1, 'ours'), (101, 'mine');
      SELECT nextval('ext_settings_id_seq'), nextval('old_table_id_seq');
      CREATE TABLE t (id int PRIMARY KEY, h hstore, d ext_domain, c citext); INSERT INTO t VALUES (1, 'a=>1', 'x', 'Y')`),
  );
  await dumpAndRestore(server, 'older', server, 'newer');
  const [expected, actual] = [await fingerprintOf(server, 'older'), await fingerprintOf(server, 'newer')];
  expect(compareFingerprints(expected, actual)).toEqual([]);
  expect(notes(expected, actual)).toEqual([
    expect.stringMatching(/^the extension hstore is of version 1\.\d+, at backup 1\.4:/),
    expect.stringMatching(/^the extension pg_stat_statements is of version 1\.\d+, at backup 1\.4:/),
    expect.stringMatching(/^the extension pg_trgm is of version 1\.\d+, at backup 1\.3:/),
    expect.stringMatching(/^the extension versioned is of version 2\.0, at backup 1\.0:/),
  ]);

  await server.query("DELETE FROM ext_settings WHERE id = 101; DROP EXTENSION pg_trgm; UPDATE t SET c = 'y'", 'newer');
  const messages = compareFingerprints(expected, await fingerprintOf(server, 'newer')).map(({ message }) => message);
  expect(messages).toEqual([
    expect.stringContaining('public.ext_settings: 1 row missing'),
    expect.stringContaining('public.t: as many rows (1), but their content'),
    'extension pg_trgm is missing',
  ]);
});
