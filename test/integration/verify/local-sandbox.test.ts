import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmod, chown, lstat, mkdir, mkdtemp, readdir, readFile, rm, stat, statfs, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { systemClock } from '../../../src/platform/clock.ts';
import { createProcessRunner, type ProcessRunner } from '../../../src/platform/processes.ts';
import { createServiceRunner } from '../../../src/platform/services.ts';
import { findServerPrograms } from '../../../src/postgres/server-programs.ts';
import type { SandboxProvider } from '../../../src/verify/sandbox.ts';
import { createSandboxLedger } from '../../../src/verify/sandboxes/ledger.ts';
import { until } from '../../support/waiting.ts';
import { localDeps, processesIn, provider, query, request } from './local-sandboxes.ts';

const isRoot = process.getuid?.() === 0;
const programs = await findServerPrograms(localDeps(), { major: 14 }).catch(() => undefined);
const never = new AbortController().signal;

let directory: string;
beforeEach(async () => {
  // Not the temporary directory that the system or a test runner gives: the path of a socket must be short.
  directory = await mkdtemp('/tmp/jb-local-');
  await chmod(directory, 0o755);
});
afterEach(async () => {
  // Whatever a test did: nothing is left.
  expect(await processesIn(directory)).toEqual([]);
  expect((await readdir(directory)).filter((name) => name.startsWith('jetbackup-sb-'))).toEqual([]);
  await rm(directory, { recursive: true });
});

const failure = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => 'it went well',
    (error: unknown) => error,
  );

/** Ids of the System V segments of this machine. */
const sharedMemory = async () => (await readFile('/proc/sysvipc/shm', 'utf8')).split('\n').map((line) => line.trim().split(/\s+/)[1]);
const sharedMemoryIn = async (pidFile: string) => (await readFile(pidFile, 'utf8')).split('\n')[6]?.trim().split(/\s+/)[1];

/** The path of something in the only sandbox below `directory`, once it is there. */
async function appears(...path: string[]): Promise<string> {
  let found = '';
  await until(`${path.join('/')} is there`, async () => {
    const name = (await readdir(directory)).find((entry) => entry.startsWith('jetbackup-sb-'));
    if (name === undefined) return false;
    found = join(directory, name, ...path);
    return await lstat(found).then(
      () => true,
      () => false,
    );
  });
  return found;
}

