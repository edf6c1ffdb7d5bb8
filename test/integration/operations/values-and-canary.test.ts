import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { readArtifact } from '../../../src/catalog/artifact-reader.ts';
import { backupPrefix } from '../../../src/catalog/layout.ts';
import { collect, MiB } from '../../../src/core/bytes.ts';
import { type Fingerprint, FingerprintSchema } from '../../../src/core/fingerprint.ts';
import { artifactOf, type Manifest } from '../../../src/core/manifest.ts';
import type { ProgressEvent } from '../../../src/core/progress.ts';
import { postgres } from '../../../src/operations/backup.ts';
import type { DatabaseSource } from '../../../src/operations/backup-attempt.ts';
import { systemClock } from '../../../src/platform/clock.ts';
import { writeCanary } from '../../../src/postgres/canary.ts';
import { parseConnection } from '../../../src/postgres/connection.ts';
import { createSample } from '../../support/installation.ts';
import { createMemoryStore, type MemoryStore } from '../../support/memory-store.ts';
import { type PostgresServer, startPostgres } from '../../support/postgres.ts';
import { leftOn, openWorkshop, type Workshop } from './operations.ts';

const DATABASE = 'source';
const canary = { schema: 'public', table: 'jetbackup_canary' };
const never = new AbortController().signal;
let server: PostgresServer;
let workshop: Workshop;
let store: MemoryStore;

beforeAll(async () => {
  server = await startPostgres(17);
  await createSample(server, DATABASE, 1);
  workshop = await openWorkshop(server, DATABASE);
});
beforeEach(async () => {
  store = createMemoryStore({ clock: systemClock });
  await workshop.init(store);
});
afterEach(async () => {
  await server.query('DROP DATABASE IF EXISTS restored');
  await server.query('DROP TABLE IF EXISTS jetbackup_canary', DATABASE);
  expect(await leftOn(server)).toEqual([]);
});
afterAll(async () => {
  await workshop?.[Symbol.asyncDispose]();
  await server?.stop();
});

async function fingerprintOf(manifest: Manifest): Promise<Fingerprint> {
  const artifact = artifactOf(manifest, 'fingerprint');
  if (artifact === undefined) throw new Error('there is no fingerprint');
  const deps = { store, opener: workshop.restoreDeps.opener, codec: workshop.restoreDeps.codec };
  const bytes = await collect(readArtifact(deps, { folder: backupPrefix(manifest.database, manifest.id), artifact }, never), 64 * MiB);
  return FingerprintSchema.parse(JSON.parse(Buffer.from(bytes).toString('utf8')));
}

const count = async (table: string, database = DATABASE) =>
  (await server.query(`SELECT count(*)::text AS n FROM ${table}`, database))[0]?.['n'];
/** A machine's client programs may be older than the server by a minor, which is warned of too. */
const isOurs = (text: string) => /value|canary/.test(text);
const told = ({ warnings }: Manifest) => warnings.filter(isOurs);
const warned = (since: number) =>
  workshop.log
    .slice(since)
    .filter((event): event is Extract<ProgressEvent, { type: 'warning' }> => event.type === 'warning' && isOurs(event.text));

