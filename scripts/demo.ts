/**
 * `npm run demo`: a database shaped like Jet Admin's is made, backed up, lost and restored, by the commands that a user
 * types, on a PostgreSQL server that lives as long as the demo. Nothing is left behind, also after Ctrl-C.
 *
 * JETBACKUP_DEMO_MEGABYTES: size of the database (200). JETBACKUP_DEMO_SERVER: `programs` (this machine's PostgreSQL) or
 * `container`; without it whatever is there. JETBACKUP_DEMO_POSTGRES_IMAGE: the image (postgres:18).
 * JETBACKUP_DEMO_INSTALL: 1 installs what is missing without asking, 0 never does.
 */
import { mkdir, mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import pg from 'pg';
import prettyBytes from 'pretty-bytes';
import { systemClock } from '../src/platform/clock.ts';
import { build } from './build.ts';
import { commandLine } from './demo-command-line.ts';
import { closingTable, readResults } from './demo-results.ts';
import { NoPostgres, obtainPostgres } from './find-postgres.ts';
import { jetAdminTables, loadJetAdmin } from './fixtures/jetadmin.ts';

const root = path.resolve(import.meta.dirname, '..');
const DATABASE = 'jetadmin';
const STEPS = 9;

const size = (bytes: number) => prettyBytes(bytes, { binary: true });
const say = (text: string) => console.log(`      ${text}`);
let step = 0;
const begin = (title: string) => {
  step += 1;
  console.log(`\n[${step}/${STEPS}] ${title}`);
};

async function timed<T>(work: () => Promise<T>): Promise<{ value: T; seconds: number }> {
  const start = systemClock.monotonicMs();
  const value = await work();
  return { value, seconds: (systemClock.monotonicMs() - start) / 1000 };
}

async function connected<T>(url: string, signal: AbortSignal, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => {}); // a lost connection fails the query that needs it
  // Ending it in the middle of a query drops the connection, and the query with it.
  const stop = () => void client.end().catch(() => {});
  signal.addEventListener('abort', stop, { once: true });
  try {
    await client.connect();
    return await work(client);
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    signal.removeEventListener('abort', stop);
    await client.end().catch(() => {});
  }
}

interface Contents {
  readonly rows: number;
  readonly bytes: number;
  /** Per table its row count and the sum of its rows' hashes. */
  readonly digests: string;
}

/** What is in the database, by other means than jetbackup's own fingerprint: the demo does not take its word for it. */
async function contentsOf(client: pg.Client): Promise<Contents> {
  await client.query("SET TimeZone = 'UTC'");
  const digests: string[] = [];
  let rows = 0;
  for (const table of jetAdminTables) {
    const name = client.escapeIdentifier(table);
    const sql = `SELECT count(*)::text AS count, coalesce(sum(hashtextextended(t::text, 0)), 0)::text AS digest FROM ${name} AS t`;
    const [found] = (await client.query<{ count: string; digest: string }>(sql)).rows;
    rows += Number(found?.count);
    digests.push(`${table} ${found?.count} ${found?.digest}`);
  }
  const [size] = (await client.query<{ bytes: string }>('SELECT pg_database_size(current_database())::text AS bytes')).rows;
  return { rows, bytes: Number(size?.bytes), digests: digests.join('\n') };
}

