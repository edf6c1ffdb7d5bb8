import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { copyForUpgrade, loadRegression } from '../../scripts/fixtures/regression.ts';
import { fetchRegressionSuite } from '../../scripts/fixtures/regression-suite.ts';
import { parseConnection } from '../../src/postgres/connection.ts';
import { takeFingerprint } from '../../src/postgres/fingerprint.ts';
import { makeCliFolder } from '../support/cli.ts';
import { clientTools } from '../support/client-tools.ts';
import { type PostgresMajor, type PostgresServer, startPostgres } from '../support/postgres.ts';
import { stockDump, stockRestore } from '../support/stock-dump.ts';

const majors = [15, 17, 18] as const;
const cache = join(import.meta.dirname, '../../.tmp');
const servers = new Map<PostgresMajor, PostgresServer>();
let unavailable: string | undefined;

function server(major: PostgresMajor): PostgresServer {
  const found = servers.get(major);
  if (found === undefined) throw new Error(`no server of major ${major}`);
  return found;
}

beforeAll(async () => {
  const suites = await Promise.all(
    majors.map(async (major) => ({ major, suite: await fetchRegressionSuite(major, cache, AbortSignal.timeout(120_000)) })),
  );
  for (const { major, suite } of suites) {
    if (typeof suite !== 'string') unavailable = `PostgreSQL ${major}: ${suite.unavailable}`;
  }
  if (unavailable !== undefined) return;
  // One after the other: a suite keeps two cores busy, and three at once take longer than in turn.
  for (const { major, suite } of suites) {
    if (typeof suite !== 'string') continue;
    const started = await startPostgres(major, { tmpfs: true });
    servers.set(major, started);
    await loadRegression(started, suite);
    await copyForUpgrade(started, 'regression_for_upgrade');
  }
}, 400_000);
afterAll(async () => {
  await Promise.all([...servers.values()].map((running) => running.stop()));
}, 60_000);

async function restoreThroughTheCommandLine(from: PostgresMajor, database: string, to: PostgresMajor, restored: string): Promise<void> {
  await using folder = await makeCliFolder({ DATABASE_URL: server(from).url(database), JETBACKUP_REPOSITORY: './repository' });
  const path = async (major: PostgresMajor) => `${(await clientTools(major)).directory}:${process.env['PATH']}`;
  expect(await folder.run('init')).toMatchObject({ code: 0 });
  const backedUp = await folder.start(['backup'], { PATH: await path(from) }).ended;
  expect(backedUp, backedUp.stderr).toMatchObject({ code: 0 });
  // A suite leaves roles behind, and not every major's the same ones.
  const arguments_ = ['restore', 'latest', '--to', server(to).url(restored), '--create-roles', '--json'];
  const { code, stderr, json } = await folder.start(arguments_, { PATH: await path(to) }).ended;
  expect(code, stderr).toBe(0);
  expect(json()).toMatchObject({ restoredDatabase: restored, result: { compared: true, warnings: [] } });
}

describe.each(majors)("PostgreSQL %i's own regression database", (major) => {
  it('has hundreds of tables and thousands of other objects', async (context) => {
    if (unavailable !== undefined) return context.skip(unavailable);
    const connection = parseConnection({ url: server(major).url('regression'), env: {} });
    const { tables, inventory } = await takeFingerprint(connection, { mode: 'counts' }, new AbortController().signal);
    expect(tables.length).toBeGreaterThan(540);
    expect(inventory.length).toBeGreaterThan(4_500);
  });

  it('comes back equal through the command line, and to the eyes of the stock pg_dump', async (context) => {
    if (unavailable !== undefined) return context.skip(unavailable);
    await restoreThroughTheCommandLine(major, 'regression', major, 'restored');
    // The rows are the fingerprint's to compare: half a million INSERTs would take longer than all the rest.
    await stockRestore(server(major), 'regression', 'restored_by_stock_tools', 'TEMPLATE template0', ['--schema-only']);
    const [ours, stock] = await Promise.all(
      ['restored', 'restored_by_stock_tools'].map((database) => stockDump(server(major), database, ['--schema-only'])),
    );
    expect(ours).toEqual(stock);
  });
});

it.for([
  [15, 17],
  [17, 18],
] as const)("PostgreSQL %i's own regression database comes back equal in %i through the command line", async ([from, to], context) => {
  if (unavailable !== undefined) return context.skip(unavailable);
  await restoreThroughTheCommandLine(from, 'regression_for_upgrade', to, `regression_of_${from}`);
});
