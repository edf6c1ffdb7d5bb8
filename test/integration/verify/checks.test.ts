import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isJetbackupError } from '../../../src/core/errors.ts';
import type { Fingerprint } from '../../../src/core/fingerprint.ts';
import type { Manifest, Source } from '../../../src/core/manifest.ts';
import type { CheckId } from '../../../src/core/verification.ts';
import { openClient, parseConnection } from '../../../src/postgres/connection.ts';
import { takeFingerprint } from '../../../src/postgres/fingerprint.ts';
import { readServer, readSource } from '../../../src/postgres/source.ts';
import { allChecks } from '../../../src/verify/all.ts';
import type { CheckContext, CheckResult } from '../../../src/verify/check.ts';
import { damages, shop, shopQueries, shopRoles, shopValues } from '../../support/damages.ts';
import { sampleManifest } from '../../support/manifest.ts';
import { type PostgresMajor, type PostgresServer, startPostgres } from '../../support/postgres.ts';
import { dumpAndRestore, inDatabase, makeDatabase } from '../fingerprint/databases.ts';

const { signal } = new AbortController();
const few = new Set([
  'a row missing',
  'a constraint not validated',
  'an index that holds the entries of another',
  'an extension of another version',
]);

interface Original {
  readonly manifest: Manifest;
  readonly expected: Fingerprint;
}

/** What a backup would have recorded of it. */
async function recordOf(server: PostgresServer, database: string): Promise<Original> {
  const settings = parseConnection({ url: server.url(database), env: {} });
  const id = sampleManifest().id;
  const [row] = await server.query(
    `CREATE TABLE public.jetbackup_canary (backup text PRIMARY KEY, written_at timestamptz NOT NULL);
     INSERT INTO public.jetbackup_canary VALUES ('20261119T020000Z-aaaaaa', now() - interval '1 day'), ('${id}', now());
     SELECT to_char(max(written_at) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS at FROM public.jetbackup_canary`,
    database,
  );
  const writtenAt = String(row?.['at']);
  const client = await openClient(settings, { applicationName: 'test', signal });
  try {
    const about = await readServer(client);
    const source: Source = await readSource(client, about.versionNum);
    const values: Fingerprint['values'] = [];
    for (const { name, sql } of shopValues) {
      const { rows } = await client.query<{ value: string | null }>(`SELECT (${sql})::text AS value`);
      values.push({ name, sql, value: rows[0]?.value ?? null });
    }
    const fingerprint = await takeFingerprint(settings, { mode: 'content' }, signal);
    return {
      manifest: sampleManifest({ server: about, source, snapshotInstant: writtenAt }),
      expected: { ...fingerprint, values, canary: { schema: 'public', table: 'jetbackup_canary', backup: id, writtenAt } },
    };
  } finally {
    await client.end();
  }
}

function contextOf(server: PostgresServer, database: string, original: Original, over: Partial<CheckContext> = {}): CheckContext {
  const settings = parseConnection({ url: server.url(database), env: {} });
  let taken: Promise<Fingerprint> | undefined;
  return {
    ...original,
    settings,
    sandbox: { kind: 'container', isOurs: true, description: 'a test' },
    actual() {
      taken ??= takeFingerprint(settings, { mode: original.expected.mode }, signal);
      return taken;
    },
    noOwner: false,
    queries: shopQueries,
    queryTimeoutMs: 10_000,
    amcheckBytes: 1e9,
    ...over,
  };
}

type Results = Map<CheckId, CheckResult>;

async function runAll(context: CheckContext): Promise<Results> {
  const results: Results = new Map();
  for (const check of allChecks) results.set(check.id, await check.run(context, signal));
  return results;
}

async function runOne(id: CheckId, context: CheckContext): Promise<CheckResult> {
  const check = allChecks.find((one) => one.id === id);
  if (check === undefined) throw new Error(`there is no check ${id}`);
  return await check.run(context, signal);
}

const failing = (results: Results) => [...results].filter(([, { status }]) => status === 'fail').map(([id]) => id);
const messages = (results: Results) => [...results].map(([id, { status, message }]) => `${id}: ${status}: ${message}`);

async function withCopy<T>(server: PostgresServer, use: (name: string) => Promise<T>): Promise<T> {
  await server.query('CREATE DATABASE copy TEMPLATE shop_source');
  // A template gives its content and not its settings; a restore gives both.
  await server.query('ALTER DATABASE copy SET search_path TO shop, public');
  try {
    return await use('copy');
  } finally {
    await server.query('DROP DATABASE copy WITH (FORCE)');
  }
}

