import { afterAll, beforeAll, expect, it } from 'vitest';
import { loadJetAdmin } from '../../../scripts/fixtures/jetadmin.ts';
import type { Difference, Fingerprint } from '../../../src/core/fingerprint.ts';
import { compareFingerprints } from '../../../src/postgres/fingerprint.ts';
import { type PostgresServer, startPostgres } from '../../support/postgres.ts';
import { fingerprintOf, inDatabase, makeDatabase } from './databases.ts';

let server: PostgresServer;
let expected: Fingerprint;

beforeAll(async () => {
  server = await startPostgres(17);
  await server.query('CREATE ROLE reader');
  await makeDatabase(server, 'source', async (session) => {
    await loadJetAdmin(session, { megabytes: 1 });
    await session.query(`
      CREATE TABLE pairs (a int, b text);
      INSERT INTO pairs VALUES (1, 'one'), (2, 'two'), (3, 'same'), (3, 'same');
      CREATE TABLE other_pairs (a int, b text);
      INSERT INTO other_pairs VALUES (10, 'ten'), (20, 'twenty');
      CREATE TABLE exactness (id int, n numeric, f float8, i interval, j jsonb, k bigint, a int[], c char(4), t text);
      INSERT INTO exactness VALUES (1, 1.50, 0, '1 day', '{"a": 1.0, "b": [[1], []]}', 0, '{1,2}', 'x', 'É');
      CREATE EXTENSION citext;
      CREATE TABLE folded (c citext);
      INSERT INTO folded VALUES ('MiXed');
      ALTER TABLE "tblUsers" ENABLE ROW LEVEL SECURITY;
      CREATE POLICY own ON "tblUsers" USING ("tenantID" = 1);
      GRANT SELECT, INSERT ON "tblTenants" TO reader;
      CREATE EXTENSION pg_trgm VERSION '1.5';
      CREATE MATERIALIZED VIEW totals AS SELECT count(*) FROM pairs;
      COMMENT ON TABLE pairs IS 'pairs';
      SELECT lo_from_bytea(5001, '\\x0102030405'), lo_from_bytea(5002, '\\x00');
    `);
  });
  expected = await fingerprintOf(server, 'source');
});
afterAll(async () => {
  await server.stop();
});

let copies = 0;
async function afterDamage(sql: string): Promise<Difference[]> {
  const copy = `copy_${++copies}`;
  await server.query(`CREATE DATABASE ${copy} TEMPLATE source`);
  try {
    await inDatabase(server, copy, (client) => client.query(sql));
    return compareFingerprints(expected, await fingerprintOf(server, copy));
  } finally {
    await server.query(`DROP DATABASE ${copy}`);
  }
}

it('an untouched copy is equal', async () => {
  expect(await afterDamage('SELECT 1')).toEqual([]);
});

it('row order, dead rows and the layout on disk make no difference', async () => {
  const moved = 'CLUSTER "tblUsers" USING "tblUsers_email_key"; ALTER TABLE "tblUsers" SET WITHOUT CLUSTER; UPDATE pairs SET a = a';
  expect(await afterDamage(moved)).toEqual([]);
});

