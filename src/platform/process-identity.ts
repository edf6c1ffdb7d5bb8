import { readFile, readlink } from 'node:fs/promises';

/** Process ids mean something only within one namespace: containers that share /tmp must not sweep each other's. `0` where the system has none. */
export async function processNamespace(): Promise<string> {
  try {
    return /\d+/.exec(await readlink('/proc/self/ns/pid'))?.[0] ?? '0';
  } catch {
    return '0';
  }
}

/** Whether there is a process of this number, also one that has ended and that nobody has asked after. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return !(error instanceof Error && 'code' in error && error.code === 'ESRCH');
  }
}

/**
 * When a process started, in clock ticks since the machine did (proc(5), field 22 of stat): with it, a number that was given away
 * again is told from the process that had it. Undefined for one that is gone, or has ended and only waits for its parent to ask
 * after it, and where the system has no /proc.
 */
export async function startOf(pid: number): Promise<string | undefined> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
    // The second field is the program's name in parentheses, which may hold anything.
    const [state, ...fields] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return state === 'Z' || state === 'X' ? undefined : fields[18];
  } catch {
    return undefined;
  }
}