async function demo(signal: AbortSignal): Promise<void> {
  const megabytes = Number(process.env['JETBACKUP_DEMO_MEGABYTES'] ?? 200);
  if (!(megabytes > 0)) throw new NoPostgres('JETBACKUP_DEMO_MEGABYTES must be a number above 0.');
  console.log('jetbackup demo: a database is made, backed up, lost and restored. It cleans up after itself; Ctrl-C stops it at any time.');

  begin('Building jetbackup');
  const built = await timed(build);
  say(`dist/main.js, in ${built.seconds.toFixed(1)} s`);

  await using cleanup = new AsyncDisposableStack();
  const folder = await mkdtemp(path.join(tmpdir(), 'jetbackup-demo-'));
  cleanup.defer(async () => rm(folder, { recursive: true, force: true, maxRetries: 3 }));

  begin('A PostgreSQL server of our own');
  const started = await timed(() => obtainPostgres(say, signal));
  const server = cleanup.use(started.value);
  say(`${server.description}, ready in ${started.seconds.toFixed(1)} s; nothing else uses it`);
  signal.throwIfAborted();

  begin(`A database shaped like Jet Admin's`);
  say(`made by the server itself, about ${megabytes} MB of rows …`);
  await connected(server.url('postgres'), signal, (client) => client.query(`CREATE DATABASE ${DATABASE}`));
  const before = await connected(server.url(DATABASE), signal, async (client) => {
    const { seconds } = await timed(() => loadJetAdmin(client, { megabytes }));
    const contents = await contentsOf(client);
    const rate = size(contents.bytes / seconds);
    say(
      `${jetAdminTables.length} tables, ${contents.rows.toLocaleString('en')} rows, ${size(contents.bytes)} with indexes, in ${seconds.toFixed(1)} s (${rate}/s)`,
    );
    return contents;
  });

  const repository = path.join(folder, 'backups');
  const bin = path.join(folder, 'bin');
  const home = path.join(folder, 'jetadmin-backup');
  await mkdir(bin);
  await mkdir(home);
  await symlink(path.join(root, 'dist/main.js'), path.join(bin, 'jetbackup'));
  const settings = { ...server.sandbox, DATABASE_URL: server.url(DATABASE), JETBACKUP_REPOSITORY: `file://${repository}` };
  const jetbackup = commandLine({ bin, home, clientTools: server.clientTools, settings, signal });

  begin('jetbackup makes its configuration, keys and repository');
  say(`DATABASE_URL and JETBACKUP_REPOSITORY are set; the repository is the folder ${repository}`);
  await jetbackup('init', '--dir', '.');

  begin('A backup');
  await jetbackup('backup');
  await jetbackup('list');

  begin('Its proof: restored into a throwaway PostgreSQL, and compared row for row');
  await jetbackup('verify');
  await jetbackup('status');

  begin('The disaster');
  await connected(server.url('postgres'), signal, (client) => client.query(`DROP DATABASE ${DATABASE} WITH (FORCE)`));
  const incident = systemClock.now();
  say(`DROP DATABASE ${DATABASE}: all ${before.rows.toLocaleString('en')} rows are gone`);

  begin('The restore');
  await jetbackup('restore', 'latest', '--yes');

  begin('What came back');
  const after = await connected(server.url(DATABASE), signal, contentsOf);
  const equal = after.digests === before.digests;
  say(
    equal
      ? `every one of the ${after.rows.toLocaleString('en')} rows is as it was (counted and hashed here, without jetbackup)`
      : 'NOT equal:',
  );
  if (!equal) throw new Error(`the restored database differs.\nbefore:\n${before.digests}\nafter:\n${after.digests}`);

  console.log(`\n${closingTable({ ...(await readResults(repository)), database: before, incident })}`);
}

const stopping = new AbortController();
let exitCode = 0;
for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
] as const) {
  // npm and the terminal may both send it; once is enough, and the clean-up must not be cut short.
  process.on(signal, () => {
    if (stopping.signal.aborted) return;
    console.log(`\n${signal}: stopping and cleaning up …`);
    exitCode = code;
    stopping.abort(new Error(signal));
  });
}

try {
  await demo(stopping.signal);
  console.log('\nThe server is stopped and everything that the demo made is deleted. For your own database: README.md, "Use it".');
} catch (error) {
  if (stopping.signal.aborted) console.log('Stopped. Nothing is left behind.');
  else {
    exitCode = 1;
    console.error(`\n${error instanceof Error ? error.message : String(error)}`);
  }
}
process.exitCode = exitCode;
