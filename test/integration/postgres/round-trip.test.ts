import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { collect } from '../../../src/core/bytes.ts';
import { readArchiveHead } from '../../../src/postgres/archive.ts';
import { libpqEnvironment } from '../../../src/postgres/connection.ts';
import { dumpGlobals } from '../../../src/postgres/globals.ts';
import {
  analyzeDatabase,
  createRoles,
  createStagingDatabase,
  inspectTarget,
  missingPrerequisites,
  type RestorePhase,
} from '../../../src/postgres/restore.ts';
import type { ClientTools } from '../../../src/postgres/tools.ts';
import { type PostgresMajor, type PostgresServer, startPostgres } from '../../support/postgres.ts';
import { baseEnv, deps, diverseSql, dump, fill, settingsOf, type Taken, tools } from './pipeline.ts';

/** A database as plain SQL, without what is different in each run of pg_dump, and without the server's own bookkeeping. */
async function asSql(server: PostgresServer, database: string, used: ClientTools): Promise<string> {
  await using libpq = await libpqEnvironment(settingsOf(server, database), baseEnv, { applicationName: 'test' });
  const output = deps.processes.output({ program: used.pgDump, args: ['--no-password'], env: libpq.env });
  const text = Buffer.from(await collect(output, 64 * 1024 * 1024)).toString('utf8');
  return text
    .split('\n')
    .filter((line) => !/^\\(un)?restrict |pg_attver=/.test(line))
    .join('\n');
}

const databaseState = `
  SELECT pg_get_userbyid(datdba) AS owner, pg_encoding_to_char(encoding) AS encoding, datcollate, datctype, datconnlimit,
         shobj_description(d.oid, 'pg_database') AS comment, array(SELECT unnest(datacl)::text ORDER BY 1) AS acl,
         (SELECT json_agg(json_build_object('role', setrole::regrole, 'config', setconfig) ORDER BY setrole) FROM pg_db_role_setting WHERE setdatabase = d.oid) AS settings
    FROM pg_database d WHERE datname = `;

