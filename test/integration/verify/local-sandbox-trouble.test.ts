import { spawnSync } from 'node:child_process';
import { chmod, mkdir, readdir, readFile, stat, statfs, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../../src/platform/clock.ts';
import { createServiceRunner, type ServiceCommand, type ServiceRunner } from '../../../src/platform/services.ts';
import type { SandboxProvider } from '../../../src/verify/sandbox.ts';
import { until } from '../../support/waiting.ts';
import {
  appears,
  describeSandboxes,
  failure,
  isRoot,
  never,
  programs,
  provider,
  query,
  request,
  sandboxDirectory,
} from './local-sandboxes.ts';

let directory: string;
sandboxDirectory((made) => {
  directory = made;
});

/** Ids of the System V segments of this machine. */
const sharedMemory = async () => (await readFile('/proc/sysvipc/shm', 'utf8')).split('\n').map((line) => line.trim().split(/\s+/)[1]);
const sharedMemoryIn = async (pidFile: string) => (await readFile(pidFile, 'utf8')).split('\n')[6]?.trim().split(/\s+/)[1];

describeSandboxes(() => {
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

  it('gives its server a moment to notice what a client has heard: a process that was killed', async () => {
    const services = createServiceRunner();
    let says: ServiceCommand['onStderr'];
    const heard: ServiceRunner = {
      start: async (command) => {
        says = command.onStderr;
        return await services.start(command);
      },
    };
    await using sandbox = await provider({ directory }, { services: heard }).start(request(), never);
    const asked = sandbox.trouble();
    await systemClock.sleep(100);
    says?.('LOG:  server process (PID 4711) was terminated by signal 9: Killed\n');
    expect(await asked).toBe('the server said: server process (PID 4711) was terminated by signal 9: Killed');
  });

  it('says that its server is gone when the postmaster is killed, and its shared memory goes, too', async () => {
    await using sandbox = await provider({ directory }).start(request(), never);
    const working = failure(query(sandbox, 'SELECT pg_sleep(60)'));
    const [row] = await query(sandbox, "SELECT pg_read_file('postmaster.pid') AS text");
    process.kill(Number.parseInt(String(row?.['text']), 10), 'SIGKILL');
    expect(await working).toBeInstanceOf(Error);
    expect(await sandbox.trouble()).toMatch(/^its server was killed by SIGKILL/);
    const segment = await sharedMemoryIn(await appears(directory, 'data', 'postmaster.pid'));
    expect(await sharedMemory()).toContain(segment);
    await sandbox[Symbol.asyncDispose]();
    expect(await sharedMemory()).not.toContain(segment);
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
      const fill = `fallocate -l $(($(stat -f -c '%a * %S' ${place}) - ${8 * 1024 * 1024})) ${join(place, 'filler')}`;
      const lines = ['#!/bin/sh', `case "$*" in *--pgdata*) ${fill} ;; esac`];
      await writeFile(join(bindir, 'initdb'), [...lines, `exec ${programs?.initdb} "$@"`, ''].join('\n'), { mode: 0o755 });
      const starting = failure(provider({ directory: place, bindir }).start(request({ major: programs?.major ?? 0 }), never));
      expect(await starting).toMatchObject({ code: 'sandbox-unavailable', message: expect.stringContaining('No space left on device') });
      // Of initdb, for what was to fill the disk did: where it fails it says the same, and leaves nothing or an empty file.
      expect((await stat(join(place, 'filler'))).size).toBeGreaterThan(1024 ** 3);
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
