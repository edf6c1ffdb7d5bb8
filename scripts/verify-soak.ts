/**
 * `node scripts/verify-soak.ts [--runs 50] [--majors 15,17,18] [--databases jetadmin,torture,regression] [--sandboxes container,local] [--megabytes 20]`
 *
 * Verifies good backups again and again, in turn for each database, major and sandbox: every one has to be found proven, since an
 * alarm that rings for nothing is one that nobody hears. Tells the median RTO and its spread for each, and everything that was not
 * proven. Exit status 0 when all were, else 1. Needs a container engine and a build (`npm run build`).
 *
 * - jetadmin and torture are the fixtures of scripts/fixtures; regression is what PostgreSQL's own test suite leaves behind, whose
 *   functions in C need an image that has their library: one is built for the run, and removed after it.
 * - For `local` jetbackup itself runs in a container of the source's image, as on a host with the programs of that very release: the
 *   machine's own may be an older minor, which does not take everything that a newer one writes.
 */
import { realpath, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import pg from 'pg';
import * as z from 'zod';
import { $ } from 'zx';
import { type CliFolder, type CliResult, makeCliFolder } from '../test/support/cli.ts';
import { clientTools } from '../test/support/client-tools.ts';
import { type PostgresMajor, type PostgresServer, postgresImage, startPostgres } from '../test/support/postgres.ts';
import { loadJetAdmin, type SqlSession } from './fixtures/jetadmin.ts';
import { loadRegression } from './fixtures/regression.ts';
import { fetchRegressionSuite } from './fixtures/regression-suite.ts';
import { loadTorture } from './fixtures/torture.ts';

const ROOT = path.resolve(import.meta.dirname, '..');
const CLI = path.join(ROOT, 'dist/main.js');
const IMAGE = 'jetbackup-verify-soak';

const databases = ['jetadmin', 'torture', 'regression'] as const;
type Database = (typeof databases)[number];
const sandboxes = ['container', 'local'] as const;

const list = z.string().transform((text) => text.split(','));
const Options = z.object({
  runs: z.coerce.number().int().positive(),
  megabytes: z.coerce.number().positive(),
  majors: list.transform((names) => names.map(Number)).pipe(z.array(z.literal([15, 17, 18]))),
  databases: list.pipe(z.array(z.enum(databases))),
  sandboxes: list.pipe(z.array(z.enum(sandboxes))),
});

const Verified = z.object({
  verified: z.array(
    z.object({
      outcome: z.enum(['proven', 'failed']),
      rtoSeconds: z.number().nullable(),
      phases: z.array(z.object({ phase: z.string(), ms: z.number() })),
      checks: z.array(z.object({ id: z.string(), status: z.string(), message: z.string(), findings: z.array(z.string()) })),
    }),
  ),
  unverified: z.array(z.object({ error: z.object({ code: z.string(), message: z.string() }) })),
});

/** One backup, and a way of verifying it. */
interface Line {
  readonly name: string;
  verify(): Promise<CliResult>;
}

async function inDatabase(server: PostgresServer, database: string, use: (session: SqlSession) => Promise<void>): Promise<void> {
  const client = new pg.Client(server.connection(database));
  await client.connect();
  try {
    await use(client);
  } finally {
    await client.end();
  }
}

async function fill(server: PostgresServer, database: Database, megabytes: number, suite: string): Promise<void> {
  if (database === 'regression') return await loadRegression(server, suite);
  await server.query(`CREATE DATABASE ${database} TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'`);
  await inDatabase(server, database, (session) =>
    database === 'jetadmin' ? loadJetAdmin(session, { megabytes }) : loadTorture(session, server.major),
  );
}

/** The server's image with the suite's libraries where the functions of its database look for them. */
async function imageWithLibraries(major: PostgresMajor, suite: string): Promise<string> {
  const image = `${IMAGE}:${major}`;
  const lines = [
    `FROM ${postgresImage(major)}`,
    'COPY regress.so /regress/',
    `RUN cp /usr/lib/postgresql/${major}/lib/autoinc.so /usr/lib/postgresql/${major}/lib/refint.so /regress/`,
  ];
  await writeFile(path.join(suite, 'Dockerfile'), `${lines.join('\n')}\n`);
  await $({ quiet: true, env: { ...process.env, DOCKER_BUILDKIT: '0' } })`docker build --quiet --tag ${image} ${suite}`;
  return image;
}

/** `jetbackup verify --sandbox local` on a host that has the server programs of that major: a container of its image. */
async function verifyInside(image: string, major: PostgresMajor, folder: CliFolder): Promise<CliResult> {
  const node = await realpath(process.execPath);
  const modules = await realpath(path.join(ROOT, 'node_modules'));
  const mounts = [...new Set([ROOT, modules, path.dirname(node)])].flatMap((place) => ['--volume', `${place}:${place}:ro`]);
  const env = { ...folder.env, PATH: `/usr/lib/postgresql/${major}/bin:/usr/bin:/bin` };
  const variables = Object.entries(env).flatMap(([name, value]) => ['--env', `${name}=${value}`]);
  const run = $({ quiet: true, nothrow: true });
  const { exitCode, stdout, stderr } =
    await run`docker run --rm --init --network none --label dev.jetbackup.test=soak ${mounts} --volume ${folder.directory}:${folder.directory} --workdir ${folder.directory} ${variables} --entrypoint ${node} ${image} ${CLI} verify --sandbox local --json`;
  return { code: exitCode, signal: null, stdout, stderr, json: () => JSON.parse(stdout) as unknown };
}

async function backUp(server: PostgresServer, database: Database): Promise<CliFolder> {
  const bin = (await clientTools(server.major)).directory;
  const folder = await makeCliFolder({
    ...{ DATABASE_URL: server.url(database), JETBACKUP_REPOSITORY: './repository', PATH: `${bin}:${process.env['PATH']}` },
    // What the engine and the stand-in for Ryuk's image are called here.
    ...Object.fromEntries(Object.entries(process.env).filter(([name]) => /^(DOCKER_|RYUK_|TESTCONTAINERS_)/.test(name))),
  } as Record<string, string>);
  for (const command of [['init'], ['backup']]) {
    const { code, stderr } = await folder.run(...command);
    if (code !== 0) throw new Error(`jetbackup ${command.join(' ')} of ${database}: status ${code}: ${stderr}`);
  }
  return folder;
}

async function main(signal: AbortSignal): Promise<boolean> {
  const { values } = parseArgs({
    options: {
      runs: { type: 'string', default: '50' },
      megabytes: { type: 'string', default: '20' },
      majors: { type: 'string', default: '15,17,18' },
      databases: { type: 'string', default: databases.join(',') },
      sandboxes: { type: 'string', default: sandboxes.join(',') },
    },
  });
  const options = Options.parse(values);
  await using stack = new AsyncDisposableStack();
  const lines: Line[] = [];
  for (const major of options.majors) {
    const fetched = await fetchRegressionSuite(major, path.join(ROOT, '.tmp'), AbortSignal.any([signal, AbortSignal.timeout(300_000)]));
    const suite = typeof fetched === 'string' ? fetched : undefined;
    if (typeof fetched !== 'string') console.log(`no regression database of ${major}: ${fetched.unavailable}`);
    const server = await startPostgres(major, { tmpfs: true });
    stack.use(server);
    for (const database of options.databases) {
      if (database === 'regression' && suite === undefined) continue;
      await fill(server, database, options.megabytes, suite ?? '');
      const folder = await backUp(server, database);
      stack.use(folder);
      const image = database === 'regression' ? await imageWithLibraries(major, suite ?? '') : postgresImage(major);
      if (image.startsWith(IMAGE)) stack.defer(async () => void (await $({ quiet: true, nothrow: true })`docker rmi ${image}`));
      for (const sandbox of options.sandboxes) {
        const here = () => folder.start(['verify', '--sandbox', sandbox, '--json'], { JETBACKUP_SANDBOX_IMAGE: image }).ended;
        lines.push({
          name: `${database} ${major} ${sandbox}`,
          verify: sandbox === 'local' ? () => verifyInside(image, major, folder) : here,
        });
      }
      console.log(`${new Date().toISOString().slice(11, 19)} ${database} of ${major} is backed up`);
    }
  }
  return await soak(lines, options.runs, signal);
}

async function soak(lines: readonly Line[], runs: number, signal: AbortSignal): Promise<boolean> {
  const rtos = new Map<string, number[]>(lines.map(({ name }) => [name, []]));
  const alarms: string[] = [];
  let worstSum = 0;
  for (let run = 0; run < runs; run += 1) {
    signal.throwIfAborted();
    const line = lines[run % lines.length];
    if (line === undefined) throw new Error('there is nothing to verify');
    const { code, stdout, stderr } = await line.verify();
    const [result] = stdout.startsWith('{') ? Verified.parse(JSON.parse(stdout)).verified : [];
    const rto = result?.rtoSeconds ?? undefined;
    if (code === 0 && result?.outcome === 'proven' && rto !== undefined) {
      rtos.get(line.name)?.push(rto);
      const sum = result.phases.reduce((total, { ms }) => total + ms, 0) / 1000;
      worstSum = Math.max(worstSum, Math.abs(sum / rto - 1));
    } else {
      const failed = (result?.checks ?? []).filter(({ status }) => status === 'fail');
      const why = failed.map(({ id, message, findings }) => `${id}: ${message}: ${findings.slice(0, 5).join('; ')}`).join('\n  ');
      alarms.push(`run ${run + 1}, ${line.name}: status ${code}\n  ${why === '' ? stderr.trim() : why}`);
    }
    console.log(`${run + 1} ${line.name}: ${result?.outcome ?? `status ${code}`}${rto === undefined ? '' : `, RTO ${rto.toFixed(2)} s`}`);
  }
  for (const alarm of alarms) console.log(`NOT PROVEN ${alarm}`);
  console.table(Object.fromEntries([...rtos].map(([name, seconds]) => [name, spread(seconds)])));
  console.log(`${runs} verifications, ${runs - alarms.length} proven, on ${hostname()}`);
  console.log(`phases add up to the RTO within ${(worstSum * 100).toFixed(2)} % at worst`);
  return alarms.length === 0;
}

function spread(seconds: readonly number[]) {
  const sorted = seconds.toSorted((a, b) => a - b);
  const median = sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
  const [least = Number.NaN, most = Number.NaN] = [sorted[0], sorted.at(-1)];
  const round = (value: number) => Math.round(value * 100) / 100;
  return {
    proven: sorted.length,
    median: round(median),
    least: round(least),
    most: round(most),
    spread: `${Math.round(((most - least) / median) * 100)} %`,
  };
}

const interrupted = new AbortController();
process.once('SIGINT', () => interrupted.abort(new Error('interrupted')));
process.exitCode = (await main(interrupted.signal)) ? 0 : 1;