describe.each<PostgresMajor>([15, 17, 18])('PostgreSQL %i', (major) => {
  let server: PostgresServer;
  let used: ClientTools;
  let taken: Taken;

  beforeAll(async () => {
    server = await startPostgres(major);
    used = await tools(major);
    await server.query("CREATE DATABASE src TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'");
    await server.query(await diverseSql(), 'src');
    for (const sql of [
      'ALTER DATABASE src SET search_path TO s, "$user", public',
      "ALTER DATABASE src SET app.tenant TO 'a''b'",
      'ALTER DATABASE src SET default_transaction_read_only TO on',
      "ALTER ROLE app IN DATABASE src SET work_mem TO '8MB'",
      "COMMENT ON DATABASE src IS 'it''s ours'",
      'ALTER DATABASE src CONNECTION LIMIT 42',
      'REVOKE ALL ON DATABASE src FROM PUBLIC',
      'GRANT CONNECT ON DATABASE src TO "odd ""role""" WITH GRANT OPTION',
      'GRANT TEMPORARY ON DATABASE src TO "odd ""role"""',
      'ALTER DATABASE src OWNER TO app',
    ]) {
      await server.query(sql);
    }
    taken = await dump(settingsOf(server, 'src'), used);
  });
  afterAll(async () => {
    await server?.stop();
  });

  it('brings a diverse database back equal in objects, rows and properties through three passes', async () => {
    const settings = settingsOf(server, 'copy');
    const state = await inspectTarget(settings);
    expect(state).toMatchObject({ databaseExists: false, isEmpty: true, canCreateDatabase: true, isSuperuser: true });
    expect(missingPrerequisites(taken.snapshot.source, taken.snapshot.server, state, { noOwner: false })).toEqual([]);

    await using staging = await createStagingDatabase(settings, {
      source: taken.snapshot.source,
      finalName: 'copy',
      runId: '20261120T020000Z-abc123',
      noOwner: false,
    });
    expect(staging.name).toBe('copy_jetbackup_abc123');
    const phases: RestorePhase[] = [];
    await fill(staging, taken.archive, used, { onPhase: (phase) => phases.push(phase) });
    await analyzeDatabase(staging.settings, 2);
    await staging.promote('copy');

    expect(phases).toEqual(['pre-data', 'data', 'post-data']);
    expect(staging.warnings).toEqual([]);
    // Several backends load a table's rows, so that they may lie in another order.
    const lines = async (database: string) => (await asSql(server, database, used)).split('\n').sort();
    expect(await lines('copy')).toEqual(await lines('src'));
    expect(await server.query(`${databaseState} 'copy'`)).toEqual(await server.query(`${databaseState} 'src'`));
    expect(await server.query('SELECT n FROM mv', 'copy')).toEqual([{ n: '9' }]);
    expect(await server.query("SELECT encode(lo_get(4242), 'hex') AS hex", 'copy')).toEqual([{ hex: 'deadbeef' }]);
    expect(await server.query("SELECT count(*)::int AS n FROM pg_stats WHERE tablename = 't'", 'copy')).not.toEqual([{ n: 0 }]);
    expect((await inspectTarget(settings)).isEmpty).toBe(false);
  });

  it('restores into a server that knows none of the roles with --no-owner', async () => {
    await using other = await startPostgres(major);
    const settings = settingsOf(other, 'copy');
    const { snapshot } = taken;
    const state = await inspectTarget(settings);
    const problems = missingPrerequisites(snapshot.source, snapshot.server, state, { noOwner: false });
    expect(problems.map(({ code, message }) => ({ code, message }))).toEqual([
      {
        code: 'role-missing',
        message: 'the target lacks the roles "app", "odd "role"", which own objects of the database or have rights on them',
      },
    ]);
    expect(missingPrerequisites(snapshot.source, snapshot.server, state, { noOwner: true })).toEqual([]);
    // The policy is for a role, and a policy is no ownership.
    expect(await createRoles(settings, ['app', 'postgres'])).toEqual(['app']);

    await using staging = await createStagingDatabase(settings, {
      source: snapshot.source,
      finalName: 'copy',
      runId: 'x-abc123',
      noOwner: true,
    });
    await fill(staging, taken.archive, used, { noOwner: true });
    await staging.promote('copy');
    expect(await other.query('SELECT DISTINCT relowner::regrole::text AS owner FROM pg_class WHERE oid >= 16384', 'copy')).toEqual([
      { owner: 'postgres' },
    ]);
    expect(await other.query("SELECT datacl::text[] AS acl FROM pg_database WHERE datname = 'copy'")).toEqual([
      { acl: ['postgres=CTc/postgres', '=Tc/postgres'] },
    ]);
    expect(await other.query('SELECT count(*)::int AS n FROM child', 'copy')).toEqual([{ n: 5000 }]);
  });

  it('reads the server, the source and an instant before the snapshot', async () => {
    const { snapshot } = taken;
    expect(Math.floor(snapshot.server.versionNum / 10_000)).toBe(major);
    expect(snapshot.server.systemIdentifier).toMatch(/^\d{15,}$/);
    expect(snapshot.source).toMatchObject({
      datname: 'src',
      owner: 'app',
      encoding: 'UTF8',
      collate: 'C',
      localeProvider: 'c',
      connectionLimit: 42,
      comment: "it's ours",
      roles: ['app', 'odd "role"', 'postgres'],
      tablespaces: [],
    });
    expect(snapshot.source.extensions.map(({ name, schema }) => `${name} in ${schema}`)).toEqual([
      'citext in s',
      'pg_trgm in public',
      'plpgsql in pg_catalog',
    ]);
    expect(snapshot.source.settings).toContainEqual({ role: 'app', setting: 'work_mem=8MB' });
    expect(Math.abs(Date.now() - snapshot.instant.epochMilliseconds)).toBeLessThan(120_000);
  });

  it('knows where the table of contents ends and what stands in it', async () => {
    const cut = async function* () {
      for (let at = 0; at < taken.archive.byteLength; at += 1000) yield taken.archive.subarray(at, at + 1000);
    };
    const { head, rest } = await readArchiveHead(cut());
    const remainder = await collect(rest, 64 * 1024 * 1024);
    expect(Buffer.concat([head.bytes, remainder]).equals(taken.archive)).toBe(true);
    // The first block of data begins with its type (1) and the dump id of the table it belongs to.
    expect(remainder[0]).toBe(1);
    expect(head.database).toBe('src');
    expect(head.formatVersion).toBe(major === 15 ? '1.14' : '1.16');
    expect(head.entries).toContainEqual(
      expect.objectContaining({ desc: 'TABLE', namespace: 'public', tag: 'child', owner: 'app', section: 'pre-data' }),
    );
    expect(head.entries.filter(({ desc }) => desc === 'TABLE DATA').every(({ hasData }) => hasData)).toBe(true);
  });

  it('begins with the indexes of the largest table, whatever the order of the archive', async () => {
    await server.query('CREATE DATABASE sizes');
    const tables = ['a', 'b', 'c'].map(
      (name) => `
        CREATE TABLE ${name} AS SELECT n, n::text AS t FROM generate_series(1, ${name === 'b' ? 50_000 : 10}) n;
        CREATE INDEX ${name}_n ON ${name} (n);
        CREATE INDEX ${name}_t ON ${name} (t);`,
    );
    await server.query(tables.join('\n'), 'sizes');
    const { archive, snapshot } = await dump(settingsOf(server, 'sizes'), used);
    await using staging = await createStagingDatabase(settingsOf(server), {
      source: snapshot.source,
      finalName: 'sized',
      runId: 'x-size01',
      noOwner: false,
    });
    await fill(staging, archive, used);
    // Two connections build: the first two indexes are those of the large table, in either order.
    const built = await server.query("SELECT relname FROM pg_class WHERE relname ~ '^[abc]_[nt]$' ORDER BY oid", staging.name);
    expect(built).toHaveLength(6);
    expect(built[0]?.['relname']).toMatch(/^b_/);
    await staging.drop();
    await server.query('DROP DATABASE sizes');
  });

  it('takes one table with its rows, indexes and sequence, and leaves out the foreign key to a table that stays behind', async () => {
    await using staging = await createStagingDatabase(settingsOf(server), {
      source: taken.snapshot.source,
      finalName: 'part',
      runId: 'x-part01',
      noOwner: false,
    });
    await fill(staging, taken.archive, used, { tables: ['public.child'] });
    const rows = await server.query(
      "SELECT relname FROM pg_class WHERE oid >= 16384 AND relnamespace = 'public'::regnamespace ORDER BY 1",
      staging.name,
    );
    expect(rows.map(({ relname }) => relname)).toEqual(['child', 'child_id_seq']);
    expect(await server.query('SELECT count(*)::int AS n FROM child', staging.name)).toEqual([{ n: 5000 }]);
    await staging.drop();
    expect(await server.query(`SELECT FROM pg_database WHERE datname = '${staging.name}'`)).toEqual([]);
  });

  it('writes roles with their passwords for a superuser and says what is missing for others', async () => {
    const request = { settings: settingsOf(server, 'src'), tools: used, rolePasswords: true, baseEnv };
    const full = await dumpGlobals(deps, request);
    expect(full.warnings).toEqual([]);
    expect(Buffer.from(await collect(full.stream, 1e6)).toString()).toMatch(/ALTER ROLE app .*PASSWORD 'SCRAM/);

    await server.query("CREATE ROLE humble LOGIN PASSWORD 'humble'; GRANT CONNECT ON DATABASE src TO humble");
    const humble = { ...request.settings, user: 'humble', password: { reveal: () => 'humble' } };
    const less = await dumpGlobals(deps, { ...request, settings: humble });
    expect(less.warnings).toEqual([expect.stringContaining('without their passwords')]);
    const sql = Buffer.from(await collect(less.stream, 1e6)).toString();
    expect(sql).toContain('CREATE ROLE app;');
    expect(sql).not.toContain('SCRAM');
  });
});