async function makeShop(server: PostgresServer): Promise<Original> {
  await server.query(shopRoles);
  await makeDatabase(
    server,
    'shop_source',
    (session) => session.query(shop),
    `TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'`,
  );
  await server.query('ALTER DATABASE shop_source SET search_path TO shop, public');
  return await recordOf(server, 'shop_source');
}

describe.each<PostgresMajor>([17, 15])('on PostgreSQL %i', (major) => {
  let server: PostgresServer;
  let original: Original;
  beforeAll(async () => {
    server = await startPostgres(major);
    original = await makeShop(server);
  });
  afterAll(async () => {
    await server.stop();
  });

  it('an untouched copy passes everything, and each check says how much it looked at', async () => {
    const results = await withCopy(server, async (copy) => {
      const found = await runAll(contextOf(server, copy, original));
      // Nothing of what the checks made is left.
      expect(await server.query(`SELECT extname FROM pg_extension WHERE extname = 'amcheck'`, copy)).toEqual([]);
      expect(await server.query(`SELECT nspname FROM pg_namespace WHERE nspname LIKE 'jetbackup%'`, copy)).toEqual([]);
      return found;
    });
    expect(messages(results)).toEqual([
      'encoding: pass: the encoding is UTF8, as at backup',
      "fingerprint: pass: 7 tables with 1654 rows, 1 sequence, 1 large object as in the dump's snapshot; contents compared row for row; 1 materialized view refreshed by the restore",
      expect.stringMatching(/^inventory: pass: all \d+ objects as at backup$/),
      expect.stringMatching(/^constraints: pass: (\d+) of \d+ constraints validated, the others not, as at backup \(NOT VALID\)$/),
      expect.stringMatching(/^indexes: pass: \d+ of \d+ indexes valid, the others not, as at backup: their partitions lack parts$/),
      expect.stringMatching(/^amcheck: pass: all 10 B-trees checked against their tables, (\d+) of \1 bytes$/),
      'values: pass: 2 of 2 recorded values as at backup',
      expect.stringMatching(/^canary: pass: the row that the backup wrote at .* is there and is the newest$/),
      'queries: pass: 2 queries gave what is expected',
    ]);
  });

  it.each(damages.filter(({ name }) => major === 17 || few.has(name)))('$name: $fails', async ({ sql, fails, by, finding }) => {
    const results = await withCopy(server, async (copy) => {
      await inDatabase(server, copy, (client) => client.query(sql));
      return await runAll(contextOf(server, copy, original));
    });
    expect(failing(results), messages(results).join('\n')).toEqual(fails);
    const told = results.get(by);
    expect(told?.findings).toContainEqual(expect.stringMatching(finding));
    if (told?.status === 'fail') expect(told.hint).not.toBe('');
    // What is recorded in clear names nothing of the database.
    expect(messages(results).join('\n')).not.toMatch(/shop|invoice|customer|leads|7001|625625|trgm|jetbackup_canary/);
  });
});

