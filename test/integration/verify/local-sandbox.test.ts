import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chown, mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import {
  appears,
  describeSandboxes,
  failure,
  holder,
  holdSandbox,
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

describeSandboxes(() => {
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

  const account = { uid: 65_534, gid: 65_534 };
  // Others may not enter root's home, nor run what of a checkout is in it.
  const reads = ['-e', "require('node:fs').readFileSync(process.argv[1])", holder];
  const enters = isRoot && spawnSync(process.execPath, reads, account).status === 0;
  const unless = enters ? '' : ' (skipped: needs root, and a checkout that others may enter)';
  it.skipIf(!enters)(`needs no root, and is then the user’s own${unless}`, async () => {
    await chown(directory, account.uid, account.gid);
    const { child, ready } = holdSandbox(directory, { ...account, env: { PATH: process.env['PATH'] } });
    expect(JSON.parse(await ready)).toMatchObject({ superuser: 'postgres' });
    expect((await stat(await appears(directory, 'data', 'PG_VERSION'))).uid).toBe(account.uid);
    // Root does not touch what lives, nor what is another user's.
    expect(await provider({ directory }).sweep(never)).toEqual([]);
    child.kill('SIGINT');
    expect(await once(child, 'exit')).toEqual([0, null]);
  });
});
