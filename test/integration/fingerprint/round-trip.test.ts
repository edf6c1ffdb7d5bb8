import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadJetAdmin } from '../../../scripts/fixtures/jetadmin.ts';
import { createTortureRoles, loadTorture, oddEncodings } from '../../../scripts/fixtures/torture.ts';
import { compareFingerprints, notes } from '../../../src/postgres/fingerprint.ts';
import { type PostgresServer, startPostgres } from '../../support/postgres.ts';
import { dumpAndRestore, fingerprintOf, inDatabase, makeDatabase } from './databases.ts';

const majors = [15, 17, 18] as const;
type Major = (typeof majors)[number];
const routes: readonly (readonly [Major, Major])[] = [
  [15, 15],
  [17, 17],
  [18, 18],
  [15, 17],
  [17, 18],
];
const servers = new Map<Major, PostgresServer>();
const on = (major: Major): PostgresServer => {
  const server = servers.get(major);
  if (server === undefined) throw new Error(`no server of major ${major}`);
  return server;
};

beforeAll(async () => {
  const started = await Promise.all(majors.map((major) => startPostgres(major)));
  for (const [i, major] of majors.entries()) {
    const server = started[i];
    if (server === undefined) continue;
    servers.set(major, server);
    await inDatabase(server, 'postgres', createTortureRoles);
    await makeDatabase(server, 'torture', (session) => loadTorture(session, major));
    await makeDatabase(server, 'jetadmin', (session) => loadJetAdmin(session, { megabytes: 4 }));
    for (const { encoding, create, sql } of oddEncodings) await makeDatabase(server, encoding, (session) => session.query(sql), create);
  }
});
afterAll(async () => {
  await Promise.all([...servers.values()].map((server) => server.stop()));
});

describe.each(routes)('a dump of PostgreSQL %i restored into %i', (source, target) => {
  it.each(['torture', 'jetadmin'])('of the %s database is equal', async (database) => {
    const restored = `${database}_of_${source}`;
    await dumpAndRestore(on(source), database, on(target), restored);
    const expected = await fingerprintOf(on(source), database);
    const actual = await fingerprintOf(on(target), restored);
    expect(compareFingerprints(expected, actual)).toEqual([]);
    expect(expected.tables.length).toBeGreaterThan(9);
    expect(expected.inventory.length).toBeGreaterThan(100);
  });

  it.each(oddEncodings)('of a database in $encoding is equal', async ({ encoding, create }) => {
    const restored = `${encoding}_of_${source}`;
    await dumpAndRestore(on(source), encoding, on(target), restored, { create });
    const expected = await fingerprintOf(on(source), encoding);
    expect(compareFingerprints(expected, await fingerprintOf(on(target), restored))).toEqual([]);
  });
});

it('digests of the same rows are the same on every major', async () => {
  const [first, ...others] = await Promise.all(majors.map(async (major) => (await fingerprintOf(on(major), 'jetadmin')).tables));
  for (const tables of others) expect(tables).toEqual(first);
});

it('a database restored without owners and privileges is equal when these are left out', async () => {
  await dumpAndRestore(on(17), 'torture', on(17), 'without_owners', { restore: ['--no-owner'] });
  const expected = await fingerprintOf(on(17), 'torture');
  const actual = await fingerprintOf(on(17), 'without_owners');
  expect(compareFingerprints(expected, actual)).not.toEqual([]);
  expect(compareFingerprints(expected, actual, { noOwner: true, noPrivileges: false })).toEqual([]);

  await dumpAndRestore(on(17), 'torture', on(17), 'without_privileges', { restore: ['--no-owner', '--no-privileges'] });
  const bare = await fingerprintOf(on(17), 'without_privileges');
  expect(compareFingerprints(expected, bare, { noOwner: true, noPrivileges: false })).not.toEqual([]);
  expect(compareFingerprints(expected, bare, { noOwner: true })).toEqual([]);
});

it('a stale materialized view is told, and is no difference', async () => {
  await dumpAndRestore(on(18), 'torture', on(18), 'refreshed');
  const expected = await fingerprintOf(on(18), 'torture');
  const actual = await fingerprintOf(on(18), 'refreshed');
  expect(notes(expected, actual)).toEqual(['app.stale was refreshed by the restore and is not as it was (2 rows at backup, 3 now)']);
});

it('settings of the role and the database change nothing', async () => {
  const expected = await fingerprintOf(on(17), 'torture');
  await on(17).query(`ALTER DATABASE torture SET DateStyle = 'SQL, DMY';
    ALTER DATABASE torture SET IntervalStyle = 'iso_8601';
    ALTER DATABASE torture SET TimeZone = 'Asia/Tokyo';
    ALTER DATABASE torture SET extra_float_digits = -10;
    ALTER DATABASE torture SET bytea_output = 'escape';
    ALTER DATABASE torture SET quote_all_identifiers = on;
    ALTER DATABASE torture SET search_path = app, extensions;
    ALTER DATABASE torture SET enable_seqscan = off;
    ALTER DATABASE torture SET default_transaction_isolation = 'serializable'`);
  try {
    expect(await fingerprintOf(on(17), 'torture')).toEqual(expected);
    expect(await fingerprintOf(on(17), 'torture', { parallel: 1 })).toEqual(expected);
  } finally {
    await on(17).query('ALTER DATABASE torture RESET ALL');
  }
});

it('a fingerprint of counts holds everything but the content', async () => {
  const content = await fingerprintOf(on(15), 'torture');
  const counts = await fingerprintOf(on(15), 'torture', { mode: 'counts' });
  expect(counts.inventory).toEqual(content.inventory);
  expect(counts.tables).toEqual(content.tables.map((table) => ({ ...table, digest: null })));
  expect(compareFingerprints(counts, content)).toEqual([]);
});
