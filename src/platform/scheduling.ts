import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';

/** Part of util-linux, and of busybox. */
const CHRT = '/usr/bin/chrt';
/** What a process has for whom nobody has chosen anything (sched(7)). */
const SCHED_OTHER = 0;

/**
 * Puts this process, with all its threads and the children that it starts from now on, under SCHED_BATCH (sched(7)): it waits until a
 * core is free or its turn has come. Else it interrupts whoever computes each time that it wakes, for every few KiB of a dump: on two
 * cores that is the server's own process, for which the dump waits. There it took 5 % of the time of a dump for pg_dump to give way, and
 * 5 % for us. Whoever chose a policy for us keeps it; where this is not allowed nothing is lost but the time. Never throws.
 */
export async function giveWay(): Promise<void> {
  if (process.platform !== 'linux' || !existsSync(CHRT) || schedulingPolicy() !== SCHED_OTHER) return;
  // That of busybox knows no -a. The children take after the main thread.
  for (const threads of [['-a'], []]) if (await succeeds(CHRT, [...threads, '-b', '-p', '0', String(process.pid)])) return;
}

function succeeds(program: string, args: readonly string[]): Promise<boolean> {
  return new Promise((resolve) => {
    try {
      const child = spawn(program, args, { env: {}, stdio: 'ignore' });
      child.once('error', () => resolve(false));
      child.once('exit', (code) => resolve(code === 0));
    } catch {
      resolve(false); // Some errors of starting are thrown at once.
    }
  });
}

/** Of the main thread. Field 41 of proc_pid_stat(5), counted from behind the program's name, which is in parentheses and may hold anything. */
function schedulingPolicy(): number | undefined {
  try {
    const stat = readFileSync('/proc/self/stat', 'utf8');
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[38]);
  } catch {
    return undefined; // Where there is no /proc, as in some chroots.
  }
}
