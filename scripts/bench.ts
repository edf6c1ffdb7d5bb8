/**
 * `npm run bench [-- PART…] [-- --only ID,ID] [-- --json FILE]`: measures jetbackup against what it replaces, on a throwaway server.
 *
 *   backup, restore         wall time, CPU, bytes and memory, beside pg_dump, pg_restore and restic (the default: both)
 *   memory                  whether memory grows with the database
 *   crypto, compression, fingerprint, retention   single stages, each with what its file in scripts/bench says may follow
 *   all                     everything above
 *
 * --only runs just these lines (model, uncompressed, jetbackup-gzip, restore-directory, …; a wrong one lists them all).
 * BENCH_MEGABYTES (1300), BENCH_LARGE_MEGABYTES (5000) and BENCH_REPEAT (3; 5 for lines that a target of wall time is about) say how
 * much; BENCH_S3=0 leaves S3 out.
 * Exit status 0 when every line ran and every target was met, else 1.
 */
import { parseArgs } from 'node:util';
import { pipelineParts, runBench } from './bench/main.ts';
import { runStage, stages } from './bench/stages.ts';

const known: readonly string[] = [...pipelineParts, 'all'];

function whole(variable: string, fallback: number): number {
  const text = process.env[variable];
  if (text === undefined || text === '') return fallback;
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1) throw new Error(`${variable} must be a whole number from 1 on`);
  return value;
}

async function main(signal: AbortSignal): Promise<boolean> {
  const { values, positionals } = parseArgs({ allowPositionals: true, options: { json: { type: 'string' }, only: { type: 'string' } } });
  const stage = stages.find((each) => each === positionals[0]);
  if (stage !== undefined) {
    await runStage(stage, positionals.slice(1), signal);
    return true;
  }
  for (const part of positionals) if (!known.includes(part)) throw new Error(`"${part}" is none of ${[...known, ...stages].join(', ')}`);
  const wanted = new Set(positionals.length === 0 ? ['backup', 'restore'] : positionals.includes('all') ? known : positionals);
  const options = {
    parts: new Set(pipelineParts.filter((part) => wanted.has(part))),
    megabytes: whole('BENCH_MEGABYTES', 1_300),
    largeMegabytes: whole('BENCH_LARGE_MEGABYTES', 5_000),
    repeat: whole('BENCH_REPEAT', 3),
    judgedRepeat: whole('BENCH_REPEAT', 5),
    withoutS3: process.env['BENCH_S3'] === '0',
    ...(values.json === undefined ? {} : { json: values.json }),
    ...(values.only === undefined ? {} : { only: new Set(values.only.split(',')) }),
  };
  if (positionals.includes('all')) for (const each of stages) await runStage(each, [], signal);
  return await runBench(options, signal);
}

const stop = new AbortController();
for (const name of ['SIGINT', 'SIGTERM'] as const) {
  process.on(name, () => {
    if (!stop.signal.aborted) console.error(`\n${name}: stopping and cleaning up`);
    stop.abort(new Error(`stopped by ${name}`));
  });
}
try {
  process.exitCode = (await main(stop.signal)) ? 0 : 1;
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = stop.signal.aborted ? 130 : 1;
}
