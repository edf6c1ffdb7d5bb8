import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { cpus, tmpdir, totalmem } from 'node:os';
import path from 'node:path';
import { build } from '../build.ts';
import { docker, inPath } from '../prerequisites.ts';
import { type Bench, backupLines, resticRefusal, surroundingsOf } from './backup.ts';
import { type LineResult, runRounds, type Say } from './lines.ts';
import { measureMemory } from './memory.ts';
import { restoreLines } from './restore.ts';
import { type S3Target, startS3Target } from './s3.ts';
import { type Census, makeDatabase, startBenchServer } from './server.ts';
import { figuresTable, phasesText, rivalsTable } from './table.ts';
import { judgedLines, judgeNoise, judgeResources, judgeTimes, overheadText, type Verdict, verdictTable } from './verdict.ts';

export const pipelineParts = ['backup', 'restore', 'memory'] as const;
export type PipelinePart = (typeof pipelineParts)[number];

export interface BenchOptions {
  readonly parts: ReadonlySet<PipelinePart>;
  /** Size of the measured database's tables. */
  readonly megabytes: number;
  readonly largeMegabytes: number;
  /** How often each line runs. */
  readonly repeat: number;
  /** How often lines run that a target of wall time is about. */
  readonly judgedRepeat: number;
  /** Whether to leave out S3 even where there is Docker. */
  readonly withoutS3: boolean;
  /** Ids of the lines to measure, where not all are wanted. */
  readonly only?: ReadonlySet<string>;
  /** Where to write everything that was measured as JSON. */
  readonly json?: string;
}

/** The targets are meant for databases from this size on, in bytes of table data. */
const JUDGED_FROM = 1e9;
const DATABASE = 'bench';

interface Report {
  readonly machine: Readonly<Record<string, string | number>>;
  readonly database: Census | undefined;
  readonly backups: readonly LineResult[];
  readonly restores: readonly LineResult[];
  readonly memory: readonly LineResult[];
  readonly verdicts: readonly Verdict[];
}

/** Builds, measures, prints. Resolves to whether every line ran and every target that was measured was met. */
export async function runBench(options: BenchOptions, signal: AbortSignal): Promise<boolean> {
  const say: Say = (text) => console.log(text);
  if (process.platform !== 'linux') throw new Error('the bench reads CPU time and memory from /proc, so it runs on Linux only');
  await using cleanup = new AsyncDisposableStack();
  say('Building');
  await build();
  signal.throwIfAborted();

  const folder = await mkdtemp(path.join(tmpdir(), 'jetbackup-bench-'));
  // The server of a local sandbox, which root runs as another user, must get through to its own folder.
  await chmod(folder, 0o711);
  cleanup.defer(() => rm(folder, { recursive: true, force: true, maxRetries: 3 }));
  const server = cleanup.use(await startBenchServer(signal));
  const s3 = options.withoutS3 ? undefined : await startS3(say);
  if (s3 !== undefined) cleanup.use(s3);
  const tools = { restic: await inPath('restic'), awsCli: await inPath('aws') };
  if (!tools.restic) say('SKIPPED: restic is not installed (apt-get install -y restic)');
  if (s3 !== undefined && !tools.awsCli) say('SKIPPED: pg_dump | gzip to S3; the aws program is not installed (apt-get install -y awscli)');
  const local: Bench = { server, database: DATABASE, folder, s3, ...tools, resticToS3: false, signal };
  const refusal = s3 === undefined || !tools.restic ? undefined : await resticRefusal(local);
  if (refusal !== undefined) say(`SKIPPED: restic to S3; it cannot write to this server: ${refusal}`);
  const bench: Bench = { ...local, resticToS3: s3 !== undefined && tools.restic && refusal === undefined };

  const machine = {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    memoryBytes: totalmem(),
    node: process.version,
    postgres: server.description,
    s3: s3?.description ?? 'none',
    repeat: options.repeat,
    judgedRepeat: options.judgedRepeat,
  };
  say(`${machine.cores} cores of ${machine.cpu}, Node.js ${machine.node}, ${machine.postgres}`);

  const times = await measureTimes(bench, options, say);
  const memory = options.parts.has('memory')
    ? await measureMemory(bench, options.largeMegabytes, options.repeat, say)
    : { results: [], verdicts: [] };
  const all = [...times.backups, ...times.restores, ...memory.results];
  const report: Report = {
    machine,
    ...times,
    memory: memory.results,
    verdicts: [...judgeTimes(all), ...judgeNoise(all), ...judgeResources(all), ...memory.verdicts],
  };
  print(report, say);
  if (options.json !== undefined) await writeFile(options.json, `${JSON.stringify(report, undefined, 2)}\n`);
  const tooSmall = report.database !== undefined && report.database.tableBytes < JUDGED_FROM;
  const counted = tooSmall ? [...judgeResources(all), ...memory.verdicts] : report.verdicts;
  return all.every(({ failure }) => failure === undefined) && counted.every(({ result }) => result === 'met');
}