it.each<[damage: string, sql: string, kind: Difference['kind'], message: string]>([
  [
    'a row missing',
    'DELETE FROM "tblAuditLogs" WHERE "auditLogID" = 7',
    'rows',
    'public."tblAuditLogs": 1 row missing (2250 at backup, 2249 now)',
  ],
  ['a row too many', `INSERT INTO pairs VALUES (4, 'four')`, 'rows', 'public.pairs: 1 row too many (4 at backup, 5 now)'],
  [
    'a row altered',
    `UPDATE "tblAuditLogs" SET "durationMs" = "durationMs" + 1e-9 WHERE "auditLogID" = 7`,
    'content',
    'public."tblAuditLogs": as many rows (2250), but their content is not the same',
  ],
  [
    'two rows that swapped one value',
    `UPDATE pairs SET b = CASE a WHEN 1 THEN 'two' WHEN 2 THEN 'one' END WHERE a < 3`,
    'content',
    'public.pairs: as many rows (4), but their content is not the same',
  ],
  [
    'a pair of equal rows replaced by another such pair',
    `UPDATE pairs SET b = 'else' WHERE a = 3`,
    'content',
    'public.pairs: as many rows (4), but their content is not the same',
  ],
  [
    'values that moved from one column to another',
    'UPDATE "tblUsers" SET "firstName" = "lastName", "lastName" = "firstName" WHERE "userID" = 3',
    'content',
    'public."tblUsers": as many rows (90), but their content is not the same',
  ],
  [
    'NULL in place of an empty text',
    `UPDATE exactness SET t = NULL`,
    'content',
    'public.exactness: as many rows (1), but their content is not the same',
  ],
  [
    'a numeric with fewer digits',
    'UPDATE exactness SET n = 1.5',
    'content',
    'public.exactness: as many rows (1), but their content is not the same',
  ],
  [
    'a zero that became negative',
    `UPDATE exactness SET f = '-0'`,
    'content',
    'public.exactness: as many rows (1), but their content is not the same',
  ],
  [
    '24 hours in place of a day',
    `UPDATE exactness SET i = '24:00:00'`,
    'content',
    'public.exactness: as many rows (1), but their content is not the same',
  ],
  [
    'a digit less within JSON',
    `UPDATE exactness SET j = '{"a": 1, "b": [[1], []]}'`,
    'content',
    'public.exactness: as many rows (1), but their content is not the same',
  ],
  [
    'brackets that moved within JSON',
    `UPDATE exactness SET j = '{"a": 1.0, "b": [[1, []]]}'`,
    'content',
    'public.exactness: as many rows (1), but their content is not the same',
  ],
  [
    'a bigint that folds onto the same 32 bits',
    'UPDATE exactness SET k = 4294967297',
    'content',
    'public.exactness: as many rows (1), but their content is not the same',
  ],
  [
    'an array with other bounds',
    `UPDATE exactness SET a = '[2:3]={1,2}'`,
    'content',
    'public.exactness: as many rows (1), but their content is not the same',
  ],
  [
    'a letter composed otherwise',
    `UPDATE exactness SET t = U&'E\\0301'`,
    'content',
    'public.exactness: as many rows (1), but their content is not the same',
  ],
  [
    'another case in a case-insensitive column',
    `UPDATE folded SET c = 'mixed'`,
    'content',
    'public.folded: as many rows (1), but their content is not the same',
  ],
  [
    'a sequence behind',
    `SELECT setval('"tblUsers_userID_seq"', 1)`,
    'sequence',
    'public."tblUsers_userID_seq": the sequence is behind (90 at backup, 1 now): it would give out values that are taken',
  ],
  [
    'a large object altered',
    `SELECT lo_put(5001, 2, '\\xff')`,
    'large-objects',
    'large objects: as many (2), but their content is not the same',
  ],
  ['a large object lost', 'SELECT lo_unlink(5002)', 'large-objects', 'large objects: 2 at backup, 1 now'],
  [
    'a large object of another owner',
    'ALTER LARGE OBJECT 5001 OWNER TO reader',
    'large-objects',
    'large objects: owners or privileges are not the same',
  ],
  ['a table lost', 'DROP TABLE pairs CASCADE', 'table-missing', 'public.pairs: the table is missing (4 rows at backup)'],
  ['a table that was not there', 'CREATE TABLE more ()', 'table-extra', 'public.more: the table was not there at backup (0 rows now)'],
  ['an index missing', 'DROP INDEX "tblAuditLogs_event_idx"', 'object-missing', 'index public."tblAuditLogs_event_idx" is missing'],
  [
    'an index on other columns',
    'DROP INDEX "tblUsers_email_lower_idx"; CREATE INDEX "tblUsers_email_lower_idx" ON "tblUsers" (upper("email"))',
    'object-changed',
    'index public."tblUsers_email_lower_idx" is not defined as it was at backup',
  ],
  [
    'a constraint missing',
    'ALTER TABLE "tblUsers" DROP CONSTRAINT "tblUsers_tenantID_fkey"',
    'object-missing',
    'constraint "tblUsers_tenantID_fkey" on public."tblUsers" is missing',
  ],
  [
    'a constraint not valid',
    'ALTER TABLE "tblQueries" DROP CONSTRAINT "tblQueries_timeoutMs_check", ADD CONSTRAINT "tblQueries_timeoutMs_check" CHECK ("timeoutMs" >= 0) NOT VALID',
    'object-changed',
    'constraint "tblQueries_timeoutMs_check" on public."tblQueries" is not as it was at backup',
  ],
  [
    'a function with another body',
    `CREATE OR REPLACE FUNCTION "setUpdatedAt"() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'`,
    'object-changed',
    'function public."setUpdatedAt"() is not as it was at backup',
  ],
  [
    'a trigger disabled',
    'ALTER TABLE "tblUsers" DISABLE TRIGGER "tblUsers_updatedAt"',
    'object-changed',
    'trigger "tblUsers_updatedAt" on public."tblUsers" is not as it was at backup',
  ],
  ['a policy dropped', 'DROP POLICY own ON "tblUsers"', 'object-missing', 'policy own on public."tblUsers" is missing'],
  [
    'a policy that lets through more',
    'ALTER POLICY own ON "tblUsers" USING (true)',
    'object-changed',
    'policy own on public."tblUsers" is not defined as it was at backup',
  ],
  [
    'row-level security off',
    'ALTER TABLE "tblUsers" DISABLE ROW LEVEL SECURITY',
    'object-changed',
    'table public."tblUsers" is not as it was at backup',
  ],
  [
    'a grant lost',
    'REVOKE INSERT ON "tblTenants" FROM reader',
    'object-changed',
    'table public."tblTenants" has other privileges: "reader"=ar, <owner>=Dadmrtwx at backup, "reader"=r, <owner>=Dadmrtwx now',
  ],
  [
    'another owner',
    'ALTER TABLE "tblRoles" OWNER TO reader',
    'object-changed',
    'table public."tblRoles" belongs to reader, at backup to postgres',
  ],
  ['an extension lost', 'DROP EXTENSION pg_trgm CASCADE', 'object-missing', 'extension pg_trgm is missing'],
  [
    'an enum with one more label',
    `ALTER TYPE "PlanType" ADD VALUE 'ultimate'`,
    'object-changed',
    'type public."PlanType" is not as it was at backup',
  ],
  [
    'a default lost',
    'ALTER TABLE "tblTenants" ALTER "isActive" DROP DEFAULT',
    'object-changed',
    'column public."tblTenants"."isActive" is not defined as it was at backup',
  ],
  [
    'a NOT NULL lost',
    'ALTER TABLE "tblTenants" ALTER "slug" DROP NOT NULL',
    'object-changed',
    'column public."tblTenants".slug is not as it was at backup',
  ],
  [
    'a view on another query',
    'CREATE OR REPLACE VIEW "vwActiveUsers" AS SELECT u."userID", u."email", t."tenantName", t."plan" FROM "tblUsers" u JOIN "tblTenants" t USING ("tenantID")',
    'object-changed',
    'view public."vwActiveUsers" is not defined as it was at backup',
  ],
  [
    'a materialized view without its data',
    'REFRESH MATERIALIZED VIEW totals WITH NO DATA',
    'object-changed',
    'materialized view public.totals is not as it was at backup',
  ],
  ['a comment lost', 'COMMENT ON TABLE pairs IS NULL', 'object-missing', 'comment on table public.pairs is missing'],
])('%s is found', async (_, sql, kind, message) => {
  expect(await afterDamage(sql)).toContainEqual(expect.objectContaining({ kind, message }));
});

