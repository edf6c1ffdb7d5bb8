import { readdirSync } from 'node:fs';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import * as z from 'zod';
import { run } from '../../src/cli/run.ts';
import type { Service } from '../../src/daemon/service.ts';
import { makeCliFolder } from '../../test/support/cli.ts';
import { clientTools } from '../../test/support/client-tools.ts';
import { createSample, directoryFiles } from '../../test/support/installation.ts';
import { startPostgres } from '../../test/support/postgres.ts';
import { daemonShell } from './in-process.ts';
import { jumpingClock } from './jumping-clock.ts';

interface Sample {
  readonly runs: number;
  readonly rss: number;
  readonly heap: number;
  readonly reserved: number;
  readonly external: number;
  readonly descriptors: number;
  readonly resources: number;
  readonly kinds: string;
}

const SAMPLE_EVERY = 50;
/** Backups that stay, so that the repository is as large in the end as in the beginning. Retention goes by dates, and those of the store are real. */
const KEPT = 20;
const MiB = 1024 * 1024;
/** What may be gained after the first fifth, for each 1,000 runs. The heap may keep a record's summary and id. */
const MOST = { heapMiB: 3, rssMiB: 24, descriptors: 2, resources: 2 };

/** True when memory, handles and file descriptors stay flat, and each due time had its one run. */
export async function runRunsSoak({ runs }: { readonly runs: number }): Promise<boolean> {
  const { gc } = globalThis;
  if (gc === undefined) throw new Error('run it with: node --expose-gc');
  await using server = await startPostgres(15);
  await createSample(server, 'shop', 1);
  await using cli = await makeCliFolder();
  const directory = join(cli.directory, 'repository');
  const source = { JETBACKUP_REPOSITORY: `file://${directory}`, DATABASE_URL: `${server.url('shop')}?sslmode=disable` };
  const initialized = await cli.start(['init'], source).ended;
  if (initialized.code !== 0) throw new Error(initialized.stderr);
  const file = join(cli.directory, 'jetbackup.yaml');
  const written = z.looseObject({ databases: z.array(z.looseObject({})) }).parse(parse(await readFile(file, 'utf8')));
  const settings = { schedule: '* * * * *', bindir: (await clientTools(15)).directory };
  const config = { verify: { schedule: 'off' }, prune: { schedule: 'off' }, daemon: { catchUp: 'off' }, http: 'off' };
  await writeFile(file, stringify({ ...written, ...config, databases: [{ ...written.databases[0], ...settings }] }));

  const files = directoryFiles(directory);
  const thin = async () => {
    const keys = await files.keys();
    const backups = keys.flatMap((key) => /^shop\/([^/]+)\/manifest\.json$/.exec(key)?.[1] ?? []);
    for (const id of backups.slice(0, -KEPT)) await rm(join(directory, 'shop', id), { recursive: true });
    for (const key of keys.filter((name) => name.startsWith('runs/')).slice(0, -KEPT)) await files.delete(key);
  };

  const clock = jumpingClock();
  const ended = new AbortController();
  const due: string[] = [];
  const outcomes = new Map<string, number>();
  const log: string[] = [];
  let [busy, surveys] = [0, 0];
  const counted = async <T>(work: () => Promise<T>): Promise<T> => {
    busy += 1;
    try {
      return await work();
    } finally {
      busy -= 1;
    }
  };
  const watch = (service: Service): Service => ({
    ...service,
    survey: (signal) => {
      surveys += 1;
      return counted(() => service.survey(signal));
    },
    scheduler: {
      ...service.scheduler,
      history: { read: (now, signal) => counted(() => service.scheduler.history.read(now, signal)) },
      runner: {
        run: (start, signal) =>
          counted(async () => {
            const outcome = await service.scheduler.runner.run(start, signal);
            due.push(start.dueAt.toString());
            outcomes.set(outcome.result, (outcomes.get(outcome.result) ?? 0) + 1);
            await thin();
            if (due.length >= runs) ended.abort();
            return outcome;
          }),
      },
    },
  });
  const onLine = (line: string) => {
    // A test's client programs may be a little older than its server.
    if (/"level":"(?:warn|error)"/.test(line) && !line.includes('older than the server')) log.push(line.trim());
  };

  const samples: Sample[] = [];
  const startedMs = performance.now();
  console.log('  runs   real s       RSS      heap  reserved  external   fds  handles');
  const onIdle = async () => {
    if (due.length < samples.length * SAMPLE_EVERY) return;
    for (let round = 0; round < 3; round += 1) {
      await gc();
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    const { rss, heapUsed, heapTotal, external } = process.memoryUsage();
    const kinds = process.getActiveResourcesInfo();
    const one = {
      ...{ runs: due.length, rss: rss / MiB, heap: heapUsed / MiB, reserved: heapTotal / MiB, external: external / MiB },
      ...{ descriptors: readdirSync('/proc/self/fd').length, resources: kinds.length, kinds: kinds.sort().join(' ') },
    };
    samples.push(one);
    const [seconds, ...memory] = [(performance.now() - startedMs) / 1000, one.rss, one.heap, one.reserved, one.external].map((value) =>
      value.toFixed(1).padStart(8),
    );
    console.log(`${String(one.runs).padStart(6)} ${seconds}  ${memory.join('  ')}  ${one.descriptors}  ${one.resources}`);
  };
  const shell = daemonShell({ clock, env: cli.env, cwd: cli.directory, signal: ended.signal, watch, onLine });
  const jumping = clock.jumpWhile(() => busy === 0, onIdle, ended.signal);
  const code = await run(['daemon', '--config', file], shell);
  await jumping;

  const settled = samples.filter((one) => one.runs >= runs / 5);
  const problems: string[] = [];
  const gained = (what: string, unit: string, most: number, value: (one: Sample) => number) => {
    const slope = slopeOf(settled.map((one) => [one.runs, value(one)])) * 1000;
    console.log(
      `${what}: ${slope >= 0 ? '+' : ''}${slope.toFixed(2)} ${unit} per 1,000 runs after the first ${Math.round(runs / 5)} (at most ${most})`,
    );
    if (!(slope <= most)) problems.push(`${what} grows`);
  };
  gained('heap', 'MiB', MOST.heapMiB, ({ heap }) => heap);
  gained('RSS', 'MiB', MOST.rssMiB, ({ rss }) => rss);
  gained('file descriptors', '', MOST.descriptors, ({ descriptors }) => descriptors);
  gained('handles', '', MOST.resources, ({ resources }) => resources);
  console.log(`handles in the end: ${samples.at(-1)?.kinds}`);
  console.log(`${surveys} surveys, runs ${JSON.stringify(Object.fromEntries(outcomes))}, exit status ${code}`);
  if (code !== 0) problems.push(`the daemon ended with ${code}`);
  if (outcomes.get('succeeded') !== due.length) problems.push('not every run succeeded');
  if (new Set(due).size !== due.length) problems.push('a due time was run twice');
  const gaps = due.slice(1).filter((at, index) => Date.parse(at) - Date.parse(due[index] ?? '') !== 60_000);
  if (gaps.length > 0) problems.push(`due times were skipped before ${gaps.join(', ')}`);
  for (const line of log.slice(0, 20)) console.log(`logged: ${line}`);
  for (const problem of problems) console.log(`PROBLEM ${problem}`);
  console.log(problems.length === 0 ? 'verdict: flat' : `verdict: ${problems.length} problem(s)`);
  return problems.length === 0;
}

/** Least squares. */
function slopeOf(points: readonly (readonly [number, number])[]): number {
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [x, y] = [mean(points.map(([at]) => at)), mean(points.map(([, value]) => value))];
  const above = points.reduce((sum, [at, value]) => sum + (at - x) * (value - y), 0);
  return above / points.reduce((sum, [at]) => sum + (at - x) ** 2, 0);
}
