import { readdir, readFile, readlink } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { collect } from '../../core/bytes.ts';
import type { Clock } from '../../platform/clock.ts';
import { startOf } from '../../platform/process-identity.ts';
import type { ProcessRunner } from '../../platform/processes.ts';
import { pidFileLines } from './local-pid-file.ts';

const PROGRAMS: readonly string[] = ['postgres', 'initdb'];
/** ms that processes get for an immediate shutdown; the postmaster itself gives its children 5 s of it. */
const QUIT_MS = 8_000;
const KILL_MS = 5_000;
const POLL_MS = 20;

export interface ProcessDeps {
  readonly processes: ProcessRunner;
  readonly clock: Clock;
}

/**
 * Ends PostgreSQL's processes that work in a directory, in whatever state a killed run left them: a server, an initdb, server
 * processes whose postmaster is gone. Returns how many there were; rejects where one does not end.
 */
export async function stopServersIn(directory: string, deps: ProcessDeps): Promise<number> {
  const first = await serversIn(directory, deps);
  if (first.length === 0) return 0;
  if (await gone(directory, first, 'SIGQUIT', QUIT_MS, deps)) return first.length;
  if (await gone(directory, await serversIn(directory, deps), 'SIGKILL', KILL_MS, deps)) return first.length;
  throw new Error(`its processes do not end: ${(await serversIn(directory, deps)).join(', ')}`);
}

async function gone(directory: string, pids: readonly number[], signal: NodeJS.Signals, ms: number, deps: ProcessDeps): Promise<boolean> {
  for (const pid of pids) {
    try {
      process.kill(pid, signal);
    } catch {
      // It is gone, or another user's, which the next look shows.
    }
  }
  const until = deps.clock.monotonicMs() + ms;
  while ((await serversIn(directory, deps)).length > 0) {
    if (deps.clock.monotonicMs() > until) return false;
    await deps.clock.sleep(POLL_MS);
  }
  return true;
}

async function serversIn(directory: string, deps: ProcessDeps): Promise<number[]> {
  const names = await readdir('/proc').catch(() => undefined);
  if (names === undefined) return await serverOf(join(directory, 'data'), deps.processes);
  const found: number[] = [];
  for (const name of names) {
    if (!/^\d+$/.test(name)) continue;
    try {
      if (!(await worksIn(name, directory))) continue;
      // Somebody's shell may stand there, too.
      if (!PROGRAMS.includes((await readFile(`/proc/${name}/comm`, 'utf8')).trim())) continue;
      if ((await startOf(Number(name))) !== undefined) found.push(Number(name));
    } catch {
      // It is gone, or another user's.
    }
  }
  return found;
}

/**
 * By the working directory, which tells the process for certain; a number that a file names may be another's by now. Where the system
 * hides it (from root without CAP_SYS_PTRACE, as in most containers, that of another user's process), by the data directory in its
 * arguments: a server that ends so takes its own processes along.
 */
async function worksIn(pid: string, directory: string): Promise<boolean> {
  try {
    const cwd = (await readlink(`/proc/${pid}/cwd`)).replace(/ \(deleted\)$/, '');
    return cwd === directory || cwd.startsWith(`${directory}/`);
  } catch (error) {
    // Whoever is not root could do nothing about another user's server.
    if (process.geteuid?.() !== 0 || !(error instanceof Error && 'code' in error && error.code === 'EACCES')) throw error;
    const words = (await readFile(`/proc/${pid}/cmdline`, 'utf8')).split('\0');
    return words.some(
      (word, index) => word.startsWith(`--pgdata=${directory}/`) || (word === '-D' && words[index + 1]?.startsWith(`${directory}/`)),
    );
  }
}

/** Without /proc: the process that the data directory names, where it is a server of that directory. */
async function serverOf(data: string, processes: ProcessRunner): Promise<number[]> {
  const pid = Number.parseInt((await pidFileLines(data))[0] ?? '', 10);
  if (!(pid > 1)) return [];
  const command = { program: 'ps', args: ['-ww', '-o', 'command=', '-p', String(pid)], env: { PATH: '/usr/bin:/bin', LC_ALL: 'C' } };
  const said = await collect(processes.output(command), 64 * 1024).catch(() => new Uint8Array());
  const line = Buffer.from(said).toString('utf8').trim();
  return basename(line.split(' ')[0] ?? '') === 'postgres' && line.includes(` -D ${data}`) ? [pid] : [];
}
