import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type RegressionServer, startRegressionServer } from '../../scripts/fixtures/regression.ts';
import { parseConnection } from '../../src/postgres/connection.ts';
import { compareFingerprints, takeFingerprint } from '../../src/postgres/fingerprint.ts';
import { makeCliFolder } from '../support/cli.ts';

const run = promisify(execFile);
const cache = join(import.meta.dirname, '../../.tmp');

let server: RegressionServer | undefined;
let unavailable = '';

beforeAll(async () => {
  const started = await startRegressionServer(cache, AbortSignal.timeout(280_000));
  if ('unavailable' in started) unavailable = started.unavailable;
  else server = started;
}, 300_000);
afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
}, 60_000);

it("PostgreSQL's own regression database comes back equal from pg_dump and pg_restore", async (context) => {
  if (server === undefined) return context.skip(unavailable);
  const { url, bin } = server;
  const folder = await mkdtemp(join(tmpdir(), 'jetbackup-regression-dump-'));
  try {
    const file = join(folder, 'dump');
    await run(join(bin, 'pg_dump'), ['-Fc', '-Z0', '-f', file, url('regression')]);
    await run(join(bin, 'psql'), ['-qc', 'CREATE DATABASE restored TEMPLATE template0', url('postgres')]);
    await run(join(bin, 'pg_restore'), ['--exit-on-error', '-d', url('restored'), file]);
  } finally {
    await rm(folder, { recursive: true });
  }
  const take = (database: string) =>
    takeFingerprint(parseConnection({ url: url(database), env: {} }), { mode: 'content' }, new AbortController().signal);
  const expected = await take('regression');
  expect(compareFingerprints(expected, await take('restored'))).toEqual([]);
  expect(expected.tables.length).toBeGreaterThan(400);
  expect(expected.inventory.length).toBeGreaterThan(3_000);
});

it("PostgreSQL's own regression database comes back equal through the command line", async (context) => {
  if (server === undefined) return context.skip(unavailable);
  const { url, bin } = server;
  await using folder = await makeCliFolder({
    DATABASE_URL: url('regression'),
    JETBACKUP_REPOSITORY: './repository',
    PATH: `${bin}:${process.env['PATH']}`,
  });
  expect(await folder.run('init')).toMatchObject({ code: 0 });
  const backup = await folder.run('backup');
  expect(backup.code, backup.stderr).toBe(0);
  const restored = await folder.run('restore', 'latest', '--as', 'regression_back', '--json');
  expect(restored.code, restored.stderr).toBe(0);
  expect(restored.json()).toMatchObject({ restoredDatabase: 'regression_back', result: { compared: true } });
});
