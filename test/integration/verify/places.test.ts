import { chmod, mkdtemp, readdir, rm } from 'node:fs/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { postgresRestorer } from '../../../src/operations/restorer.ts';
import { verifyBackup } from '../../../src/operations/verify.ts';
import { systemClock } from '../../../src/platform/clock.ts';
import { parseConnection } from '../../../src/postgres/connection.ts';
import { findServerPrograms } from '../../../src/postgres/server-programs.ts';
import type { SandboxProvider } from '../../../src/verify/sandbox.ts';
import { serverSandboxes } from '../../../src/verify/sandboxes/server.ts';
import { clientTools } from '../../support/client-tools.ts';
import { createSample } from '../../support/installation.ts';
import { createMemoryStore, type MemoryStore } from '../../support/memory-store.ts';
import { type PostgresServer, startPostgres } from '../../support/postgres.ts';
import { leftOn, openWorkshop, type Workshop } from '../operations/operations.ts';
import { localDeps, provider, request } from './local-sandboxes.ts';
import { asServer } from './standing-server.ts';

const DATABASE = 'source';
const MAJOR = 15;
const never = new AbortController().signal;
const programs = await findServerPrograms(localDeps(), { major: MAJOR }).catch(() => undefined);

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp('/tmp/jb-places-');
  await chmod(directory, 0o755);
});
afterAll(() => rm(directory, { recursive: true }));

/** Backs the sample database up and verifies that in a sandbox. */
async function verified(workshop: Workshop, sandboxes: SandboxProvider) {
  const store: MemoryStore = createMemoryStore({ clock: systemClock });
  await workshop.init(store);
  const { id } = (await workshop.backup(store)).manifest;
  const { signingKey } = workshop.backupDeps;
  const deps = { ...workshop.restoreDeps, store, signingKey, sandboxes, restorer: postgresRestorer, by: 'test@here' };
  const input = {
    database: DATABASE,
    id,
    profile: 'fast' as const,
    jobs: 2,
    queries: [],
    queryTimeoutMs: 60_000,
    timeoutMs: 600_000,
    amcheckBytes: 0,
    bindir: (await clientTools(MAJOR)).directory,
  };
  const { outcome, checks, sandbox } = await verifyBackup(deps, input, never);
  const failed = checks.filter(({ status }) => status === 'fail');
  const restored = checks.find((check) => check.id === 'restore')?.status;
  return { outcome, failed, restored, kind: sandbox?.kind, profile: sandbox?.profile };
}

it.skipIf(programs?.major !== MAJOR)('a backup is proven in a cluster of this machine, of which nothing is left', async () => {
  const local = provider({ directory });
  await using source = await local.start(request({ major: MAJOR }), never);
  const server = asServer(source);
  await createSample(server, DATABASE, 1);
  await using workshop = await openWorkshop(server, DATABASE);
  const before = await readdir(directory);
  expect(await verified(workshop, local)).toEqual({ outcome: 'proven', failed: [], restored: 'pass', kind: 'local', profile: 'fast' });
  expect(await readdir(directory)).toEqual(before);
});

it('a backup is proven on a server that is provided, by a user who may do no more than make databases, and none is left', async () => {
  await using server: PostgresServer = await startPostgres(MAJOR, { tmpfs: true });
  await createSample(server, DATABASE, 1);
  await using workshop = await openWorkshop(server, DATABASE);
  await server.query("CREATE ROLE verifier LOGIN CREATEDB PASSWORD 'verifier'");
  const settings = parseConnection({ url: `postgres://verifier:verifier@${server.host}:${server.port}/`, env: {} });
  const result = await verified(workshop, serverSandboxes(settings));
  expect(result).toEqual({ outcome: 'proven', failed: [], restored: 'pass', kind: 'server', profile: null });
  expect(await leftOn(server)).toEqual([]);
});