describe('what the damages of a copy do not show', () => {
  let server: PostgresServer;
  let original: Original;
  beforeAll(async () => {
    server = await startPostgres(17);
    original = await makeShop(server);
    await server.query('CREATE DATABASE copy TEMPLATE shop_source');
    await server.query('ALTER DATABASE copy SET search_path TO shop, public');
  });
  afterAll(async () => {
    await server.stop();
  });
  const context = (over: Partial<CheckContext> = {}) => contextOf(server, 'copy', original, over);

  it('what pg_dump and pg_restore bring to another server, also of a later major, passes everything and tells what is not as it was', async () => {
    await using older = await startPostgres(15);
    const before = await makeShop(older);
    for (const [source, record, other] of [
      [server, original, /^all \d+ objects as at backup; 1 extension of another version than at backup$/],
      [older, before, /; expressions and queries were not compared between PostgreSQL 15 and 17$/],
    ] as const) {
      await dumpAndRestore(source, 'shop_source', server, 'restored', {
        create: `TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'`,
      });
      await server.query('ALTER DATABASE restored SET search_path TO shop, public');
      const results = await runAll(contextOf(server, 'restored', record));
      await server.query('DROP DATABASE restored');
      expect(
        [...results.values()].map(({ status }) => status),
        messages(results).join('\n'),
      ).toEqual(Array(9).fill('pass'));
      expect(results.get('inventory')?.message).toMatch(other);
      expect(results.get('inventory')?.findings).toContainEqual(expect.stringContaining('pg_trgm is of version 1.6, at backup 1.5'));
    }
  });

  it('a database of another encoding fails by its encoding, and its contents are not said to be equal', async () => {
    await server.query(`CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'`);
    const results = await runAll(contextOf(server, 'latin', original));
    expect(failing(results)).toContain('encoding');
    expect(results.get('encoding')?.message).toBe('the encoding is LATIN1, at backup it was UTF8');
    expect(results.get('inventory')?.findings?.join('\n')).not.toMatch(/LATIN1/);
  });

  it('without a fingerprint the database itself is still looked at', async () => {
    const results = await runAll(context({ expected: undefined }));
    expect([...results].map(([id, { status }]) => `${id}: ${status}`)).toEqual([
      'encoding: pass',
      'fingerprint: skip',
      'inventory: skip',
      'constraints: pass',
      'indexes: pass',
      'amcheck: pass',
      'values: skip',
      'canary: skip',
      'queries: pass',
    ]);
    expect(results.get('constraints')?.message).toContain('as the dump declares them (NOT VALID)');
  });

  it('row counts alone are not taken for contents', async () => {
    const counts = {
      ...original,
      expected: {
        ...original.expected,
        mode: 'counts' as const,
        tables: original.expected.tables.map((table) => ({ ...table, digest: null })),
      },
    };
    const result = await runOne('fingerprint', contextOf(server, 'copy', counts));
    expect(result).toMatchObject({ status: 'pass', message: expect.stringContaining('contents were not compared (fingerprint: counts)') });
  });

  it('amcheck looks at a sample within its budget, another one for another backup', async () => {
    const bytes = 70_000;
    const result = await runOne('amcheck', context({ amcheckBytes: bytes }));
    const [, looked, all, read] = /^(\d+) of (\d+) B-trees checked against their tables, (\d+) of \d+ bytes$/.exec(result.message) ?? [];
    expect(result.status).toBe('pass');
    expect(Number(looked)).toBeLessThan(Number(all));
    expect(Number(read)).toBeLessThanOrEqual(bytes);
    expect(await runOne('amcheck', context({ amcheckBytes: 1 }))).toMatchObject({
      status: 'skip',
      message: expect.stringMatching(/^none of 10 B-trees is within the 1 bytes/),
    });
    expect(await runOne('amcheck', context({ amcheckBytes: 0 }))).toMatchObject({
      status: 'skip',
      message: 'amcheck is off (verify.amcheck)',
    });
  });

  it('event triggers of the restored database neither hinder amcheck nor run for it', async () => {
    await server.query('CREATE DATABASE watched TEMPLATE copy');
    await server.query(
      `CREATE FUNCTION shop.forbid() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''no DDL here''; END';
       CREATE EVENT TRIGGER forbid ON ddl_command_start EXECUTE FUNCTION shop.forbid()`,
      'watched',
    );
    expect(await runOne('amcheck', contextOf(server, 'watched', original))).toMatchObject({ status: 'pass' });
  });

  it('on a server that is not ours nothing is installed, and amcheck runs only where it is there and may be used', async () => {
    const provided: CheckContext['sandbox'] = { kind: 'server', isOurs: false, description: 'a server' };
    expect(await runOne('amcheck', context({ sandbox: provided }))).toMatchObject({
      status: 'skip',
      message: expect.stringContaining('nothing is installed'),
    });
    await server.query('CREATE DATABASE equipped TEMPLATE copy');
    await server.query(
      `CREATE EXTENSION amcheck; CREATE ROLE plain LOGIN PASSWORD 'plain'; GRANT USAGE ON SCHEMA shop TO plain`,
      'equipped',
    );
    expect(await runOne('amcheck', contextOf(server, 'equipped', original, { sandbox: provided }))).toMatchObject({ status: 'pass' });
    const plain = { ...parseConnection({ url: server.url('equipped').replace(/\/\/[^@]*@/, '//plain:plain@'), env: {} }) };
    const asPlain = (id: CheckId) => runOne(id, contextOf(server, 'equipped', original, { sandbox: provided, settings: plain }));
    expect(await asPlain('amcheck')).toMatchObject({ status: 'skip', message: "the sandbox's user may not run the functions of amcheck" });
    expect(await asPlain('values')).toMatchObject({ status: 'skip' });
    expect(await asPlain('canary')).toMatchObject({ status: 'skip' });
  });

  it.each<[name: string, sql: string, want: string | undefined, finding: string]>([
    ['another value', 'SELECT count(*) FROM customers', '7', 'gave "200", not "7"'],
    ['false', 'SELECT false', undefined, 'gave false, not true'],
    ['NULL', 'SELECT NULL::bool', undefined, 'gave NULL, not true'],
    ['no boolean', 'SELECT 1', undefined, 'gave "1", which is no boolean: say what to expect (expect), or let it give true'],
    ['no row', 'SELECT true WHERE false', undefined, 'gave no row: it must give exactly one row'],
    ['many rows', 'SELECT true FROM leads', undefined, 'gave more than one row: it must give exactly one row'],
    ['a table that is gone', 'SELECT true FROM gone', undefined, 'failed (42P01): relation "gone" does not exist'],
    [
      'a query that writes',
      `SELECT setval('shop.numbers', 5) > 0`,
      undefined,
      'failed (25006): cannot execute setval() in a read-only transaction',
    ],
  ])('a query fails that gives %s', async (name, sql, want, finding) => {
    const asked = context({ queries: [{ name, sql, expect: want }, ...shopQueries], queryTimeoutMs: 300 });
    expect(await runOne('queries', asked)).toMatchObject({
      status: 'fail',
      message: '1 of 3 queries did not give what is expected',
      findings: [`the query ${JSON.stringify(name)} ${finding}`],
    });
  });

  it.each<[what: string, sql: string, says: string]>([
    ['a syntax error', 'SELECT FROM WHERE', 'syntax error at or near "WHERE"'],
    ['two statements', 'SELECT true; DROP TABLE shop.leads', 'cannot insert multiple commands into a prepared statement'],
    ['a statement that is no query', 'DELETE FROM leads', 'syntax error at or near "DELETE"'],
    ['a function that does not exist', 'SELECT no_such_function(1)', 'no_such_function(integer) does not exist'],
    ['a query that takes too long', 'SELECT true FROM pg_sleep(20)', 'took longer than 300 ms in the sandbox'],
  ])('%s is no verdict about the backup', async (name, sql, says) => {
    const asked = context({ queries: [{ name, sql, expect: undefined }], queryTimeoutMs: 300 });
    await expect(runOne('queries', asked)).rejects.toSatisfy(
      (error) => isJetbackupError(error, 'unverified') && error.message.includes(says) && error.hint !== undefined,
    );
  });

  it.each<[what: string, sql: string, want: string | undefined]>([
    ['true', 'SELECT true', undefined],
    ['a boolean by its word', 'SELECT true', 'true'],
    ['a date, written the same everywhere', `SELECT '2026-03-04 05:06+02'::timestamptz`, '2026-03-04 03:06:00+00'],
    ['a query with a comment at its end', 'SELECT true -- done', undefined],
    ['a table in the schema of the owner', 'SELECT count(*) FROM only_of_owner', '0'],
  ])('a query passes that gives %s', async (_, sql, want) => {
    await server.query('CREATE SCHEMA IF NOT EXISTS shop_owner; CREATE TABLE IF NOT EXISTS shop_owner.only_of_owner ()', 'copy');
    const { source } = original.manifest;
    const manifest = {
      ...original.manifest,
      source: { ...source, owner: 'shop_owner', settings: [{ role: null, setting: 'search_path="$user", public' }] },
    };
    expect(await runOne('queries', context({ manifest, queries: [{ name: 'q', sql, expect: want }] }))).toMatchObject({ status: 'pass' });
  });

  it('a connection that is lost in a query is no verdict about the backup', async () => {
    const queries = [{ name: 'suicide', sql: 'SELECT pg_terminate_backend(pg_backend_pid())', expect: undefined }];
    await expect(runOne('queries', context({ queries }))).rejects.toSatisfy((error) => isJetbackupError(error, 'database-unreachable'));
  });

  it('an abort ends a query that is under way', async () => {
    const controller = new AbortController();
    const queries = [{ name: 'long', sql: 'SELECT true FROM pg_sleep(60)', expect: undefined }];
    const check = allChecks.find(({ id }) => id === 'queries');
    const run = check?.run(context({ queries, queryTimeoutMs: 60_000 }), controller.signal);
    setTimeout(() => controller.abort(new Error('enough')), 200);
    await expect(run).rejects.toThrow('enough');
  });
});
