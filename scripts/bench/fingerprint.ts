/**
 * What a fingerprint costs, against the least that a dump must do: COPY of every table to /dev/null on the server.
 *
 *   node scripts/bench/fingerprint.ts [megabytes=500] [rounds=3] [tables=10000]
 *
 * Starts a throwaway PostgreSQL in a container (JETBACKUP_TEST_POSTGRES_IMAGE, {major} = JETBACKUP_BENCH_MAJOR or 17);
 * with JETBACKUP_BENCH_URL it uses that server instead, as a superuser, in databases that it makes and drops.
 */
import pg from 'pg';
import { GenericContainer, Wait } from 'testcontainers';
import { systemClock } from '../../src/platform/clock.ts';
import { type ConnectionSettings, openClient, parseConnection, withDatabase } from '../../src/postgres/connection.ts';
import { takeFingerprint } from '../../src/postgres/fingerprint.ts';
import { jetAdminTables, loadJetAdmin } from '../fixtures/jetadmin.ts';

const [megabytes = 500, rounds = 3, tables = 10_000] = process.argv.slice(2).map(Number);
const { signal } = new AbortController();

async function startServer(): Promise<{ settings: ConnectionSettings; stop(): Promise<unknown> }> {
  const url = process.env['JETBACKUP_BENCH_URL'];
  if (url !== undefined) return { settings: parseConnection({ url, env: {} }), stop: async () => {} };
  const major = process.env['JETBACKUP_BENCH_MAJOR'] ?? '17';
  const image = (process.env['JETBACKUP_TEST_POSTGRES_IMAGE'] ?? 'postgres:{major}').replaceAll('{major}', major);
  const container = await new GenericContainer(image)
    .withEnvironment({ POSTGRES_PASSWORD: 'bench' })
    .withExposedPorts(5432)
    .withCommand([
      'postgres',
      '-c',
      'fsync=off',
      '-c',
      'shared_buffers=1GB',
      '-c',
      'max_wal_size=8GB',
      '-c',
      'max_locks_per_transaction=512',
    ])
    .withWaitStrategy(Wait.forSuccessfulCommand('pg_isready -q -h 127.0.0.1 -U postgres'))
    .start();
  const address = `postgres://postgres:bench@${container.getHost()}:${container.getMappedPort(5432)}/postgres`;
  return { settings: parseConnection({ url: address, env: {} }), stop: () => container.stop({ timeout: 0 }) };
}

async function inDatabase<T>(settings: ConnectionSettings, use: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = await openClient(settings, { applicationName: 'jetbackup bench' });
  try {
    await client.query('SET search_path = public');
    return await use(client);
  } finally {
    await client.end();
  }
}

interface Case {
  readonly name: string;
  run(): Promise<unknown>;
}

/** Median wall time (ms) of each case; rounds are interleaved, so that a slow minute of the machine hits all of them. */
async function medians(cases: readonly Case[]): Promise<number[]> {
  const times: number[][] = cases.map(() => []);
  for (let round = 0; round < rounds; round++) {
    for (const [i, { run }] of cases.entries()) {
      const start = systemClock.monotonicMs();
      await run();
      times[i]?.push(systemClock.monotonicMs() - start);
    }
  }
  return times.map((all) => all.toSorted((a, b) => a - b)[Math.floor(rounds / 2)] ?? 0);
}

function fingerprintCase(settings: ConnectionSettings, mode: 'content' | 'counts', parallel: number): Case {
  return { name: `mode ${mode}, parallel ${parallel}`, run: () => takeFingerprint(settings, { mode, parallel }, signal) };
}

async function report(title: string, cases: readonly Case[]): Promise<void> {
  console.log(title);
  const times = await medians(cases);
  for (const [i, { name }] of cases.entries()) {
    const ms = times[i] ?? 0;
    console.log(`  ${name.padEnd(40)} ${ms.toFixed(0).padStart(7)} ms  ${(ms / (times[0] ?? 1)).toFixed(2)}`);
  }
}

async function withNewDatabase(
  settings: ConnectionSettings,
  name: string,
  use: (settings: ConnectionSettings) => Promise<void>,
): Promise<void> {
  await inDatabase(settings, (client) => client.query(`CREATE DATABASE ${name} TEMPLATE template0`));
  try {
    await use(withDatabase(settings, name));
  } finally {
    await inDatabase(settings, (client) => client.query(`DROP DATABASE ${name} WITH (FORCE)`));
  }
}

const server = await startServer();
try {
  await withNewDatabase(server.settings, 'jetbackup_bench_rows', async (settings) => {
    await inDatabase(settings, (client) => loadJetAdmin(client, { megabytes }));
    const copy = () =>
      inDatabase(settings, async (client) => {
        for (const table of jetAdminTables) await client.query(`COPY ${pg.escapeIdentifier(table)} TO '/dev/null'`);
      });
    await report(`${megabytes} MB, one dominant table`, [
      { name: 'COPY to /dev/null, one connection', run: copy },
      ...(['content', 'counts'] as const).flatMap((mode) => [1, 2].map((parallel) => fingerprintCase(settings, mode, parallel))),
    ]);
  });
  await withNewDatabase(server.settings, 'jetbackup_bench_tables', async (settings) => {
    await inDatabase(settings, async (client) => {
      for (let made = 0; made < tables; made += 500) {
        await client.query(`DO $$ BEGIN FOR i IN ${made}..${Math.min(made + 499, tables - 1)} LOOP
          EXECUTE format('CREATE TABLE t%s (id int PRIMARY KEY, name text NOT NULL, at timestamptz DEFAULT now(), n numeric, j jsonb)', i);
          EXECUTE format('INSERT INTO t%s SELECT n, n::text, to_timestamp(n), n, ''{}'' FROM generate_series(1, 10) AS n', i);
        END LOOP; END $$`);
      }
      await client.query('ANALYZE');
    });
    await report(
      `${tables} small tables`,
      (['content', 'counts'] as const).map((mode) => fingerprintCase(settings, mode, 2)),
    );
  });
} finally {
  await server.stop();
}