it('rows that swapped tables are found in both', async () => {
  const found = await afterDamage(`UPDATE pairs SET a = 10, b = 'ten' WHERE a = 1; UPDATE other_pairs SET a = 1, b = 'one' WHERE a = 10`);
  expect(found.map(({ kind, object }) => [kind, object])).toEqual([
    ['content', 'public.other_pairs'],
    ['content', 'public.pairs'],
  ]);
});

it('a sequence that has gone on since the snapshot is no difference', async () => {
  expect(await afterDamage(`SELECT nextval('"tblUsers_userID_seq"')`)).toEqual([]);
});

it('an empty database lacks everything', async () => {
  await server.query('CREATE DATABASE nothing TEMPLATE template0');
  const found = compareFingerprints(expected, await fingerprintOf(server, 'nothing'));
  expect(found.filter(({ kind }) => kind === 'table-missing')).toHaveLength(expected.tables.length - 1);
});

it('a restore of single tables is compared by these alone', async () => {
  await server.query('CREATE DATABASE part TEMPLATE template0');
  await inDatabase(server, 'part', (client) =>
    client.query(`CREATE TABLE other_pairs (b text, a int); INSERT INTO other_pairs VALUES ('ten', 10), ('other', 20)`),
  );
  const tables = [{ schema: 'public', name: 'other_pairs' }];
  expect(compareFingerprints(expected, await fingerprintOf(server, 'part'), { tables }).map(({ message }) => message)).toEqual([
    'public.other_pairs: as many rows (2), but their content is not the same',
  ]);
});
