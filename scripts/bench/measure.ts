import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, readdir, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { systemClock } from '../../src/platform/clock.ts';
import { filesBeingWritten, type OpenFile, sampleTree, serverCpuMs } from './process-tree.ts';

const MiB = 1024 * 1024;
const POLL_MS = 50;
/** Looking at every open file costs more than looking at memory; a scratch file of a gigabyte lives longer than this. */
const POLLS_PER_FILE_WATCH = 4;
const SCRATCH_BYTES = MiB;
const STOP_GRACE_MS = 15_000;
const OUTPUT_LIMIT = 4 * MiB;

/** What one line of the table runs. */
export interface MeasuredCommand {
  /** For bash, with `set -euo pipefail` before it. It runs in an empty folder and with an empty TMPDIR. */
  readonly script: string;
  readonly env: Readonly<Record<string, string>>;
  /** Base name of the program whose own memory is told apart from its children's. */
  readonly main: string;
  /** Folders in which it is meant to write. Large files anywhere else are scratch files. */
  readonly writesTo: readonly string[] | 'anywhere';
}

export interface Measurement {
  readonly wallMs: number;
  /** User and system time of everything that the line started. */
  readonly clientCpuMs: number;
  readonly serverCpuMs: number;
  /** Peak resident memory of the main program's process alone (VmHWM). */
  readonly ownPeakBytes: number;
  /** Peak of the sum over all the line's processes; pages that they share are counted for each. */
  readonly treePeakBytes: number;
  /** Files of more than 1 MiB outside `writesTo`. */
  readonly scratch: readonly OpenFile[];
  /** Bytes in the store afterwards. */
  readonly storedBytes?: number;
  /** Steps that the program itself reports, ms. */
  readonly phases?: readonly { readonly phase: string; readonly ms: number }[];
  /** The RTO that a verification measured. */
  readonly rtoMs?: number;
}

export interface Surroundings {
  /** Holds the working folder and TMPDIR of what is measured. */
  readonly folder: string;
  readonly postmaster: number;
  readonly signal: AbortSignal;
}

/** Runs one command to its end and measures it. Throws with the end of its stderr where it fails, and the signal's reason where it is stopped. */
export async function measure(
  command: MeasuredCommand,
  surroundings: Surroundings,
): Promise<{ readonly measurement: Measurement; readonly stdout: string }> {
  const { signal, postmaster } = surroundings;
  signal.throwIfAborted();
  const folder = path.join(surroundings.folder, 'run');
  const [cwd, tmp] = [path.join(folder, 'cwd'), path.join(folder, 'tmp')];
  await rm(folder, { recursive: true, force: true });
  for (const each of [cwd, tmp]) await mkdir(each, { recursive: true });

  const serverBefore = await serverCpuMs(postmaster);
  const start = systemClock.monotonicMs();
  // `times` tells what the shell's children took, and theirs, once they have been waited for.
  const child = spawn('bash', ['-c', `set -euo pipefail\n${command.script}\ntimes >&3`], {
    cwd,
    env: { ...command.env, TMPDIR: tmp, HOME: cwd },
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
    detached: true,
  });
  const stop = () => stopGroup(child);
  signal.addEventListener('abort', stop, { once: true });
  const output = [1, 2, 3].map((descriptor) => textOf(child.stdio[descriptor]));
  const watched = { own: 0, tree: 0, scratch: new Map<string, number>() };
  const ended = new Promise<{ code: number | null; killedBy: NodeJS.Signals | null; at: number }>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, killedBy) => resolve({ code, killedBy, at: systemClock.monotonicMs() }));
  });
  const running = new AbortController();
  const watching = watch(child.pid, command, [cwd, tmp], watched, running.signal);
  try {
    const { code, killedBy, at } = await ended;
    const [stdout = '', stderr = '', times = ''] = await Promise.all(output);
    signal.throwIfAborted();
    if (code !== 0) {
      throw new Error(
        `${killedBy ?? `exit status ${code}`}: ${stderr.trim().split('\n').slice(-5).join('\n') || stdout.trim().slice(-500)}`,
      );
    }
    return {
      stdout,
      measurement: {
        wallMs: at - start,
        clientCpuMs: readTimes(times),
        serverCpuMs: (await serverCpuMs(postmaster)) - serverBefore,
        ownPeakBytes: watched.own,
        treePeakBytes: watched.tree,
        scratch: Array.from(watched.scratch, ([name, bytes]) => ({ path: name, bytes })),
      },
    };
  } finally {
    signal.removeEventListener('abort', stop);
    running.abort();
    await watching;
    await rm(folder, { recursive: true, force: true });
  }
}

