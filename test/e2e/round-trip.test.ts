import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadJetAdmin, type SqlSession } from '../../scripts/fixtures/jetadmin.ts';
import { createTortureRoles, loadTorture, oddEncodings } from '../../scripts/fixtures/torture.ts';
import { makeCliFolder } from '../support/cli.ts';
import { clientTools } from '../support/client-tools.ts';
import { type PostgresMajor, type PostgresServer, startPostgres } from '../support/postgres.ts';
import { stockDump, stockRestore } from '../support/stock-dump.ts';

const majors = [15, 17, 18] as const;
const servers = new Map<PostgresMajor, PostgresServer>();

function server(major: PostgresMajor): PostgresServer {
  const found = servers.get(major);
  if (found === undefined) throw new Error(`no server of major ${major}`);
  return found;
}

interface Sample {
  readonly name: string;
  readonly create: string;
  readonly clientEncoding: string;
  load(session: SqlSession, major: PostgresMajor): Promise<unknown>;
}

const samples: Sample[] = [
  { name: 'jetadmin', create: 'TEMPLATE template0', clientEncoding: 'UTF8', load: (session) => loadJetAdmin(session, { megabytes: 20 }) },
  { name: 'torture', create: 'TEMPLATE template0', clientEncoding: 'UTF8', load: (session, major) => loadTorture(session, major) },
  ...oddEncodings.map(({ encoding, create, sql }) => ({
    name: `odd_${encoding.toLowerCase()}`,
    create,
    clientEncoding: encoding === 'SQL_ASCII' ? 'SQL_ASCII' : 'UTF8',
    load: (session: SqlSession) => session.query(sql),
  })),
];

beforeAll(async () => {
  for (const started of await Promise.all(majors.map((major) => startPostgres(major)))) servers.set(started.major, started);
  for (const major of majors) {
    for (const sample of samples) {
      await server(major).query(`CREATE DATABASE ${sample.name} ${sample.create}`);
      const client = new pg.Client(server(major).connection(sample.name));
      await client.connect();
      await client.query(`SET client_encoding = '${sample.clientEncoding}'`);
      await sample.load(client, major);
      await client.end();
    }
    const client = new pg.Client(server(major).connection());
    await client.connect();
    await createTortureRoles(client);
    await client.end();
  }
});
afterAll(async () => {
  await Promise.all([...servers.values()].map((running) => running.stop()));
});

describe.each([
  [15, 15],
  [17, 17],
  [18, 18],
  [15, 17],
  [17, 18],
] as const)('from PostgreSQL %i into %i', (from, to) => {
  test.each(samples)('$name comes back equal through the command line', async ({ name, create }) => {
    const [source, target] = [server(from), server(to)];
    await using folder = await makeCliFolder({ DATABASE_URL: source.url(name), JETBACKUP_REPOSITORY: './repository' });
    // Client programs of the right major are found by themselves only where they are installed.
    const bindir = async (major: PostgresMajor) => `${(await clientTools(major)).directory}:${process.env['PATH']}`;
    expect(await folder.run('init')).toMatchObject({ code: 0 });
    const backedUp = await folder.start(['backup'], { PATH: await bindir(from) }).ended;
    expect(backedUp, backedUp.stderr).toMatchObject({ code: 0 });
    const restored = `${name}_from_${from}`;
    const arguments_ = ['restore', 'latest', '--to', target.url(restored), '--json'];
    const { code, stderr, json } = await folder.start(arguments_, { PATH: await bindir(to) }).ended;
    expect(code, stderr).toBe(0);
    expect(json()).toMatchObject({ restoredDatabase: restored, result: { compared: true, warnings: [] } });
    if (from === to) {
      await stockRestore(source, name, `${name}_by_stock_tools`, create);
      expect(await stockDump(target, restored)).toEqual(await stockDump(target, `${name}_by_stock_tools`));
      await target.query(`DROP DATABASE "${name}_by_stock_tools"`);
    }
    await target.query(`DROP DATABASE "${restored}"`);
  });
});