describe.skipIf(programs === undefined)(`a sandbox of this machine's own programs${programs ? '' : ' (skipped: there are none)'}`, () => {
  it('is a server that answers on a socket of its own and no port, and of which nothing is left', async () => {
    const local = provider({
      directory,
      settings: { work_mem: '7MB', 'jetbackup.test': "it's \\ here", PORT: '1', listen_addresses: '*' },
    });
    const sandbox = await local.start(request({ superuser: 'The owner: ä' }), never);
    expect(sandbox).toMatchObject({ kind: 'local', profile: 'fast', isOurs: true, settings: { database: 'postgres' } });
    expect(sandbox.description).toMatch(/^PostgreSQL \d+\.\d+ of this machine \(\/.*\/bin\)$/);
    const settings = await query(
      sandbox,
      `SELECT current_user, rolsuper, current_setting('server_encoding') AS encoding, inet_server_addr() AS address,
              current_setting('listen_addresses') AS listens, current_setting('fsync') AS fsync,
              current_setting('work_mem') AS work_mem, current_setting('jetbackup.test') AS quoted,
              current_setting('dynamic_shared_memory_type') AS segments
         FROM pg_roles WHERE rolname = current_user`,
    );
    expect(settings).toEqual([
      {
        ...{ current_user: 'The owner: ä', rolsuper: true, encoding: 'UTF8', address: null, listens: '' },
        ...{ fsync: 'off', work_mem: '7MB', quoted: "it's \\ here", segments: 'mmap' },
      },
    ]);
    expect(await sandbox.trouble()).toBeUndefined();
    expect(await local.sweep(never)).toEqual([]);

    const [own = ''] = await readdir(directory);
    const entries = (await readdir(join(directory, own))).toSorted();
    expect(entries).toEqual(['data', 'pg_hba.conf', 'postgresql.conf', 'socket']);
    const modes = ['', ...entries].map(async (entry) => {
      const { mode, uid } = await stat(join(directory, own, entry));
      return `${(mode & 0o777).toString(8)} ${uid === process.getuid?.() ? 'ours' : 'the server’s'} ${entry}`;
    });
    const others = isRoot ? 'the server’s' : 'ours';
    expect(await Promise.all(modes)).toEqual([
      ...[`${isRoot ? 711 : 700} ours `, `700 ${others} data`, `${isRoot ? 640 : 600} ours pg_hba.conf`],
      ...[`${isRoot ? 640 : 600} ours postgresql.conf`, `700 ${others} socket`],
    ]);
    await sandbox[Symbol.asyncDispose]();
    await sandbox[Symbol.asyncDispose]();
    expect(await readdir(directory)).toEqual([]);
  });

  it('lets nobody in without its password, whatever its superuser is called', async () => {
    const awkward = request({ profile: 'durable', superuser: 'the "owner"' });
    await using sandbox = await provider({ directory }).start(awkward, never);
    expect(await query(sandbox, "SELECT current_setting('fsync') AS fsync")).toEqual([{ fsync: 'on' }]);
    const { password: _, ...without } = sandbox.settings;
    expect(await failure(query({ ...sandbox, settings: without }, 'SELECT 1'))).toMatchObject({ code: 'database-denied' });
    expect(JSON.stringify(sandbox)).not.toContain(sandbox.settings.password?.reveal());
  });

  it.skipIf(!isRoot)('writes nothing as root where the server’s user leads it by a link', async () => {
    const victim = join(directory, 'victim');
    await writeFile(victim, '# root’s\n', { mode: 0o644 });
    const bindir = join(directory, 'bin');
    await mkdir(bindir);
    await symlink(programs?.postgres ?? '', join(bindir, 'postgres'));
    const evil = ['postgresql.conf', 'pg_hba.conf'].map((name) => `rm -f data/${name}; ln -s ${victim} data/${name}`);
    const lure = `mv data elsewhere; rm -f password pg_hba.conf postgresql.conf; ln -s ${victim} postgresql.conf`;
    const lines = ['#!/bin/sh', `${programs?.initdb} "$@" || exit`, '[ -d data ] || exit 0', ...evil, lure, 'exit 0', ''];
    await writeFile(join(bindir, 'initdb'), lines.join('\n'), { mode: 0o755 });
    await using sandbox = await provider({ directory, bindir }).start(request({ major: programs?.major ?? 0 }), never);
    expect(await readFile(victim, 'utf8')).toBe('# root’s\n');
    expect((await stat(victim)).uid).toBe(0);
    expect(await query(sandbox, "SELECT current_setting('fsync') AS fsync")).toEqual([{ fsync: 'off' }]);
  });

  it.skipIf(!isRoot)('is no process of postgres, who may have a cluster of his own', async () => {
    await using sandbox = await provider({ directory }).start(request(), never);
    await query(sandbox, "COPY (SELECT 1) TO PROGRAM 'id -un > whoami'");
    const [row] = await query(sandbox, "SELECT pg_read_file('whoami') AS name");
    expect(row?.['name']).toMatch(/^(jetbackup-sandbox|nobody)\n$/);
  });

  it('that could not be removed is removed by the next job of the same process, which lives', async () => {
    const ledger = createSandboxLedger();
    const processes = createProcessRunner();
    const broken: ProcessRunner = {
      ...processes,
      output: (command, signal) =>
        command.program === 'rm' ? processes.output({ ...command, program: 'false' }, signal) : processes.output(command, signal),
    };
    const sandbox = await provider({ directory }, { ledger, processes: broken }).start(request(), never);
    const next = provider({ directory }, { ledger });
    expect(await next.sweep(never)).toEqual([]);
    expect(await failure(sandbox[Symbol.asyncDispose]())).toMatchObject({
      code: 'sandbox-unavailable',
      hint: expect.stringMatching(/^It holds/),
    });
    expect(await next.sweep(never)).toEqual([expect.stringMatching(`^the local sandbox ${directory}`)]);
    expect(await readdir(directory)).toEqual([]);
  });

  it('that was killed is also removed where the configuration names another directory by now', async () => {
    const [before, now] = [join(directory, 'a'), join(directory, 'b')];
    for (const place of [before, now]) await mkdir(place);
    const child = spawn(
      process.execPath,
      [fileURLToPath(new URL('./hold-sandbox.ts', import.meta.url)), JSON.stringify({ directory: before })],
      {
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    );
    onTestFinished(() => void child.kill('SIGKILL'));
    await once(child.stdout, 'data');
    child.kill('SIGKILL');
    await once(child, 'exit');
    const env = { PATH: process.env['PATH'], TMPDIR: before };
    expect(await provider({ directory: now }, { env }).sweep(never)).toEqual([expect.stringMatching(`^the local sandbox ${before}/`)]);
    expect(await readdir(before)).toEqual([]);
  });

  const account = { uid: 65_534, gid: 65_534 };
  it.skipIf(!isRoot)('needs no root, and is then the user’s own', async () => {
    await chown(directory, account.uid, account.gid);
    const child = spawn(process.execPath, [fileURLToPath(new URL('./hold-sandbox.ts', import.meta.url)), JSON.stringify({ directory })], {
      ...{ ...account, stdio: ['ignore', 'pipe', 'inherit'], env: { PATH: process.env['PATH'] } },
    });
    onTestFinished(() => void child.kill('SIGKILL'));
    const [line] = await once(child.stdout, 'data');
    expect(JSON.parse(String(line))).toMatchObject({ superuser: 'postgres' });
    expect((await stat(await appears('data', 'PG_VERSION'))).uid).toBe(account.uid);
    // Root does not touch what lives, nor what is another user's.
    expect(await provider({ directory }).sweep(never)).toEqual([]);
    child.kill('SIGINT');
    expect(await once(child, 'exit')).toEqual([0, null]);
  });

  /** What is there when it is interrupted; each is removed with what runs in it. */
  const moments = {
    'before initdb': ['password'],
    'in the middle of initdb': ['data', 'global'],
    'while the server starts': ['data', 'postmaster.opts'],
  } as const;

  for (const [moment, path] of Object.entries(moments)) {
    it(`is gone when its start is interrupted ${moment}`, async () => {
      const controller = new AbortController();
      const starting = failure(provider({ directory }).start(request(), controller.signal));
      await appears(...path);
      const reason = new Error('interrupted');
      controller.abort(reason);
      expect(await starting).toBe(reason);
      expect(await readdir(directory)).toEqual([]);
    });
  }

  for (const [moment, path] of Object.entries({ ...moments, 'when it is ready': undefined })) {
    it(`is removed, with its server, by the next run after its own was killed ${moment}`, async () => {
      const child = spawn(process.execPath, [fileURLToPath(new URL('./hold-sandbox.ts', import.meta.url)), JSON.stringify({ directory })], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      onTestFinished(() => void child.kill('SIGKILL'));
      if (path === undefined) await once(child.stdout, 'data');
      else await appears(...path);
      const next = provider({ directory });
      expect(await next.sweep(never)).toEqual([]);

      child.kill('SIGKILL');
      await once(child, 'exit');
      const left = join(directory, (await readdir(directory))[0] ?? '');
      if (path === undefined) expect((await processesIn(directory)).length).toBeGreaterThan(1);
      const told = await next.sweep(never);
      expect(told).toEqual([expect.stringMatching(`^the local sandbox ${left}`)]);
      if (path === undefined) expect(told[0]).toContain('and the server that ran in it');
      expect(await next.sweep(never)).toEqual([]);
    });
  }

  it('is left alone by another host for two days, and by everybody where it is something else', async () => {
    const [here, elsewhere] = [provider({ directory }), provider({ directory }, { host: 'other.example' })];
    await using sandbox = await here.start(request(), never);
    const own = (await readdir(directory))[0] ?? '';
    const foreign = join(directory, own.replace(/-[A-Za-z0-9]{6}$/, '-abcdef'));
    await mkdir(foreign);
    await symlink(foreign, join(directory, own.replace(/-[A-Za-z0-9]{6}$/, '-linked')));
    await writeFile(join(directory, own.replace(/-[A-Za-z0-9]{6}$/, '-afile1')), '');
    await mkdir(join(directory, 'jetbackup-sb-of-somebody'));
    expect(await elsewhere.sweep(never)).toEqual([]);

    const old = systemClock.now().subtract({ hours: 49 }).epochMilliseconds / 1000;
    await utimes(foreign, old, old);
    expect(await here.sweep(never)).toEqual([]);
    expect(await elsewhere.sweep(never)).toEqual([`the local sandbox ${foreign}`]);
    expect(await query(sandbox, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
    await rm(join(directory, own.replace(/-[A-Za-z0-9]{6}$/, '-linked')));
    await rm(join(directory, own.replace(/-[A-Za-z0-9]{6}$/, '-afile1')));
    await rm(join(directory, 'jetbackup-sb-of-somebody'), { recursive: true });
  });

  it('says that its server is gone, and what it said, when it is killed in the middle', async () => {
    await using sandbox = await provider({ directory }).start(request(), never);
    const working = failure(query(sandbox, 'SELECT pg_sleep(60)'));
    let pid = 0;
    await until('it works', async () => {
      const [row] = await query(sandbox, "SELECT pid FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)'");
      pid = Number(row?.['pid'] ?? 0);
      return pid > 0;
    });
    process.kill(pid, 'SIGKILL');
    expect(await working).toBeInstanceOf(Error);
    expect(await sandbox.trouble()).toMatch(/server process .* was terminated by signal 9: Killed$/);
  });

  it('says that its server is gone when the postmaster is killed, and its shared memory goes, too', async () => {
    await using sandbox = await provider({ directory }).start(request(), never);
    const working = failure(query(sandbox, 'SELECT pg_sleep(60)'));
    const [row] = await query(sandbox, "SELECT pg_read_file('postmaster.pid') AS text");
    process.kill(Number.parseInt(String(row?.['text']), 10), 'SIGKILL');
    expect(await working).toBeInstanceOf(Error);
    expect(await sandbox.trouble()).toMatch(/^its server was killed by SIGKILL/);
    const segment = await sharedMemoryIn(await appears('data', 'postmaster.pid'));
    expect(await sharedMemory()).toContain(segment);
    await sandbox[Symbol.asyncDispose]();
    expect(await sharedMemory()).not.toContain(segment);
  });

  it('ends with a run that ends at once', async () => {
    const services = createServiceRunner();
    const local = provider({ directory }, { services });
    await using sandbox = await local.start(request(), never);
    services.abandon();
    await until('its server is gone', async () => (await processesIn(directory)).length === 0);
    expect(await sandbox.trouble()).toMatch(/^its server exited with status \d/);
  });

  it('says which setting is wrong', async () => {
    const local = provider({ directory, settings: { shared_bufers: '1GB' } });
    expect(await failure(local.start(request(), never))).toMatchObject({
      ...{ code: 'sandbox-unavailable', hint: 'Correct verify.settings.' },
      message: expect.stringContaining('unrecognized configuration parameter "shared_bufers"'),
    });
  });

  it('is refused before anything is made where the disk has too little room, with how much it takes', async () => {
    const { bavail, bsize } = await statfs(directory);
    const huge = { ...request().source, sizeBytes: bavail * bsize };
    expect(await failure(provider({ directory }).start(request({ source: huge }), never))).toMatchObject({
      code: 'sandbox-unavailable',
      message: expect.stringMatching(`^a sandbox for this backup needs [\\d.]+ .iB in ${directory}, and [\\d.]+ .iB are free there$`),
      hint: expect.stringContaining('verify.directory'),
    });
  });

  it.each([
    ['is not there', (at: string) => join(at, 'none'), 'ENOENT'],
    ['has too long a path', (at: string) => join(at, 'x'.repeat(60)), 'bytes too long for the socket'],
    ['has a comma in its path', (at: string) => join(at, 'a,b'), 'comma'],
  ])('is refused where its directory %s', async (what, pathIn, message) => {
    const place = pathIn(directory);
    if (what !== 'is not there') await mkdir(place);
    expect(await failure(provider({ directory: place }).start(request(), never))).toMatchObject({
      ...{ code: 'sandbox-unavailable', message: expect.stringContaining(message), hint: expect.stringContaining('directory') },
    });
  });

  it.skipIf(!isRoot)('is refused where the server’s user may not enter its directory', async () => {
    await chmod(directory, 0o700);
    expect(await failure(provider({ directory }).start(request(), never))).toMatchObject({
      ...{ code: 'sandbox-unavailable', message: expect.stringContaining('Permission denied') },
      hint: expect.stringMatching(/^The server runs as the user \w+, who must be able to enter/),
    });
  });

  const small = isRoot && spawnSync('unshare', ['-m', 'mount', '-t', 'tmpfs', 'tmpfs', '/mnt']).status === 0;
  describe.skipIf(!small)(`on a disk that fills up${small ? '' : ' (skipped: nothing may be mounted here)'}`, () => {
    let place: string;
    let local: SandboxProvider;
    beforeEach(async () => {
      place = join(directory, 'disk');
      await mkdir(place);
      expect(spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1200m,mode=0755', 'tmpfs', place]).status).toBe(0);
      local = provider({ directory: place });
    });
    afterEach(async () => {
      const left = (await readdir(place)).filter((name) => name !== 'filler');
      expect(spawnSync('umount', [place]).status).toBe(0);
      expect(left).toEqual([]);
    });
    /** Takes all but that many bytes, also while somebody else writes. */
    const leave = async (bytes: number) => {
      await until('the disk is full', async () => {
        const { bavail, bsize } = await statfs(place);
        return spawnSync('fallocate', ['-l', String(bavail * bsize - bytes), join(place, 'filler')]).status === 0;
      });
    };

    it('says so, and is gone all the same', async () => {
      const sandbox = await local.start(request(), never);
      await leave(30 * 1024 * 1024);
      const filling = query(sandbox, 'CREATE TABLE public.t AS SELECT repeat(md5(i::text), 100) FROM generate_series(1, 1000000) AS i');
      expect(await failure(filling)).toMatchObject({ message: expect.stringMatching(/No space left|terminat|closed/) });
      expect(await sandbox.trouble()).toMatch(/No space left on device|is full/);
      await sandbox[Symbol.asyncDispose]();
    });

    it('is refused when the disk fills up under initdb', async () => {
      // Once it has begun, since room is looked for before; and too little is left for a cluster of 40 MB.
      const bindir = join(directory, 'bin');
      await mkdir(bindir);
      await symlink(programs?.postgres ?? '', join(bindir, 'postgres'));
      await chmod(place, 0o1777);
      const fill = `fallocate -l $(($(stat -f -c '%a * %S' ${place}) - ${8 * 1024 * 1024})) ${join(place, 'filler')} || exit`;
      const lines = ['#!/bin/sh', `case "$*" in *--pgdata*) ${fill} ;; esac`];
      await writeFile(join(bindir, 'initdb'), [...lines, `exec ${programs?.initdb} "$@"`, ''].join('\n'), { mode: 0o755 });
      const starting = failure(provider({ directory: place, bindir }).start(request({ major: programs?.major ?? 0 }), never));
      expect(await starting).toMatchObject({ code: 'sandbox-unavailable', message: expect.stringContaining('No space left on device') });
    });
  });
});

describe('where there are no server programs', () => {
  it('there is no sandbox, and the package to install is named', async () => {
    const starting = failure(provider({ directory }).start(request({ major: 99 }), never));
    expect(await starting).toMatchObject({
      code: 'sandbox-unavailable',
      message: expect.stringContaining('this machine has no PostgreSQL server programs (initdb, postgres) of version 99 or newer'),
      hint: expect.stringMatching(/postgresql.*99.*--sandbox container/),
    });
  });
});
