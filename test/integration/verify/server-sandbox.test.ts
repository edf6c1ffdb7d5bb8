import { afterAll, beforeAll, expect, it } from 'vitest';
import { parseConnection } from '../../../src/postgres/connection.ts';
import { createStagingDatabase } from '../../../src/postgres/restore.ts';
import { serverSandboxes } from '../../../src/verify/sandboxes/server.ts';
import { type PostgresServer, startPostgres } from '../../support/postgres.ts';
import { request } from './local-sandboxes.ts';

const never = new AbortController().signal;
let server: PostgresServer;
beforeAll(async () => {
  server = await startPostgres(15, { tmpfs: true });
  await server.query("CREATE ROLE plain LOGIN PASSWORD 'plain'; CREATE ROLE maker LOGIN CREATEDB PASSWORD 'maker'");
});
afterAll(() => server.stop());

const at = (user: string, database = '') =>
  parseConnection({ url: `postgres://${user}:${user}@${server.host}:${server.port}/${database}`, env: {} });
const place = (user: string) => `${server.host}:${server.port} as ${user}`;

const failure = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => 'it went well',
    (error: unknown) => error,
  );

it('a server that is provided takes a database that is made and dropped, and has no profile of ours', async () => {
  const provider = serverSandboxes(at('maker'));
  const sandbox = await provider.start(request({ major: 15 }), never);
  expect(sandbox).toMatchObject({ kind: 'server', profile: null, isOurs: false, settings: { user: 'maker', database: 'postgres' } });
  expect(sandbox.description).toMatch(/^PostgreSQL 15\.\d+ at \S+ as maker$/);
  expect(sandbox.description).not.toContain(':maker');
  expect(await sandbox.trouble()).toBeUndefined();

  const choices = { source: request().source, finalName: 'shop', runId: '20261120T020000Z-abc123', noOwner: true };
  const staging = await createStagingDatabase(sandbox.settings, choices, never);
  expect(await provider.sweep(never)).toEqual([]);
  // As a run that is killed leaves it.
  await server.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'maker'");
  await expect.poll(() => provider.sweep(never)).toEqual([`the database ${staging.name} at ${place('maker')}`]);
  await staging[Symbol.asyncDispose]();
  await sandbox[Symbol.asyncDispose]();
  await sandbox[Symbol.asyncDispose]();
  expect(await server.query("SELECT datname FROM pg_database WHERE datname ~ 'shop'")).toEqual([]);
});

it.each([
  [
    'whose user may not make databases',
    {
      user: 'plain',
      major: 15,
      message: 'does not let the user plain make databases',
      hint: 'Give that right there: ALTER ROLE "plain" CREATEDB.',
    },
  ],
  [
    'that is older than the source',
    {
      user: 'maker',
      major: 17,
      message: 'is PostgreSQL 15, older than the 17 that the backup is of',
      hint: expect.stringContaining('PostgreSQL 17 or newer'),
    },
  ],
  [
    'that lets its user not in',
    { user: 'stranger', major: 15, message: 'password authentication failed', hint: expect.stringContaining('verify.sandbox (--sandbox)') },
  ],
])('a server %s is no sandbox, and what to do is said', async (_, { user, major, message, hint }) => {
  const error = await failure(serverSandboxes(at(user)).start(request({ major }), never));
  expect(error).toMatchObject({ code: 'sandbox-unavailable', message: expect.stringContaining(message), hint });
});

it('a server that does not answer is no sandbox, and one that stops answering says so', async () => {
  const nowhere = serverSandboxes(parseConnection({ url: 'postgres://maker@127.0.0.1:1/', env: {} }));
  const unavailable = { code: 'sandbox-unavailable', message: expect.stringContaining('127.0.0.1:1 as maker') };
  expect(await failure(nowhere.start(request(), never))).toMatchObject(unavailable);
  expect(await failure(nowhere.sweep(never))).toMatchObject(unavailable);

  await using gone = await startPostgres(15, { tmpfs: true });
  const sandbox = await serverSandboxes(parseConnection({ url: gone.url(), env: {} })).start(request(), never);
  await gone.exec(['sh', '-c', 'kill -INT 1']);
  await expect.poll(() => sandbox.trouble(), { timeout: 10_000 }).toContain(`${gone.host}:${gone.port}`);
});

it('what is interrupted tells why', async () => {
  const reason = new Error('interrupted');
  const provider = serverSandboxes(at('maker'));
  expect(await failure(provider.start(request(), AbortSignal.abort(reason)))).toBe(reason);
  expect(await failure(provider.sweep(AbortSignal.abort(reason)))).toBe(reason);
});
