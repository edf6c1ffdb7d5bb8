import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';

/** Part of util-linux, and of busybox. */
const CHRT = '/usr/bin/chrt';
/** Policies by number, and the option of chrt that sets each (sched(7)). */
const OTHER = 0;
const BATCH = 3;
const OPTIONS = { [OTHER]: '-o', [BATCH]: '-b' } as const;

let giving = 0;
let given = false;
let turn = Promise.resolve();

/**
 * Puts this process, with all its threads and the children that it starts, under SCHED_BATCH until as many have disposed of it as have
 * asked: it waits until a core is free or its turn has come. Else it interrupts whoever computes each time that it wakes, for every few
 * KiB of a dump: on two cores that is the server's own process, for which the dump waits. There it took 5 % of the time of a dump for
 * pg_dump to give way, and 5 % for us. Children that were started meanwhile keep it. Whoever chose a policy for us keeps his; where
 * this is not allowed nothing is lost but the time. Never throws.
 */
export async function giveWay(): Promise<AsyncDisposable> {
  giving += 1;
  await settle();
  return {
    async [Symbol.asyncDispose]() {
      giving -= 1;
      await settle();
    },
  };
}

/** One after the other, each by what is wanted when its turn comes. */
async function settle(): Promise<void> {
  turn = turn.then(async () => {
    if (giving > 0 === given) return;
    if (given) {
      given = false;
      if (policy() === BATCH) await change(OTHER);
    } else given = policy() === OTHER && (await change(BATCH));
  });
  await turn;
}

async function change(to: keyof typeof OPTIONS): Promise<boolean> {
  if (!existsSync(CHRT)) return false;
  const args = [OPTIONS[to], '-p', '0', String(process.pid)];
  // That of busybox knows no -a. The children take after the main thread.
  return (await succeeds(CHRT, ['-a', ...args])) || (await succeeds(CHRT, args));
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
function policy(): number | undefined {
  try {
    const stat = readFileSync('/proc/self/stat', 'utf8');
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[38]);
  } catch {
    return undefined; // Where there is no /proc: in some chroots, and on other systems than Linux.
  }
}