/** jetbackup stops its own children, which lead groups of their own; it gets time for that. */
function stopGroup(child: ChildProcess): void {
  const { pid } = child;
  if (pid === undefined) return;
  const send = (name: NodeJS.Signals) => {
    try {
      process.kill(-pid, name);
    } catch {
      // ESRCH: all of them are gone.
    }
  };
  send('SIGTERM');
  const timer = setTimeout(() => send('SIGKILL'), STOP_GRACE_MS);
  child.once('close', () => clearTimeout(timer));
}

async function watch(
  root: number | undefined,
  { main, writesTo }: MeasuredCommand,
  folders: readonly string[],
  seen: { own: number; tree: number; scratch: Map<string, number> },
  signal: AbortSignal,
): Promise<void> {
  const meant = (file: string) =>
    writesTo === 'anywhere' || writesTo.some((folder) => file === folder || file.startsWith(`${folder}${path.sep}`));
  const note = ({ path: file, bytes }: OpenFile) => seen.scratch.set(file, Math.max(bytes, seen.scratch.get(file) ?? 0));
  for (let poll = 0; root !== undefined && !signal.aborted; poll += 1) {
    const samples = sampleTree(root).filter(({ pid }) => pid !== root);
    seen.tree = Math.max(
      seen.tree,
      samples.reduce((sum, { residentBytes }) => sum + residentBytes, 0),
    );
    for (const { program, peakBytes } of samples) if (program === main) seen.own = Math.max(seen.own, peakBytes);
    if (poll % POLLS_PER_FILE_WATCH === 0) {
      for (const { pid } of samples)
        filesBeingWritten(pid, SCRATCH_BYTES)
          .filter(({ path: file }) => !meant(file))
          .forEach(note);
      // Written, closed and kept is scratch as well.
      for (const folder of folders)
        (await filesIn(folder)).filter(({ path: file, bytes }) => bytes >= SCRATCH_BYTES && !meant(file)).forEach(note);
    }
    await sleep(POLL_MS, undefined, { signal }).catch(() => {});
  }
}

/** Every file under a folder, with its size; nothing where there is no folder. */
export async function filesIn(folder: string): Promise<readonly OpenFile[]> {
  const names = await readdir(folder, { recursive: true }).catch(() => []);
  const files = await Promise.all(
    names.map(async (name) => {
      const file = path.join(folder, name);
      const info = await stat(file).catch(() => undefined);
      return info?.isFile() === true ? [{ path: file, bytes: info.size }] : [];
    }),
  );
  return files.flat();
}

async function textOf(stream: unknown): Promise<string> {
  let text = '';
  for await (const chunk of stream as AsyncIterable<Buffer>) text = (text + chunk.toString('utf8')).slice(-OUTPUT_LIMIT);
  return text;
}

/** The last line of `times`: user and system time of the children, `1m2.345s 0m6.789s`. */
function readTimes(text: string): number {
  const line = text.trim().split('\n').at(-1) ?? '';
  const parts = [...line.matchAll(/(\d+)m([\d.]+)s/g)];
  if (parts.length !== 2) throw new Error(`bash's times said: ${text}`);
  return parts.reduce((sum, [, minutes, seconds]) => sum + Number(minutes) * 60_000 + Number(seconds) * 1_000, 0);
}