async function startS3(say: Say): Promise<S3Target | undefined> {
  if (!(await docker.present())) {
    say(`SKIPPED: everything to S3, for there is no container engine to run a server in (${docker.remedy})`);
    return undefined;
  }
  return await startS3Target();
}

async function measureTimes(
  bench: Bench,
  { parts, megabytes, repeat, judgedRepeat, only }: BenchOptions,
  say: Say,
): Promise<Pick<Report, 'database' | 'backups' | 'restores'>> {
  if (!parts.has('backup') && !parts.has('restore')) return { database: undefined, backups: [], restores: [] };
  const { server, signal } = bench;
  say(`\nMaking the database: ${megabytes} MB of table data`);
  const database = await makeDatabase(server, DATABASE, megabytes, signal);
  say(
    `  ${(database.tableBytes / 1e6).toFixed(0)} MB of tables, ${(database.indexBytes / 1e6).toFixed(0)} MB in ${database.indexes} indexes; ` +
      `${(database.largest.share * 100).toFixed(0)} % of the tables is ${database.largest.name}`,
  );

  const surroundings = surroundingsOf(bench);
  const all = { backups: backupLines(bench), restores: parts.has('restore') ? restoreLines(bench, database) : [] };
  assertKnown(only, [...all.backups, ...all.restores]);
  const roundsOf = ({ id }: { readonly id: string }) => (judgedLines.has(id) ? judgedRepeat : repeat);
  const isWanted = ({ id }: { readonly id: string }) => only === undefined || only.has(id);
  const restores = all.restores.filter(isWanted);
  const needed = new Set(restores.map(({ needs }) => needs));
  const measured = parts.has('backup') && all.backups.some(isWanted);
  const lines = all.backups.filter((line) => isWanted(line) || needed.has(line.id));
  say(measured ? '\nBackups' : '\nMaking the backups to restore from');
  const results = measured
    ? await runRounds(lines, roundsOf, surroundings, say)
    : await runRounds(
        lines.filter(({ id }) => needed.has(id)),
        () => 1,
        surroundings,
        say,
      );

  if (restores.length > 0) say('\nRestores');
  const lost = new Set(results.flatMap(({ id, failure }) => (failure === undefined ? [] : [id])));
  const restored = await runRounds(
    restores.filter(({ needs }) => !lost.has(needs)),
    roundsOf,
    surroundings,
    say,
  );
  const unrestorable = restores
    .filter(({ needs }) => lost.has(needs))
    .map(({ id, title, needs }) => ({ id, title, runs: [], failure: `its backup (${needs}) failed` }));
  // What failed while only being made ready is told by its restore.
  return { database, backups: measured ? results : [], restores: [...restored, ...unrestorable] };
}

/** Throws on an id that no line has. */
function assertKnown(only: ReadonlySet<string> | undefined, lines: readonly { readonly id: string }[]): void {
  const ids = lines.map(({ id }) => id);
  const unknown = [...(only ?? [])].filter((id) => !ids.includes(id));
  if (unknown.length > 0) throw new Error(`no line ${unknown.join(', ')}; there are ${ids.join(', ')}`);
}

function print({ database, backups, restores, memory, verdicts }: Report, say: Say): void {
  const shown = [
    { heading: `backups, ${runsText(backups)}`, rivals: 'backups: wall time against', results: backups },
    { heading: `restores, ${runsText(restores)}`, rivals: 'restores: wall time against', results: restores },
  ];
  for (const { heading, rivals, results } of shown.filter((table) => table.results.length > 0)) {
    say(`\n${figuresTable(heading, results, results[0])}\n${rivalsTable(rivals, results)}`);
    const phases = phasesText(results);
    if (phases !== '') say(`\nWhere jetbackup's time goes:\n${phases}`);
  }
  if (memory.length > 0) say(`\n${figuresTable(`memory, ${runsText(memory)}`, memory)}`);
  say(
    "\n× is the ratio to the first line, run against run of the same round. CPU, client: all that the line started. CPU, server: PostgreSQL's,\n" +
      "which shares the cores, as the S3 server does. Peak, own: the line's main program alone; all: the sum over all its processes.\n" +
      "jetbackup's restores end with ANALYZE (its phase is above); the others leave that to be done.",
  );
  const overhead = overheadText([...backups, ...restores]);
  if (overhead !== '') say(`\nWhat proof costs, wall time:\n${overhead}`);
  say(`\n${verdictTable(verdicts)}`);
  if (memory.length === 0) say('Not measured: memory over 100 MB and 5 GB; to measure it: npm run bench -- memory');
  if (database !== undefined && database.tableBytes < JUDGED_FROM) {
    say(
      `The targets of wall time are for 1 GB of table data and more, and do not count here: this database had ${(database.tableBytes / 1e6).toFixed(0)} MB.`,
    );
  }
}

/** `medians of 3 runs`; lines that a target is about may have had more than others. */
function runsText(results: readonly LineResult[]): string {
  const counts = results.flatMap(({ runs }) => (runs.length > 0 ? [runs.length] : []));
  const [least, most] = [Math.min(...counts), Math.max(...counts)];
  if (most <= 1) return 'one run';
  return `medians of ${least === most ? most : `${least} to ${most}`} runs`;
}
