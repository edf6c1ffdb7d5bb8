import { afterAll, beforeAll, expect, test } from 'vitest';
import { contentsOf, createSample, type Installation, makeInstallation } from '../support/installation.ts';
import { type PostgresServer, startPostgres } from '../support/postgres.ts';
import { until } from '../support/waiting.ts';

let server: PostgresServer;
let shop: Installation;

beforeAll(async () => {
  server = await startPostgres(15);
  await createSample(server, 'shop', 3);
  shop = await makeInstallation({ server, database: 'shop', settings: { retention: { daily: 1, collapse: 'off' } } });
});
afterAll(async () => {
  await shop?.[Symbol.asyncDispose]();
  await server?.stop();
});

const notes = async () => (await shop.repository.keys()).filter((key) => /^(?:readers\/|deleting)/.test(key));

test('a restore that takes long keeps its backup from a prune beside it, which says so and takes the others; the next one takes it', async () => {
  const [first, , newest] = [await shop.backup(), await shop.backup(), await shop.backup()];
  shop.proxy.plant({ application: /pg_restore data$/, at: { sends: /COPY public\.event/ }, kind: 'stall' });
  const restoring = shop.cli.start(['restore', first, '--as', 'restored_copy']);
  await until('rows are loaded', () => shop.proxy.struck > 0);
  expect(await notes()).toEqual([expect.stringMatching(new RegExp(`^readers/shop/${first}/`))]);

  const dry = await shop.cli.run('prune', '--dry-run');
  expect(dry.stdout).toContain(`${first} is being read (restore on `);
  const pruned = await shop.cli.run('prune');
  expect(pruned.code, pruned.stderr).toBe(0);
  expect(pruned.stdout).toContain('deleted 1 of 3 backups');
  expect(pruned.stdout).toContain(`${first} is being read (restore on `);
  expect(await shop.committed()).toEqual([first, newest]);

  shop.proxy.heal();
  const restored = await restoring.ended;
  expect(restored.code, restored.stderr).toBe(0);
  expect(await contentsOf(server, 'restored_copy')).toEqual(await contentsOf(server, 'shop'));
  expect(await notes()).toEqual([]);
  expect((await shop.cli.run('prune')).stdout).toContain('deleted 1 of 2 backups');
  expect(await shop.committed()).toEqual([newest]);
});

test('a restore that is told to stop takes its note back, one that is killed leaves it to run out', async () => {
  const newest = await shop.backup();
  for (const signal of ['SIGINT', 'SIGKILL'] as const) {
    shop.proxy.plant({ application: /pg_restore data$/, at: { sends: /COPY public\.event/ }, kind: 'stall' });
    const restoring = shop.cli.start(['restore', newest, '--as', 'stopped_copy']);
    await until('rows are loaded', () => shop.proxy.struck > 0);
    restoring.child.kill(signal);
    expect((await restoring.ended).code).toBe(signal === 'SIGINT' ? 130 : null);
    shop.proxy.heal();
    expect(await notes()).toHaveLength(signal === 'SIGINT' ? 0 : 1);
  }
});
