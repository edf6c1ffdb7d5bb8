import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { systemClock } from '../../../src/platform/clock.ts';
import { createProcessRunner, type ProcessRunner } from '../../../src/platform/processes.ts';
import { createServiceRunner } from '../../../src/platform/services.ts';
import { createSandboxLedger } from '../../../src/verify/sandboxes/ledger.ts';
import { runProgram } from '../../support/stock-programs.ts';
import { until } from '../../support/waiting.ts';
import {
  appears,
  describeSandboxes,
  failure,
  holdSandbox,
  isRoot,
  never,
  processesIn,
  provider,
  query,
  request,
  sandboxDirectory,
} from './local-sandboxes.ts';

let directory: string;
sandboxDirectory((made) => {
  directory = made;
});

describeSandboxes(() => {
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
    const { child, ready } = holdSandbox(before);
    await ready;
    child.kill('SIGKILL');
    await once(child, 'exit');
    const env = { PATH: process.env['PATH'], TMPDIR: before };
    expect(await provider({ directory: now }, { env }).sweep(never)).toEqual([expect.stringMatching(`^the local sandbox ${before}/`)]);
    expect(await readdir(before)).toEqual([]);
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
      await appears(directory, ...path);
      const reason = new Error('interrupted');
      controller.abort(reason);
      expect(await starting).toBe(reason);
      expect(await readdir(directory)).toEqual([]);
    });
  }

  for (const [moment, path] of Object.entries({ ...moments, 'when it is ready': undefined })) {
    it(`is removed, with its server, by the next run after its own was killed ${moment}`, async () => {
      const { child, ready } = holdSandbox(directory);
      // That it is ready is no news yet; that it ended is.
      if (path !== undefined) await Promise.race([appears(directory, ...path), ready.then(() => appears(directory, ...path))]);
      else await ready;
      const next = provider({ directory });
      expect(await next.sweep(never)).toEqual([]);

      child.kill('SIGKILL');
      await once(child, 'exit');
      const left = join(directory, (await readdir(directory))[0] ?? '');
      if (path === undefined) expect(await processesIn(directory)).not.toEqual([]);
      const told = await next.sweep(never);
      expect(told).toEqual([expect.stringMatching(`^the local sandbox ${left}`)]);
      if (path === undefined) expect(told[0]).toContain('and the server that ran in it');
      expect(await next.sweep(never)).toEqual([]);
    });
  }

  // As root is in most containers.
  const withoutPtrace = ['--bounding-set=-sys_ptrace', '--inh-caps=-sys_ptrace', '--'];
  const confines = isRoot && spawnSync('setpriv', [...withoutPtrace, 'true']).status === 0;
  it.skipIf(!confines)(
    `is removed, with its server, also by root who may not look into the processes of others${confines ? '' : ' (skipped: needs root and setpriv)'}`,
    async () => {
      const { child, ready } = holdSandbox(directory);
      const pid = Number.parseInt(JSON.parse(await ready).pidfile, 10);
      child.kill('SIGKILL');
      await once(child, 'exit');
      expect(await processesIn(directory)).toContain(`${pid} postgres`);
      // Or it would be found as by any root.
      expect(await runProgram('setpriv', [...withoutPtrace, 'readlink', `/proc/${pid}/cwd`], '')).toMatchObject({ code: 1 });
      const left = join(directory, (await readdir(directory))[0] ?? '');
      const sweeper = fileURLToPath(new URL('./sweep-sandboxes.ts', import.meta.url));
      const { stdout } = await runProgram('setpriv', [...withoutPtrace, process.execPath, sweeper, JSON.stringify({ directory })], '');
      expect(JSON.parse(String(stdout))).toEqual([`the local sandbox ${left} and the server that ran in it`]);
      expect(await processesIn(directory)).toEqual([]);
      expect(await readdir(directory)).toEqual([]);
    },
  );

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

  it('ends with a run that ends at once', async () => {
    const services = createServiceRunner();
    const local = provider({ directory }, { services });
    await using sandbox = await local.start(request(), never);
    services.abandon();
    await until('its server is gone', async () => (await processesIn(directory)).length === 0);
    expect(await sandbox.trouble()).toMatch(/^its server exited with status \d/);
  });
});
