import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { $ } from 'zx';
import { makeDatabase, startBenchServer } from './server.ts';

/** Single stages of the pipeline; each is a program of its own beside this file. */
export const stages = ['crypto', 'compression', 'fingerprint', 'retention'] as const;
export type Stage = (typeof stages)[number];

const SAMPLE_MEGABYTES = 300;

/** Runs one stage's program with what the user gave for it. Its output goes to the terminal. Throws unless it exits 0. */
export async function runStage(stage: Stage, args: readonly string[], signal: AbortSignal): Promise<void> {
  const file = path.join(import.meta.dirname, `${stage}.ts`);
  if (!existsSync(file)) throw new Error(`there is no ${file}`);
  if (stage === 'compression' && args.length === 0) {
    await using dump = await sampleDump(signal);
    return await runProgram(file, [dump.file], signal);
  }
  await runProgram(file, args, signal);
}

async function runProgram(file: string, args: readonly string[], signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  // Detached: Ctrl-C at the terminal reaches the bench alone, which passes it on once.
  const child = spawn(process.execPath, [file, ...args], { stdio: ['ignore', 'inherit', 'inherit'], detached: true });
  const stop = () => child.kill('SIGTERM');
  signal.addEventListener('abort', stop, { once: true });
  try {
    const status = await new Promise<string>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code, killedBy) => resolve(String(code ?? killedBy)));
    });
    signal.throwIfAborted();
    if (status !== '0') throw new Error(`${path.basename(file)} ended with ${status}`);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

/** An uncompressed dump of the sample database, which is deleted with what this returns. */
async function sampleDump(signal: AbortSignal): Promise<AsyncDisposable & { readonly file: string }> {
  const folder = await mkdtemp(path.join(tmpdir(), 'jetbackup-bench-'));
  const dispose = () => rm(folder, { recursive: true, force: true });
  try {
    console.log(`Making a dump of ${SAMPLE_MEGABYTES} MB of tables to compress`);
    await using server = await startBenchServer(signal);
    await makeDatabase(server, 'sample', SAMPLE_MEGABYTES, signal);
    const file = path.join(folder, 'dump.pgc');
    await $({ quiet: true, detached: true, signal, env: server.environment('sample') })`pg_dump -Fc -Z0 -f ${file}`;
    return { file, [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}