describe('values', () => {
  const accounts = { name: 'accounts', sql: 'SELECT count(*), max(id) FROM account' };

  it('are those of the dump, whoever writes between the snapshot and their query', async () => {
    const writing: DatabaseSource = {
      ...postgres,
      exportSnapshot: async (...args) => {
        const snapshot = await postgres.exportSnapshot(...args);
        await server.query("INSERT INTO account SELECT n, 'late' FROM generate_series(2001, 2050) n", DATABASE);
        return snapshot;
      },
    };
    const before = await count('account');
    const { manifest, partial } = await workshop.backup(store, { source: writing, input: { values: [accounts] } });
    expect({ partial, warnings: told(manifest) }).toEqual({ partial: false, warnings: [] });
    expect((await fingerprintOf(manifest)).values).toEqual([{ ...accounts, value: before }]);
    expect(await count('account')).not.toBe(before);
    await workshop.restore(store);
    expect(await count('account', 'restored')).toBe(before);
  });

  it('are found by the names that an application uses, and read the same whatever the database’s own settings', async () => {
    await server.query(
      `CREATE SCHEMA IF NOT EXISTS app; CREATE TABLE app.orders AS SELECT '2026-01-02 03:04:05+00'::timestamptz AS at, NULL::int AS nothing;
       ALTER DATABASE ${DATABASE} SET search_path = app, public; ALTER DATABASE ${DATABASE} SET timezone = 'Asia/Tokyo'; ALTER DATABASE ${DATABASE} SET datestyle = 'German'`,
      DATABASE,
    );
    const values = [
      { name: 'newest', sql: 'SELECT max(at) FROM orders; -- as in psql' },
      { name: 'nothing', sql: 'WITH o AS (TABLE orders) SELECT nothing FROM o' },
      { name: 'half', sql: 'SELECT 0.1::float8, true' },
      { name: 'limit', sql: "SELECT current_setting('statement_timeout')" },
    ];
    const { manifest } = await workshop.backup(store, { input: { values } });
    expect((await fingerprintOf(manifest)).values?.map(({ value }) => value)).toEqual(['2026-01-02 03:04:05+00', null, '0.1', '1min']);
    await server.query(`ALTER DATABASE ${DATABASE} RESET ALL; DROP SCHEMA app CASCADE`, DATABASE);
  });

  it.each<[string, string, RegExp]>([
    ['names a table that is not there', 'SELECT count(*) FROM acount', /query failed \(SQLSTATE 42P01\)$/],
    ['gives no row', 'SELECT id FROM account WHERE false', /gave no row$/],
    ['gives every row', 'SELECT id FROM account', /gave more than one row$/],
    ['gives no column', 'SELECT FROM account LIMIT 1', /gave no column$/],
    ['gives a document', "SELECT repeat('x', 20000)", /longer than 10000 characters$/],
    ['fails on a row, which is nobody’s business', 'SELECT max(name::int) FROM account', /query failed \(SQLSTATE 22P02\)$/],
    ['ends the transaction', 'COMMIT', /query failed/],
    ['brings a second statement', 'SELECT 1; COMMIT; DROP TABLE event', /query failed/],
    ['writes', "INSERT INTO account VALUES (-1, 'x') RETURNING id", /query failed/],
    ['writes in a function', "SELECT nextval('event_id_seq')", /query failed \(SQLSTATE 25006\)$/],
  ])('of which one %s: it is named and left out, the others are recorded, and the backup is done in part', async (_, sql, why) => {
    const tables = [await count('account'), await count('event')];
    const since = workshop.log.length;
    const values = [
      { name: 'the bad one', sql },
      { name: 'zone', sql: "SELECT current_setting('TimeZone') || (SELECT count(*) FROM account)" },
    ];
    const { manifest, partial } = await workshop.backup(store, { input: { values } });
    expect(partial).toBe(true);
    expect(told(manifest)).toEqual([expect.stringMatching(/^the value "the bad one" was not recorded: /)]);
    expect(told(manifest)[0]).toMatch(why);
    expect(told(manifest)[0]).not.toMatch(/account/);
    expect(warned(since)).toEqual([{ type: 'warning', text: told(manifest)[0], hint: expect.stringMatching(/\S/) }]);
    const fingerprint = await fingerprintOf(manifest);
    expect(fingerprint.values).toEqual([{ ...values[1], value: `UTC${tables[0]}` }]);
    expect(fingerprint.tables).toHaveLength(2);
    expect([await count('account'), await count('event')]).toEqual(tables);
  });
});

