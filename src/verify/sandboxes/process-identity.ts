import { readFile, readlink } from 'node:fs/promises';

/** One process, told apart from any that has the same number elsewhere or later. What this system does not tell is the empty string. */
export interface ProcessIdentity {
  /** Name of the machine. */
  readonly host: string;
  /** Of the running kernel: another one after each start of the machine. */
  readonly boot: string;
  /** Process ids mean something only within one namespace: two containers have each their own. */
  readonly namespace: string;
  readonly pid: number;
  /** Clock ticks from the machine's start to the process's: a number is given to another process some day. */
  readonly startTicks: string;
}

export async function thisProcess(host: string): Promise<ProcessIdentity> {
  const boot = await readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => '');
  const namespace = await readlink('/proc/self/ns/pid').catch(() => '');
  return {
    ...{ host, boot: boot.trim(), namespace: /\d+/.exec(namespace)?.[0] ?? '' },
    ...{ pid: process.pid, startTicks: await startTicksOf(process.pid) },
  };
}

/** Whether the numbers of processes mean the same for both. */
export function shareProcessIds(one: ProcessIdentity, other: ProcessIdentity): boolean {
  return one.host === other.host && one.boot === other.boot && one.namespace === other.namespace;
}

/** Whether a process that shares our process ids lives. In doubt it does. */
export async function isAlive({ pid, startTicks }: ProcessIdentity): Promise<boolean> {
  try {
    process.kill(pid, 0);
  } catch (error) {
    return !(error instanceof Error && 'code' in error && error.code === 'ESRCH');
  }
  const now = await startTicksOf(pid);
  return now === '' || startTicks === '' || now === startTicks;
}

/** proc_pid_stat(5), field 22; the name of the program, in parentheses, may hold anything. */
async function startTicksOf(pid: number): Promise<string> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  const ticks = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  return ticks !== undefined && /^\d+$/.test(ticks) ? ticks : '';
}
