import path from 'node:path';
import pg from 'pg';
import * as z from 'zod';
import { $ } from 'zx';
import { installedPrograms } from '../client-tools.ts';
import { loadJetAdmin } from '../fixtures/jetadmin.ts';
import { startFromPrograms } from '../throwaway-postgres.ts';

/** Newest first. */
const MAJORS = [18, 17, 16, 15, 14];
const PROGRAMS = ['initdb', 'postgres', 'pg_dump', 'pg_dumpall', 'pg_restore', 'psql', 'createdb'];

/** What is measured against. */
export interface BenchServer extends AsyncDisposable {
  readonly description: string;
  /** Folder of the server's own client programs. */
  readonly bindir: string;
  readonly postmaster: number;
  url(database: string): string;
  /** PATH and the PG… variables for client programs, with this database as the default. */
  environment(database: string): Readonly<Record<string, string>>;
  query<T extends z.ZodType>(database: string, sql: string, row: T): Promise<z.output<T>[]>;
}

/** A throwaway server out of this machine's own programs (BENCH_BINDIR names others). Throws where there are none. */
export async function startBenchServer(signal: AbortSignal): Promise<BenchServer> {
  const bindir = await findPrograms();
  const server = await startFromPrograms(bindir, signal);
  const query = async <T extends z.ZodType>(database: string, sql: string, row: T): Promise<z.output<T>[]> =>
    await inSession(server.url(database), async (client) => z.array(row).parse((await client.query(sql)).rows));
  try {
    // Autovacuum would analyze what one line restored in the time of the next one.
    await inSession(server.url('postgres'), async (client) => {
      await client.query('ALTER SYSTEM SET autovacuum = off');
      await client.query("ALTER SYSTEM SET checkpoint_timeout = '1h'");
      await client.query('SELECT pg_reload_conf()');
    });
    const pidFile = await query('postgres', "SELECT pg_read_file('postmaster.pid') AS text", z.object({ text: z.string() }));
    return {
      description: `${server.description}, fsync off, autovacuum off, otherwise PostgreSQL's defaults`,
      bindir: server.clientTools,
      postmaster: Number.parseInt(pidFile[0]?.text ?? '', 10),
      url: server.url,
      environment(database) {
        const { hostname, port, username, password } = new URL(server.url(database));
        return {
          PATH: `${server.clientTools}${path.delimiter}${process.env['PATH'] ?? '/usr/bin:/bin'}`,
          LC_ALL: 'C.UTF-8',
          PGHOST: hostname,
          PGPORT: port,
          PGUSER: decodeURIComponent(username),
          PGPASSWORD: decodeURIComponent(password),
          PGDATABASE: database,
        };
      },
      query,
      [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
    };
  } catch (error) {
    await server[Symbol.asyncDispose]();
    throw error;
  }
}

async function findPrograms(): Promise<string> {
  const named = process.env['BENCH_BINDIR'];
  if (named !== undefined && named !== '') return named;
  for (const major of MAJORS) {
    const bindir = await installedPrograms(major, PROGRAMS);
    if (bindir !== undefined) return bindir;
  }
  throw new Error("the bench needs PostgreSQL's server programs: apt-get install -y postgresql (or name their folder in BENCH_BINDIR)");
}

async function inSession<T>(url: string, use: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url });
  // A server that is stopped under the session says so here as well; the query's own rejection tells it.
  client.on('error', () => {});
  await client.connect();
  try {
    return await use(client);
  } finally {
    await client.end();
  }
}

/** What a database holds, to say what was measured and to see that a restore brought all of it. */
export interface Census {
  /** Rows of every table, and how many indexes, constraints and triggers there are. */
  readonly counts: Readonly<Record<string, number>>;
  /** Tables with TOAST, without indexes, in bytes. */
  readonly tableBytes: number;
  readonly indexBytes: number;
  readonly indexes: number;
  readonly largest: { readonly name: string; readonly share: number };
}

/** Makes the sample database. Its rows are read once, so that hint bits are set and every line finds the same caches. */
export async function makeDatabase(server: BenchServer, database: string, megabytes: number, signal: AbortSignal): Promise<Census> {
  await inSession(server.url('postgres'), (client) => client.query(`CREATE DATABASE "${database}" TEMPLATE template0`));
  await inSession(server.url(database), async (client) => {
    const session = {
      query: async (sql: string) => {
        signal.throwIfAborted();
        return await client.query(sql);
      },
    };
    await loadJetAdmin(session, { megabytes });
    await session.query('VACUUM (FREEZE, ANALYZE)');
    await session.query('CHECKPOINT');
  });
  return await census(server, database);
}

const SizesSchema = z.object({ name: z.string(), table_bytes: z.coerce.number(), index_bytes: z.coerce.number() });
const CountSchema = z.object({ name: z.string(), count: z.coerce.number() });

export async function census(server: BenchServer, database: string): Promise<Census> {
  const tables = await server.query(
    database,
    `SELECT quote_ident(relname) AS name, pg_table_size(oid) AS table_bytes, pg_indexes_size(oid) AS index_bytes
     FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY pg_table_size(oid) DESC, relname`,
    SizesSchema,
  );
  const counts = tables.map(({ name }) => `SELECT ${literal(`rows of ${name}`)} AS name, count(*) AS count FROM ${name}`);
  const objects = [
    `SELECT 'indexes' AS name, count(*) AS count FROM pg_indexes WHERE schemaname = 'public'`,
    `SELECT 'constraints', count(*) FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND convalidated`,
    `SELECT 'triggers', count(*) FROM pg_trigger WHERE NOT tgisinternal`,
    `SELECT 'views', count(*) FROM pg_views WHERE schemaname = 'public'`,
  ];
  const found = await server.query(database, [...objects, ...counts].join(' UNION ALL '), CountSchema);
  const tableBytes = tables.reduce((sum, table) => sum + table.table_bytes, 0);
  return {
    counts: Object.fromEntries(found.map(({ name, count }) => [name, count])),
    tableBytes,
    indexBytes: tables.reduce((sum, table) => sum + table.index_bytes, 0),
    indexes: found.find(({ name }) => name === 'indexes')?.count ?? 0,
    largest: { name: tables[0]?.name ?? '', share: (tables[0]?.table_bytes ?? 0) / tableBytes },
  };
}

function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

/**
 * Writes out what earlier lines left in the server's buffers, and then in the system's, which a server without fsync only hands it to:
 * so that no line pays for another's.
 */
export async function settle(server: BenchServer): Promise<void> {
  await inSession(server.url('postgres'), (client) => client.query('CHECKPOINT'));
  await $({ quiet: true })`sync`;
}

export async function dropDatabase(server: BenchServer, database: string): Promise<void> {
  await inSession(server.url('postgres'), (client) => client.query(`DROP DATABASE IF EXISTS "${database}" WITH (FORCE)`));
}
