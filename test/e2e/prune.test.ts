import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import * as z from 'zod';
import { type CliFolder, makeCliFolder } from '../support/cli.ts';
import { clientTools } from '../support/client-tools.ts';
import { type PostgresServer, startPostgres } from '../support/postgres.ts';

let server: PostgresServer;
let path: string;

beforeAll(async () => {
  server = await startPostgres(17);
  path = `${(await clientTools(17)).directory}:${process.env['PATH']}`;
  const client = new pg.Client({ connectionString: server.url('postgres') });
  await client.connect();
  await client.query('CREATE DATABASE shop');
  await client.end();
});
afterAll(async () => {
  await server.stop();
});

/** An installation with so many backups of today, of which its policy keeps the newest. */
async function installation(backups: number): Promise<CliFolder & { ids(): Promise<string[]> }> {
  const folder = await makeCliFolder({
    ...{ DATABASE_URL: server.url('shop'), JETBACKUP_REPOSITORY: './repository', PATH: path },
  });
  expect(await folder.run('init')).toMatchObject({ code: 0 });
  for (let count = 0; count < backups; count += 1) expect(await folder.run('backup')).toMatchObject({ code: 0 });
  return Object.assign(folder, {
    async ids() {
      const { backups: listed } = z
        .object({ backups: z.array(z.object({ id: z.string(), authentic: z.literal('yes') })), unusable: z.array(z.never()) })
        .parse((await folder.run('list', '--json')).json());
      return listed.map(({ id }) => id);
    },
  });
}

test('a dry run says what would go and why, prune does it, and what stays restores', async () => {
  await using folder = await installation(3);
  const before = await folder.ids();
  expect(await folder.run('pin', before[0] ?? '', '--reason', 'the audit')).toMatchObject({ code: 0 });
  const dry = await folder.run('prune', '--dry-run');
  expect(dry.code, dry.stderr).toBe(0);
  expect(dry.stdout).toMatch(/pinned: "the audit"/);
  expect(dry.stdout).toMatch(/1 of 3 backups would go/);
  expect(await folder.ids()).toEqual(before);

  expect(await folder.run('prune')).toMatchObject({ code: 0, stdout: expect.stringContaining('deleted 1 of 3') });
  expect(await folder.ids()).toEqual([before[0], before[2]]);
  for (const id of await folder.ids()) {
    const restored = await folder.run('restore', id, '--as', `back_${id.slice(-6)}`);
    expect(restored.code, restored.stderr).toBe(0);
  }
  expect(await folder.run('unpin', before[0] ?? '')).toMatchObject({ code: 0 });
  expect(await folder.run('backup', '--prune')).toMatchObject({ code: 0 });
  expect(await folder.ids()).toHaveLength(1);
});

test('of two prunes at once one works, and the other says who does or finds nothing left', async () => {
  await using folder = await installation(4);
  const results = await Promise.all([folder.run('prune'), folder.run('prune')]);
  expect(results.some(({ code }) => code === 0)).toBe(true);
  for (const { code, stderr } of results.filter((result) => result.code !== 0)) {
    expect(code, stderr).toBe(12);
    expect(stderr).toMatch(/is held by prune on /);
  }
  expect(await folder.ids()).toHaveLength(1);
});

test('a prune that is killed leaves whole backups only, wherever that was', async () => {
  await using folder = await installation(5);
  const all = await folder.ids();
  const newest = all.at(-1) ?? '';
  for (const ms of [250, 350, 450, 600]) {
    const running = folder.start(['prune']);
    setTimeout(() => running.child.kill('SIGKILL'), ms);
    await running.ended;
    // `list` refuses what is not whole; every one that it shows can be exported.
    const ids = await folder.ids();
    expect(ids.at(-1)).toBe(newest);
    for (const id of ids) expect(await folder.run('export', id, '-o', `${id}-${ms}.dump`)).toMatchObject({ code: 0 });
    // Nobody else may for as long as the dead one could live; a person who knows better removes its lease.
    await rm(join(folder.directory, 'repository', 'leases'), { recursive: true, force: true });
  }
  expect(await folder.run('prune')).toMatchObject({ code: 0 });
  expect(await folder.ids()).toEqual([newest]);
});
