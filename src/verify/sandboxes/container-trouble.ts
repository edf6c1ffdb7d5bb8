import type { Clock } from '../../platform/clock.ts';
import { type Docker, type Engine, engineMessage, inTime, statusOf } from './container-engine.ts';
import { outputText } from './container-output.ts';
import { gibibytes, type Room } from './container-room.ts';

/** PostgreSQL cannot go on without one more segment of WAL (docs: 28.5 WAL Configuration). */
const SEGMENT_KIB = 16 * 1024;

/** Reaches back over what a failing restore says, and little to read. */
const LOG_LINES = 2000;

/** Either version of the control groups; the first line is that of `df`. */
const PROBE = `df -P -k "$PGDATA" | tail -n 1; cat /sys/fs/cgroup/memory.events /sys/fs/cgroup/memory/memory.oom_control 2>/dev/null; true`;

/**
 * Why the server in the container is of no use any more, in words that hold nothing of the database; undefined while all is well.
 * Rejects only with the signal's reason.
 */
export async function containerTrouble(
  { docker }: Engine,
  { name, room }: { readonly name: string; readonly room: Room },
  clock: Clock,
  signal?: AbortSignal,
): Promise<string | undefined> {
  const container = docker.getContainer(name);
  try {
    const { State } = await inTime(clock, signal, () => container.inspect());
    if (State.OOMKilled) return outOfMemory(room);
    const log = await inTime(clock, signal, () => readLog(container));
    if (isDiskFull(log)) return outOfDisk(room);
    if (!State.Running) return `its container ${State.ExitCode === 137 ? 'was killed' : `exited with status ${State.ExitCode}`}`;
    const probed = await inTime(clock, signal, () => execute(container, PROBE));
    if (Number(/^oom_kill (\d+)$/m.exec(probed)?.[1] ?? 0) > 0) return outOfMemory(room);
    const available = /^\S.*?\s+\d+\s+\d+\s+(\d+)\s+\d+%/m.exec(probed)?.[1];
    if (available !== undefined && Number(available) < SEGMENT_KIB) return outOfDisk(room);
    return wasKilled(log) ? 'one of its server processes was killed' : undefined;
  } catch (error) {
    signal?.throwIfAborted();
    if (statusOf(error) === 404) return 'its container is gone';
    return `the container engine does not answer: ${engineMessage(error)}`;
  }
}

/** The last lines that the server wrote, for a person: only while there is nothing of anybody's database in it. */
export async function lastWords({ docker }: Engine, name: string, clock: Clock): Promise<string> {
  const log = await inTime(clock, undefined, () => readLog(docker.getContainer(name))).catch(() => '');
  const lines = log.split('\n').filter((line) => line.trim() !== '');
  return lines.findLast((line) => /\b(?:FATAL|PANIC|ERROR|error):/.test(line)) ?? lines.at(-1) ?? 'it wrote nothing';
}

function outOfMemory({ limitBytes }: Room): string {
  return `it ran out of memory, of which it may have ${gibibytes(limitBytes)} (verify.memory)`;
}

function outOfDisk({ tmpfsBytes }: Room): string {
  if (tmpfsBytes === undefined) return "the disk of the container engine's volumes is full";
  return `the ${gibibytes(tmpfsBytes)} of memory that hold its data are full (verify.storage: disk has more)`;
}

/** The server's own complaint and no row of a table that quotes it: those come after other words. Space may be free again by now. */
function isDiskFull(log: string): boolean {
  return /\b(?:ERROR|FATAL|PANIC|LOG): {2}could not [^\n]*: No space left on device/.test(log);
}

function wasKilled(log: string): boolean {
  return /\bLOG: {2}(?:\w+ )+process \(PID \d+\) was terminated by signal 9\b/.test(log);
}

type Container = ReturnType<Docker['getContainer']>;

async function readLog(container: Container): Promise<string> {
  return outputText(await container.logs({ follow: false, stdout: true, stderr: true, tail: LOG_LINES }));
}

async function execute(container: Container, script: string): Promise<string> {
  const exec = await container.exec({ Cmd: ['sh', '-c', script], AttachStdout: true, AttachStderr: false, Tty: false });
  const stream = await exec.start({ Detach: false, Tty: false });
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(Buffer.from(chunk));
  return outputText(Buffer.concat(chunks));
}
