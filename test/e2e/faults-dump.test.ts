import { readdir, readFile } from 'node:fs/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createSample, expectFailure, type Installation, makeInstallation } from '../support/installation.ts';
import { type PostgresServer, startPostgres } from '../support/postgres.ts';
import { until } from '../support/waiting.ts';

const DATABASE = 'source';

/** Ids of the running processes whose program is pg_dump itself, below the process given. */
async function pgDumpOf(parent: number | undefined): Promise<number[]> {
  const ids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const found = await Promise.all(
    ids.map(async (id) => {
      const [status, line] = await Promise.all(['stat', 'cmdline'].map((name) => readFile(`/proc/${id}/${name}`, 'utf8').catch(() => '')));
      const parentId = Number((status ?? '').slice((status ?? '').lastIndexOf(')') + 2).split(' ')[1]);
      return parentId === parent && /\/pg_dump\0/.test(line ?? '') ? [Number(id)] : [];
    }),
  );
  return found.flat();
}

describe('a dump that goes wrong', () => {
  let server: PostgresServer;
  let installation: Installation;
  let before: string[];
  let dumpBytes = 0;

  beforeAll(async () => {
    server = await startPostgres(15);
    await createSample(server, DATABASE, 6);
    installation = await makeInstallation({ server, database: DATABASE });
    const id = await installation.backup();
    const manifest = JSON.parse((await installation.repository.read(`${DATABASE}/${id}/manifest.json`)).toString('utf8'));
    dumpBytes = manifest.artifacts[0].plain.bytes;
    before = await installation.ids();
  });
  beforeEach(() => installation.programs.restore());
  // Whatever went wrong: nothing was committed, nothing that was is lost, nothing is left behind, and the next backup is a good one.
  afterEach(async () => {
    installation.proxy.heal();
    await installation.programs.restore();
    expect(await installation.committed()).toEqual(before);
    await installation.expectNothingLeft();
  });
  afterAll(async () => {
    await installation?.[Symbol.asyncDispose]();
    await server?.stop();
  });

  it.each([0, 50, 99])('is no backup when pg_dump is killed after %i % of its output', async (percent) => {
    const bytes = Math.floor((dumpBytes * percent) / 100);
    await installation.programs.wrap('pg_dump', `"$REAL" "$@" | head -c ${bytes}\nkill -KILL $$`);
    expectFailure(await installation.cli.run('backup'), 20, /killed by SIGKILL/);
  });

  it.each([0, 50, 99])('is no backup when the real pg_dump is killed while %i % of the rows have come', async (percent) => {
    installation.proxy.plant({ application: /pg_dump$/, at: { answeredBytes: Math.floor((dumpBytes * percent) / 100) }, kind: 'stall' });
    const run = installation.cli.start(['backup']);
    await until('pg_dump is in the middle of it', () => installation.proxy.struck > 0);
    const [pid, ...others] = await pgDumpOf(run.child.pid);
    expect(others).toEqual([]);
    if (pid === undefined) throw new Error(`no pg_dump is running: ${run.stderr()}`);
    process.kill(pid, 'SIGKILL');
    expectFailure(await run.ended, 20, /killed by SIGKILL/);
  });

  it('is no backup when pg_dump exits with 1 after all of its output', async () => {
    await installation.programs.wrap('pg_dump', '"$REAL" "$@"; echo "pg_dump: error: something at the very end" >&2; exit 1');
    expectFailure(await installation.cli.run('backup'), 20, /something at the very end/);
  });

  it.each([0, 50, 99])('is no backup when pg_dump stops after %i % of its output and exits with 0 all the same', async (percent) => {
    await installation.programs.wrap('pg_dump', `"$REAL" "$@" | head -c ${Math.floor((dumpBytes * percent) / 100)}; exit 0`);
    expectFailure(await installation.cli.run('backup'), 20, /the dump is incomplete/);
  });

  it.each([
    ['the dump', { application: /pg_dump$/, at: { answeredBytes: 2_000_000 } }],
    ['the snapshot', { application: /snapshot$/, at: { sends: /pg_export_snapshot/ } }],
    ['roles and tablespaces', { application: /pg_dumpall$/, at: { sends: /rolcanlogin/ } }],
  ] as const)('is no backup when the connection is cut during %s', async (_, session) => {
    installation.proxy.plant({ ...session, kind: 'cut' });
    expectFailure(await installation.cli.run('backup'), 20);
    expect(installation.proxy.struck).toBe(1);
  });

  it('is a backup without its fingerprint, and says so, when only the fingerprint loses its connection', async () => {
    installation.proxy.plant({ application: /fingerprint$/, at: { sends: /pg_class/ }, kind: 'cut' });
    const ended = await installation.cli.run('backup');
    expect(ended, ended.stderr).toMatchObject({ code: 3 });
    expect(ended.stderr).toMatch(/no fingerprint was taken/);
    before = await installation.committed();
    await installation.restoresEqual();
  });

  it('is no backup when an administrator ends the server process that holds the snapshot', async () => {
    await installation.programs.hold('pg_dumpall');
    const run = installation.cli.start(['backup']);
    await until('the dump is done', () => installation.programs.reached());
    await server.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'jetbackup snapshot'");
    // The dump had begun before: what it has read is whole. But the lock is gone, so that another run may be at work.
    await installation.programs.restore();
    expectFailure(await run.ended, 20);
  });

  it('is no backup when an administrator ends the server process that pg_dump reads from', async () => {
    installation.proxy.plant({ application: /pg_dump$/, at: { sends: /COPY public\.event/ }, kind: 'stall' });
    const run = installation.cli.start(['backup']);
    await until('pg_dump asks for the rows', () => installation.proxy.struck > 0);
    await server.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'jetbackup pg_dump'");
    installation.proxy.heal();
    expectFailure(await run.ended, 20, /terminating connection|connection was lost|closed the connection/);
  });

  it('is no backup when the server cannot be reached', async () => {
    installation.proxy.plant({ application: /./, at: 'start', kind: 'cut', times: 100 });
    expectFailure(await installation.cli.run('backup'), 20);
  });

  it('leaves unfinished files in a directory when jetbackup itself is killed, which the next backup removes', async () => {
    installation.proxy.plant({ application: /pg_dump$/, at: { answeredBytes: 4_000_000 }, kind: 'stall' });
    const run = installation.cli.start(['backup']);
    await until('pg_dump is in the middle of it', () => installation.proxy.struck > 0);
    run.child.kill('SIGKILL');
    await run.ended;
    installation.proxy.heal();
    expect(await installation.committed()).toEqual(before);
    expect(await installation.repository.unfinished()).not.toEqual([]);
    before = [...before, await installation.backup()];
  });

  it('leaves everything as it was: the backup from before restores, and so does the next one', async () => {
    expect(await installation.ids()).toEqual(before);
    await installation.restoresEqual(before[0]);
    before = [...before, await installation.backup()];
    await installation.restoresEqual();
  });
});
