import { setTimeout } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { parseConnection } from '../../../src/postgres/connection.ts';
import { compareFingerprints, takeFingerprint } from '../../../src/postgres/fingerprint.ts';
import { type PostgresServer, startPostgres } from '../../support/postgres.ts';
import { fingerprintOf, inDatabase, makeDatabase } from './databases.ts';

let server: PostgresServer;

beforeAll(async () => {
  server = await startPostgres(17);
  await makeDatabase(server, 'live', (session) =>
    session.query(`CREATE TABLE t AS SELECT n, md5(n::text) FROM generate_series(1, 2000) AS n; CREATE TABLE u AS SELECT 1 AS one;
      CREATE SEQUENCE s; SELECT nextval('s')`),
  );
});
afterAll(async () => {
  await server.stop();
});

const holding = <T>(use: (snapshot: string) => Promise<T>): Promise<T> =>
  inDatabase(server, 'live', async (client) => {
    await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
    const { rows } = await client.query<{ id: string }>('SELECT pg_export_snapshot() AS id');
    return use(rows[0]?.id ?? '');
  });

it('what is written after the snapshot is not seen', async () => {
  const before = await fingerprintOf(server, 'live');
  await holding(async (snapshot) => {
    await server.query(`INSERT INTO t VALUES (0, 'new'); DELETE FROM t WHERE n < 100; UPDATE u SET one = 2`, 'live');
    for (const parallel of [1, 3]) expect(await fingerprintOf(server, 'live', { snapshot, parallel })).toEqual(before);
  });
  expect(compareFingerprints(before, await fingerprintOf(server, 'live')).map(({ object }) => object)).toEqual(['public.t', 'public.u']);
});

it('a table that was truncated after the snapshot is not taken for an empty one', async () => {
  await holding(async (snapshot) => {
    await server.query('TRUNCATE u', 'live');
    await expect(fingerprintOf(server, 'live', { snapshot })).rejects.toMatchObject({
      code: 'dump-interrupted-by-lock',
      message: '"public"."u" was truncated or rewritten just after the snapshot was taken',
    });
  });
});

it('from onReady on, nobody can truncate what is being read', async () => {
  const before = await fingerprintOf(server, 'live');
  const onReady = async () => {
    await expect(server.query(`SET lock_timeout = '50ms'; TRUNCATE t`, 'live')).rejects.toThrow('lock timeout');
  };
  expect(await fingerprintOf(server, 'live', { onReady })).toEqual(before);
});

it('an ALTER that waits for the fingerprint does not make it wait for ever', async () => {
  const before = await fingerprintOf(server, 'live');
  let altered: Promise<unknown> | undefined;
  const onReady = async () => {
    altered = server.query('ALTER TABLE u ADD COLUMN later int', 'live');
    const waiting = `SELECT count(*)::int AS n FROM pg_locks WHERE NOT granted AND relation = 'u'::regclass`;
    while ((await server.query(waiting, 'live'))[0]?.['n'] !== 1) await setTimeout(10);
  };
  expect(await fingerprintOf(server, 'live', { onReady, parallel: 4 })).toEqual(before);
  await altered;
});

it('a lock held by an ALTER ends in an error that says so', async () => {
  await inDatabase(server, 'live', async (client) => {
    await client.query('BEGIN; ALTER TABLE t ADD COLUMN later int');
    await expect(fingerprintOf(server, 'live', { lockTimeoutMs: 100 })).rejects.toMatchObject({ code: 'dump-interrupted-by-lock' });
    await client.query('ROLLBACK');
  });
});

it('row-level security that would hide rows is an error with a remedy', async () => {
  await server.query(`CREATE ROLE limited LOGIN PASSWORD 'limited'; GRANT pg_read_all_data TO limited`);
  await makeDatabase(server, 'secured', (session) =>
    session.query(
      'CREATE TABLE mine (tenant int); INSERT INTO mine VALUES (1), (2); ALTER TABLE mine ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON mine USING (tenant = 1)',
    ),
  );
  const settings = parseConnection({ url: `postgres://limited:limited@${server.host}:${server.port}/secured`, env: {} });
  const taking = () => takeFingerprint(settings, { mode: 'content' }, new AbortController().signal);
  await expect(taking()).rejects.toMatchObject({
    code: 'database-denied',
    message: expect.stringContaining('"mine"'),
    hint: expect.stringContaining('BYPASSRLS'),
  });
  await server.query('ALTER ROLE limited BYPASSRLS');
  expect((await taking()).tables).toMatchObject([{ name: 'mine', rows: 2 }]);
});

it('a table that the role may not read is an error that names it', async () => {
  await server.query(`CREATE ROLE stranger LOGIN PASSWORD 'stranger'`);
  await makeDatabase(server, 'private', (session) => session.query('CREATE TABLE secrets (id int)'));
  const settings = parseConnection({ url: `postgres://stranger:stranger@${server.host}:${server.port}/private`, env: {} });
  await expect(takeFingerprint(settings, { mode: 'counts' }, new AbortController().signal)).rejects.toMatchObject({
    code: 'database-denied',
    message: expect.stringContaining('secrets'),
    hint: 'GRANT pg_read_all_data TO stranger;',
  });
});

it('large objects read one by one give the same as their table does', async () => {
  await server.query(`CREATE ROLE reader LOGIN PASSWORD 'reader'`);
  await makeDatabase(server, 'objects', (session) =>
    session.query(`SELECT lo_from_bytea(1001, decode(repeat(md5('x'), 300), 'hex')), lo_create(1002), lo_create(1003);
      SELECT lo_put(1003, 100000, '\\x010000');
      GRANT SELECT ON LARGE OBJECT 1001, 1002, 1003 TO reader`),
  );
  const settings = parseConnection({ url: `postgres://reader:reader@${server.host}:${server.port}/objects`, env: {} });
  const byFunction = await takeFingerprint(settings, { mode: 'content' }, new AbortController().signal);
  const byTable = await fingerprintOf(server, 'objects');
  expect(byFunction.largeObjects).toEqual(byTable.largeObjects);
  expect(byTable.largeObjects).toMatchObject({ count: 3, bytes: 4800 + 100_003 });
});

it('an abort ends it soon, and its queries with it', async () => {
  await makeDatabase(server, 'slow', (session) =>
    session.query('CREATE TABLE wide AS SELECT n, repeat(md5(n::text), 20) AS t FROM generate_series(1, 60000) AS n'),
  );
  const stop = new AbortController();
  const taking = takeFingerprint(
    parseConnection({ url: server.url('slow'), env: {} }),
    { mode: 'content', parallel: 1, onReady: async () => stop.abort(new Error('enough')) },
    stop.signal,
  );
  await expect(taking).rejects.toThrow('enough');
  await setTimeout(7_000);
  expect(await server.query(`SELECT pid FROM pg_stat_activity WHERE application_name = 'jetbackup fingerprint'`)).toEqual([]);
});