describe('the canary', () => {
  it('is in the restored database, and in the fingerprint as it is there', async () => {
    const first = await workshop.backup(store, { input: { canary } });
    const second = await workshop.backup(store, { input: { canary } });
    expect([first.partial, second.partial]).toEqual([false, false]);
    const recorded = (await fingerprintOf(second.manifest)).canary;
    expect(recorded).toMatchObject({ ...canary, backup: second.manifest.id });
    await workshop.restore(store);
    const rows = await server.query(
      `SELECT backup, to_char(written_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS at FROM jetbackup_canary ORDER BY written_at DESC`,
      'restored',
    );
    expect(rows.map(({ backup }) => backup)).toEqual([second.manifest.id, first.manifest.id]);
    expect(rows[0]?.['at']).toBe(recorded?.writtenAt);
    expect(String(recorded?.writtenAt) <= second.manifest.snapshotInstant).toBe(true);
    const [{ comment } = {}] = await server.query("SELECT obj_description('jetbackup_canary'::regclass) AS comment", 'restored');
    expect(comment).toMatch(/jetbackup/);
  });

  it('is not written where it is not configured, or where there is no fingerprint to record it in', async () => {
    await workshop.backup(store);
    await workshop.backup(store, { input: { canary, fingerprint: 'off' } });
    expect(await server.query("SELECT to_regclass('public.jetbackup_canary') AS found", DATABASE)).toEqual([{ found: null }]);
  });

  it('keeps the newest 100 rows, and its own though the clock says that others are newer', async () => {
    await server.query(
      `CREATE TABLE jetbackup_canary (backup text PRIMARY KEY, written_at timestamptz NOT NULL);
       INSERT INTO jetbackup_canary SELECT 'old ' || n, now() + n * interval '1 day' FROM generate_series(1, 150) n`,
      DATABASE,
    );
    const { manifest } = await workshop.backup(store, { input: { canary } });
    expect((await fingerprintOf(manifest)).canary?.backup).toBe(manifest.id);
    const rows = await server.query('SELECT backup FROM jetbackup_canary ORDER BY written_at', DATABASE);
    expect(rows).toHaveLength(101);
    expect(rows.slice(0, 2)).toEqual([{ backup: manifest.id }, { backup: 'old 51' }]);
  });

  it('is one row however often the backup has to try', async () => {
    const blocker = new pg.Client(server.connection(DATABASE));
    await blocker.connect();
    await blocker.query('BEGIN; LOCK TABLE account IN ACCESS EXCLUSIVE MODE');
    const rows: unknown[] = [];
    const clock = {
      ...systemClock,
      sleep: async (ms: number, signal?: AbortSignal) => {
        if (ms !== 15_000) return await systemClock.sleep(ms, signal);
        rows.push(...(await server.query('SELECT * FROM jetbackup_canary', DATABASE)));
        await blocker.query('ROLLBACK');
      },
    };
    const { manifest } = await workshop.backup(store, { clock, input: { canary, lockTimeoutMs: 200, lockRetries: 1 } });
    await blocker.end();
    expect(rows).toHaveLength(1);
    expect(await server.query('SELECT * FROM jetbackup_canary', DATABASE)).toEqual(rows);
    expect((await fingerprintOf(manifest)).canary?.backup).toBe(manifest.id);
  });

  it('is not written by a run that finds another at work', async () => {
    const holding: DatabaseSource = {
      ...postgres,
      findTools: async (...args) => {
        await expect(workshop.backup(store, { input: { canary } })).rejects.toMatchObject({ code: 'locked' });
        return await postgres.findTools(...args);
      },
    };
    await workshop.backup(store, { source: holding });
    expect(await server.query("SELECT to_regclass('public.jetbackup_canary') AS found", DATABASE)).toEqual([{ found: null }]);
  });

  it('of several repositories at once: each gets its row, though all of them make the table', async () => {
    const settings = parseConnection({ url: server.url(DATABASE), env: {} });
    const ids = Array.from({ length: 6 }, (_, index) => `run ${index}`);
    const told = await Promise.all(ids.map((backup) => writeCanary(settings, { ...canary, backup, lockTimeoutMs: 5_000 }, never)));
    expect(told).toEqual(ids.map(() => undefined));
    const rows = await server.query('SELECT backup FROM jetbackup_canary ORDER BY backup', DATABASE);
    expect(rows).toEqual(ids.map((backup) => ({ backup })));
  });

  it('of a role without rights is left out with the lines to type, which are all that is needed', async () => {
    await server.query(
      `CREATE ROLE "back up" LOGIN PASSWORD 'x'; GRANT pg_read_all_data TO "back up"; ALTER ROLE "back up" SET default_transaction_read_only = on`,
    );
    const connection = parseConnection({ url: `postgres://back%20up:x@${server.host}:${server.port}/${DATABASE}`, env: {} });
    const away = { schema: 'ops', table: 'Canary' };
    const input = { connection, rolePasswords: false };
    for (const table of [canary, away]) {
      const since = workshop.log.length;
      const without = await workshop.backup(store, { input: { ...input, canary: table } });
      expect(without.partial).toBe(true);
      expect((await fingerprintOf(without.manifest)).canary).toBeUndefined();
      expect(told(without.manifest)).toEqual([expect.stringMatching(/^no canary was written: (this user may not create|the schema)/)]);
      const [{ hint = '' } = {}] = warned(since);
      await server.query(hint.replace(/^[^:]*: /, ''), DATABASE);
      const { manifest, partial } = await workshop.backup(store, { input: { ...input, canary: table } });
      expect({ partial, warnings: told(manifest) }).toEqual({ partial: false, warnings: [] });
      expect((await fingerprintOf(manifest)).canary?.backup).toBe(manifest.id);
    }
    await server.query('REVOKE DELETE ON jetbackup_canary FROM "back up"', DATABASE);
    const since = workshop.log.length;
    await workshop.backup(store, { input: { ...input, canary } });
    expect(warned(since)[0]?.hint).toBe(
      'As the owner or a superuser: GRANT SELECT, INSERT, DELETE ON "public"."jetbackup_canary" TO "back up";',
    );
    await server.query('DROP SCHEMA ops CASCADE', DATABASE);
  });

  it('in a table that is somebody else’s touches nothing there', async () => {
    const before = await count('account');
    const since = workshop.log.length;
    const { partial } = await workshop.backup(store, { input: { canary: { schema: 'public', table: 'account' } } });
    expect(partial).toBe(true);
    expect(warned(since)[0]).toMatchObject({
      text: 'no canary was written: its table has other columns',
      hint: expect.stringContaining('"account"'),
    });
    expect(await count('account')).toBe(before);
  });

  it('waits for a lock no longer than it is told, and for nothing once the run is interrupted', async () => {
    const settings = parseConnection({ url: server.url(DATABASE), env: {} });
    expect(await writeCanary(settings, { ...canary, backup: 'first', lockTimeoutMs: 5_000 }, never)).toBeUndefined();
    const blocker = new pg.Client(server.connection(DATABASE));
    await blocker.connect();
    await blocker.query('BEGIN; LOCK TABLE jetbackup_canary IN ACCESS EXCLUSIVE MODE');
    expect(await writeCanary(settings, { ...canary, backup: 'second', lockTimeoutMs: 100 }, never)).toEqual({
      text: 'no canary was written: its table was locked for too long',
      hint: expect.stringContaining('pg_locks'),
    });
    const stop = new AbortController();
    setTimeout(() => stop.abort(new Error('enough')), 200);
    await expect(writeCanary(settings, { ...canary, backup: 'third', lockTimeoutMs: 60_000 }, stop.signal)).rejects.toThrow('enough');
    await blocker.end();
    expect(await count('jetbackup_canary')).toBe('1');
  });

  it('that a trigger swallows is not claimed', async () => {
    await server.query(
      `CREATE TABLE jetbackup_canary (backup text PRIMARY KEY, written_at timestamptz NOT NULL);
       CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
       CREATE TRIGGER swallow BEFORE INSERT ON jetbackup_canary FOR EACH ROW EXECUTE FUNCTION swallow()`,
      DATABASE,
    );
    const { manifest, partial } = await workshop.backup(store, { input: { canary } });
    expect(partial).toBe(true);
    expect(told(manifest)).toEqual(['no canary was recorded: its row is not to be seen in the snapshot']);
    expect((await fingerprintOf(manifest)).canary).toBeUndefined();
    await server.query('DROP FUNCTION swallow CASCADE', DATABASE);
  });
});
