import { readFile } from 'node:fs/promises';
import { isAlive as hasProcess, processNamespace, startOf } from '../../platform/process-identity.ts';

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
  return {
    ...{ host, boot: boot.trim(), namespace: await processNamespace() },
    ...{ pid: process.pid, startTicks: (await startOf(process.pid)) ?? '' },
  };
}

/** Whether the numbers of processes mean the same for both. */
export function shareProcessIds(one: ProcessIdentity, other: ProcessIdentity): boolean {
  return one.host === other.host && one.boot === other.boot && one.namespace === other.namespace;
}

/** Whether a process that shares our process ids lives. In doubt it does. */
export async function isAlive({ pid, startTicks }: ProcessIdentity): Promise<boolean> {
  if (!hasProcess(pid)) return false;
  const now = await startOf(pid);
  // Only where others can be told from one another.
  if (now === undefined || startTicks === '') return now !== undefined || (await startOf(process.pid)) === undefined;
  return now === startTicks;
}
