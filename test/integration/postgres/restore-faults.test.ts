import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { isJetbackupError, JetbackupError } from '../../../src/core/errors.ts';
import { type ConnectionSettings, parseConnection } from '../../../src/postgres/connection.ts';
import { compareFingerprints, takeFingerprint } from '../../../src/postgres/fingerprint.ts';
import {
  createStagingDatabase,
  inspectTarget,
  missingPrerequisites,
  restoreArchive,
  type Staging,
  sweepStaging,
} from '../../../src/postgres/restore.ts';
import type { ClientTools } from '../../../src/postgres/tools.ts';
import { chooseTools } from '../../../src/postgres/tools-choice.ts';
import { type PostgresServer, startPostgres } from '../../support/postgres.ts';
import { startPostgresProxy } from '../../support/postgres-proxy.ts';
import { baseEnv, deps, diverseSql, dump, fill, settingsOf, type Taken, tools } from './pipeline.ts';

async function failure(work: Promise<unknown>): Promise<JetbackupError> {
  const error: unknown = await work.then(
    () => undefined,
    (thrown) => thrown,
  );
  if (!isJetbackupError(error)) throw new Error('it should have failed with an error of the catalogue', { cause: error });
  return error;
}

describe('a restore that cannot go well', () => {
  let source: PostgresServer;
  let target: PostgresServer;
  let used: ClientTools;
  let taken: Taken;
  let settings: ConnectionSettings;
  let run = 0;

  beforeAll(async () => {
    [source, target, used] = await Promise.all([
      startPostgres(17),
      startPostgres(17, { command: ['-c', 'max_prepared_transactions=2'] }),
      tools(17),
    ]);
    await source.query("CREATE DATABASE src TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'");
    await source.query(await diverseSql(), 'src');
    taken = await dump(settingsOf(source, 'src'), used);
    settings = settingsOf(target, 'copy');
  });
  afterAll(async () => {
    await Promise.all([source?.stop(), target?.stop()]);
  });
  beforeEach(() => {
    run += 1;
  });

  const stage = (at = settings): Promise<Staging> =>
    createStagingDatabase(at, {
      source: taken.snapshot.source,
      finalName: 'copy',
      runId: `x-run${String(run).padStart(3, '0')}`,
      noOwner: false,
    });
  const databases = async () =>
    (await target.query("SELECT datname FROM pg_database WHERE datname LIKE 'copy%'")).map(({ datname }) => datname);

  it('names the role that is missing and the statement that asked for it, and leaves nothing behind', async () => {
    const error = await failure(
      (async () => {
        await using staging = await stage();
        await fill(staging, taken.archive, used);
      })(),
    );
    expect(error.code).toBe('role-missing');
    expect(error.message).toContain('OWNER TO app');
    expect(error.hint).toContain('--no-owner');
    expect(await databases()).toEqual([]);
    expect((await readdir('/dev/shm')).filter((name) => name.includes(`-${process.pid}-`))).toEqual([]);
  });

  it('names the role of a policy and the extension that are missing, before and during the restore', async () => {
    await using bare = await startPostgres(17);
    expect(await bare.exec(['rm', '/usr/share/postgresql/17/extension/pg_trgm.control'])).toMatchObject({ exitCode: 0 });
    const there = settingsOf(bare, 'copy');
    const state = await inspectTarget(there);
    expect(missingPrerequisites(taken.snapshot.source, taken.snapshot.server, state, { noOwner: true })).toEqual([
      expect.objectContaining({
        code: 'extension-missing',
        message: expect.stringContaining('"pg_trgm"'),
        hint: expect.stringContaining('apt-get install postgresql-contrib'),
      }),
    ]);
    await using staging = await stage(there);
    const early = await failure(fill(staging, taken.archive, used, { noOwner: true }));
    expect(early).toMatchObject({
      code: 'role-missing',
      message: 'the target lacks the role "app", which row-level security policies are for',
      hint: expect.stringContaining('--create-roles'),
    });
    expect(await bare.query("SELECT FROM pg_class WHERE relname = 't'", staging.name)).toEqual([]);
    await bare.query('CREATE ROLE app');
    const error = await failure(fill(staging, taken.archive, used, { noOwner: true }));
    expect(error).toMatchObject({ code: 'extension-missing', hint: expect.stringContaining('pg_trgm') });
  });

  it('refuses a target of an older major: at once, by the choice of tools, and at the last in pg_restore’s own words', async () => {
    await using old = await startPostgres(15);
    const there = settingsOf(old, 'copy');
    const state = await inspectTarget(there);
    expect(missingPrerequisites(taken.snapshot.source, taken.snapshot.server, state, { noOwner: true })).toEqual([
      expect.objectContaining({ code: 'target-too-old', message: expect.stringContaining('PostgreSQL 17') }),
    ]);
    const request = { serverVersionNum: state.server.versionNum, purpose: 'restore', dumpedBy: used.version } as const;
    expect(chooseTools([used, await tools(15)], request)).toMatchObject({
      reason: expect.stringContaining('cannot restore into PostgreSQL 15'),
    });
    await using staging = await stage(there);
    await old.query('CREATE ROLE app');
    expect(await failure(fill(staging, taken.archive, used, { noOwner: true }))).toMatchObject({
      code: 'target-too-old',
      hint: expect.stringContaining('transaction_timeout'),
    });
  });

  it('fails when the archive turns out wrong at its very end, though pg_restore has had all that it wants', async () => {
    await target.query('CREATE ROLE app; CREATE ROLE "odd ""role"""');
    await using staging = await stage();
    const loading = "SELECT FROM pg_stat_activity WHERE application_name = 'jetbackup pg_restore data'";
    const archive = (async function* () {
      yield taken.archive;
      // The large object is the last of the data.
      await expect.poll(() => target.query('SELECT loid FROM pg_largeobject', staging.name), { timeout: 10_000 }).toHaveLength(1);
      await expect.poll(() => target.query(loading), { timeout: 10_000 }).toEqual([]);
      throw new JetbackupError('damaged', 'the last segment does not hold');
    })();
    const error = await failure(
      restoreArchive(deps, { settings: staging.settings, tools: used, archive, jobs: 1, noOwner: false, baseEnv }),
    );
    expect(error).toMatchObject({ code: 'damaged', message: 'the last segment does not hold' });
  });

  it('fails when the archive breaks off half way', async () => {
    await using staging = await stage();
    const archive = (async function* () {
      yield taken.archive.subarray(0, taken.archive.byteLength / 2);
      throw new JetbackupError('storage-unreachable', 'cut');
    })();
    const error = await failure(
      restoreArchive(deps, { settings: staging.settings, tools: used, archive, jobs: 1, noOwner: false, baseEnv }),
    );
    expect(error.code).toBe('storage-unreachable');
    const short = taken.archive.subarray(0, taken.archive.byteLength / 2);
    await using second = await createStagingDatabase(settings, {
      source: taken.snapshot.source,
      finalName: 'copy',
      runId: 'x-short1',
      noOwner: false,
    });
    expect((await failure(fill(second, short, used))).code).toBe('damaged');
  });

  it('stops at once when aborted, and the staging database can be dropped all the same', async () => {
    const stop = new AbortController();
    await using staging = await createStagingDatabase(
      settings,
      { source: taken.snapshot.source, finalName: 'copy', runId: 'x-abort1', noOwner: false },
      stop.signal,
    );
    const archive = (async function* () {
      yield taken.archive.subarray(0, 200_000);
      stop.abort(new Error('Ctrl-C'));
      yield taken.archive.subarray(200_000);
    })();
    await expect(
      restoreArchive(deps, { settings: staging.settings, tools: used, archive, jobs: 1, noOwner: false, baseEnv }, stop.signal),
    ).rejects.toThrow('Ctrl-C');
    await staging.drop();
    expect(await databases()).toEqual([]);
    expect((await readdir('/dev/shm')).filter((name) => name.includes(`-${process.pid}-`))).toEqual([]);
  });

  it('fails as unreachable when the server ends the connection while rows are loaded', async () => {
    await using staging = await stage();
    const archive = (async function* () {
      yield taken.archive.subarray(0, 200_000);
      await expect
        .poll(
          () => target.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'jetbackup pg_restore data'"),
          { timeout: 5000 },
        )
        .toHaveLength(1);
      yield taken.archive.subarray(200_000);
    })();
    const error = await failure(
      restoreArchive(deps, { settings: staging.settings, tools: used, archive, jobs: 1, noOwner: false, baseEnv }),
    );
    expect(error.code).toBe('target-unreachable');
  });

  it('does not show the user’s rows in its error', async () => {
    await using staging = await stage();
    const content = createHash('md5').update('4999').digest('hex');
    const archive = Buffer.from(taken.archive);
    const at = archive.indexOf(`4999\t${content}`);
    expect(at).toBeGreaterThan(0);
    archive.set(Buffer.from('zz99'), at);
    const error = await failure(fill(staging, archive, used));
    expect(error.code).toBe('restore-failed');
    // Of its lane, not of the table.
    expect(error.message).toMatch(/COPY t, line \d+/);
    expect(error.message).not.toContain(content);
  });

  it('never takes a name that is in use', async () => {
    await using staging = await stage();
    await target.query('CREATE DATABASE taken');
    expect((await failure(staging.promote('taken'))).code).toBe('target-exists');
    expect((await failure(stage())).code).toBe('target-exists');
    expect(await databases()).toEqual([staging.name]);
  });

  it('says which locale the target lacks', async () => {
    const odd = { ...taken.snapshot.source, collate: 'tlh_QO.UTF-8', ctype: 'tlh_QO.UTF-8' };
    const error = await failure(createStagingDatabase(settings, { source: odd, finalName: 'copy', runId: 'x-locale', noOwner: false }));
    expect(error).toMatchObject({
      code: 'restore-failed',
      message: expect.stringContaining('tlh_QO.UTF-8'),
      hint: expect.stringContaining('locale-gen'),
    });
    expect(await databases()).toEqual([]);
  });

  it('sweeps the staging database of a killed run with whoever is still in it, and spares those of live ones and of strangers', async () => {
    await using live = await stage();
    await target.query('CREATE DATABASE mine_jetbackup_abc123');
    await target.query('CREATE TABLE t (id int)', 'mine_jetbackup_abc123');
    await target.query('CREATE DATABASE told_jetbackup_abc123');
    await target.query("COMMENT ON DATABASE told_jetbackup_abc123 IS 'mine'");
    const argument = JSON.stringify({ url: target.url(), source: taken.snapshot.source, runId: '20261120T020000Z-dead01' });
    const child = spawn(process.execPath, [fileURLToPath(new URL('./stage-and-hang.ts', import.meta.url)), argument], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    onTestFinished(() => void child.kill('SIGKILL'));
    const [line] = await once(child.stdout, 'data');
    expect(String(line)).toBe('dead_jetbackup_dead01\n');
    expect(await sweepStaging(settings)).toEqual([]);

    child.kill('SIGKILL');
    await once(child, 'exit');
    const orphan = new pg.Client(target.connection('dead_jetbackup_dead01'));
    const ends: unknown[] = [];
    orphan.on('error', (error) => ends.push(error));
    await orphan.connect();
    await expect.poll(() => sweepStaging(settings), { timeout: 10_000 }).toEqual(['dead_jetbackup_dead01']);
    expect(ends[0]).toMatchObject({ code: '57P01' });
    const left = await target.query("SELECT datname FROM pg_database WHERE datname LIKE '%jetbackup%' ORDER BY 1");
    expect(left.map(({ datname }) => datname)).toEqual([live.name, 'mine_jetbackup_abc123', 'told_jetbackup_abc123']);
  });

  it('sweeps what a run left that was killed before it could mark its database', async () => {
    await using proxy = await startPostgresProxy(target);
    proxy.plant({ application: /^jetbackup staging/, at: { sends: /COMMENT ON DATABASE/ }, kind: 'stall' });
    const url = new URL(target.url());
    url.host = `${proxy.host}:${proxy.port}`;
    url.searchParams.set('sslmode', 'disable');
    const argument = JSON.stringify({ url: url.href, source: taken.snapshot.source, runId: '20261120T020000Z-dead02' });
    const child = spawn(process.execPath, [fileURLToPath(new URL('./stage-and-hang.ts', import.meta.url)), argument], { stdio: 'ignore' });
    onTestFinished(() => void child.kill('SIGKILL'));
    await expect.poll(() => proxy.struck, { timeout: 20_000 }).toBe(1);
    expect(await sweepStaging(settings)).toEqual([]);

    child.kill('SIGKILL');
    await once(child, 'exit');
    await expect.poll(() => sweepStaging(settings), { timeout: 10_000 }).toEqual(['dead_jetbackup_dead02']);
  });

  it('says so when the staging database cannot be dropped, with the line to type, and can be asked again', async () => {
    await using staging = await stage();
    const client = new pg.Client(target.connection(staging.name));
    await client.connect();
    // A prepared transaction keeps even FORCE from it.
    await client.query("BEGIN; CREATE TABLE t (id int); PREPARE TRANSACTION 'stuck'");
    expect(await failure(staging.drop())).toMatchObject({
      code: 'restore-failed',
      message: expect.stringContaining(`the database ${staging.name} could not be dropped`),
      hint: `DROP DATABASE "${staging.name}" WITH (FORCE);`,
    });
    await client.query("ROLLBACK PREPARED 'stuck'");
    await client.end();
    await staging.drop();
    await staging.drop();
    expect(await databases()).toEqual([]);
  });

  it('names what it could not drop when the making of the staging database fails', async () => {
    await using proxy = await startPostgresProxy(target);
    proxy.plant({ application: /^jetbackup staging/, at: { sends: /COMMENT ON DATABASE/ }, kind: 'cut' });
    proxy.plant({ application: /^jetbackup drop/, at: 'start', kind: 'cut', times: 10 });
    const there = parseConnection({ url: target.url('copy'), env: {} });
    const through = {
      ...there,
      hosts: [{ host: proxy.host, port: proxy.port }],
      ssl: { ...there.ssl, mode: 'disable' as const },
    };
    const error = await failure(stage(through));
    const [left] = await databases();
    expect(left).toMatch(/^copy_jetbackup_run\d{3}$/);
    expect(error).toMatchObject({ code: 'target-unreachable', hint: expect.stringContaining(`DROP DATABASE "${left}" WITH (FORCE);`) });
    expect(await sweepStaging(settings)).toEqual([left]);
  });

  it('takes the name of an empty database when asked to, keeping that under another name', async () => {
    await using staging = await stage();
    await target.query('CREATE DATABASE empty_one');
    await target.query('CREATE DATABASE filled');
    await target.query('SELECT lo_from_bytea(1, $$x$$)', 'filled');
    expect((await inspectTarget({ ...settings, database: 'empty_one' })).canPutAside).toBe(true);
    expect((await inspectTarget({ ...settings, database: 'filled' })).canPutAside).toBe(false);
    expect((await inspectTarget({ ...settings, database: 'postgres' })).canPutAside).toBe(false);
    expect((await inspectTarget(settings)).canPutAside).toBe(false);
    for (const name of ['filled', 'postgres']) {
      expect((await failure(staging.promote(name, { replaceEmpty: true }))).code).toBe('target-exists');
    }
    expect((await failure(staging.promote('empty_one'))).code).toBe('target-exists');

    await target.query('CREATE TABLE restored (id int)', staging.name);
    await staging.promote('empty_one', { replaceEmpty: true });
    const aside = `empty_one_empty_run${String(run).padStart(3, '0')}`;
    expect(await target.query("SELECT to_regclass('restored') IS NOT NULL AS here", 'empty_one')).toEqual([{ here: true }]);
    expect(await target.query("SELECT to_regclass('restored') IS NOT NULL AS here", aside)).toEqual([{ here: false }]);
    expect(staging.warnings).toContainEqual(expect.stringContaining(`"${aside}"`));
    expect(await databases()).toEqual([]);
  });

  it('leaves tablespaces out when asked to, and the copy is found equal', async () => {
    await source.exec(['install', '-d', '-o', 'postgres', '/var/lib/postgresql/fast']);
    await source.query("CREATE TABLESPACE fast LOCATION '/var/lib/postgresql/fast'");
    await source.query('CREATE DATABASE spaced TABLESPACE fast');
    await source.query('ALTER DATABASE spaced SET default_tablespace TO fast');
    await source.query('ALTER DATABASE spaced SET work_mem TO $$5MB$$');
    await source.query(
      `CREATE TABLE t (id int PRIMARY KEY USING INDEX TABLESPACE pg_default) TABLESPACE pg_default;
       CREATE TABLE u (id int) TABLESPACE fast; CREATE INDEX i ON u (id) TABLESPACE pg_default; CREATE INDEX j ON t (id) TABLESPACE fast;
       CREATE MATERIALIZED VIEW mv TABLESPACE pg_default AS SELECT 1 AS n`,
      'spaced',
    );
    const spaced = await dump(settingsOf(source, 'spaced'), used);
    const state = await inspectTarget(settings);
    expect(missingPrerequisites(spaced.snapshot.source, spaced.snapshot.server, state, { noOwner: true })).toEqual([
      expect.objectContaining({ message: expect.stringContaining('"fast"'), hint: expect.stringContaining('--no-tablespaces') }),
    ]);
    const choices = { noOwner: true, noTablespaces: true };
    expect(missingPrerequisites(spaced.snapshot.source, spaced.snapshot.server, state, choices)).toEqual([]);
    await using staging = await createStagingDatabase(settings, {
      source: spaced.snapshot.source,
      finalName: 'copy',
      runId: 'x-space1',
      ...choices,
    });
    await fill(staging, spaced.archive, used, choices);
    const before = await takeFingerprint(settingsOf(source, 'spaced'), { mode: 'content' }, new AbortController().signal);
    const after = await takeFingerprint(staging.settings, { mode: 'content' }, new AbortController().signal);
    expect(compareFingerprints(before, after, { noOwner: true })).toEqual([]);
    expect(
      await target.query(
        'SELECT setconfig FROM pg_db_role_setting WHERE setdatabase::text = (SELECT oid::text FROM pg_database WHERE datname = current_database())',
        staging.name,
      ),
    ).toEqual([{ setconfig: ['work_mem=5MB'] }]);
    expect(staging.warnings).toEqual([]);
  });
});
