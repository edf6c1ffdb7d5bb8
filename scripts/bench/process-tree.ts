import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** Linux counts CPU time for user space in hundredths of a second, whatever its own tick (USER_HZ). */
const MS_PER_TICK = 10;

/** One process as /proc shows it. */
export interface ProcessSample {
  readonly pid: number;
  /** The base name of argv[0]. */
  readonly program: string;
  /** User and system time of the process itself. */
  readonly cpuMs: number;
  /** User and system time of its children that have ended and were waited for, and theirs. */
  readonly waitedForMs: number;
  readonly residentBytes: number;
  /** VmHWM: the kernel's own high-water mark, which loses nothing between two looks. */
  readonly peakBytes: number;
}

export interface OpenFile {
  readonly path: string;
  readonly bytes: number;
}

/** The process and all that descend from it now. Processes come and go while one looks: what is gone is left out. */
export function sampleTree(root: number): readonly ProcessSample[] {
  const samples: ProcessSample[] = [];
  const visit = (pid: number): void => {
    const sample = sampleProcess(pid);
    if (sample === undefined) return;
    samples.push(sample);
    for (const child of childrenOf(pid)) visit(child);
  };
  visit(root);
  return samples;
}

/**
 * CPU time of a whole server: of all its living processes, and of the backends that it has waited for. A backend that
 * ends while one looks is seen in neither place; of three looks the highest has missed none.
 */
export async function serverCpuMs(postmaster: number): Promise<number> {
  const looks: number[] = [];
  while (looks.length < 3) {
    const look = sampleTree(postmaster).reduce(
      (sum, { pid, cpuMs, waitedForMs }) => sum + cpuMs + (pid === postmaster ? waitedForMs : 0),
      0,
    );
    looks.push(look);
    await sleep(50);
  }
  return Math.max(...looks);
}

/** Regular files of `leastBytes` or more that the process holds open for writing, also those already unlinked. */
export function filesBeingWritten(pid: number, leastBytes: number): readonly OpenFile[] {
  return ofVanished(() => readdirSync(`/proc/${pid}/fd`), []).flatMap((descriptor) =>
    ofVanished(() => {
      const stat = statSync(`/proc/${pid}/fd/${descriptor}`);
      if (!stat.isFile() || stat.size < leastBytes) return [];
      const flags = /^flags:\s+(\d+)$/m.exec(readFileSync(`/proc/${pid}/fdinfo/${descriptor}`, 'utf8'))?.[1];
      // open(2): the two lowest bits are 0 for read only, 1 for write only, 2 for both.
      const writable = flags !== undefined && (Number.parseInt(flags, 8) & 3) !== 0;
      return writable ? [{ path: readlinkSync(`/proc/${pid}/fd/${descriptor}`), bytes: stat.size }] : [];
    }, []),
  );
}

function sampleProcess(pid: number): ProcessSample | undefined {
  return ofVanished(() => {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The second field is the name in parentheses, and may itself hold spaces and parentheses.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const ticks = (field: number) => Number(fields[field - 3] ?? 0);
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    const kibibytes = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1] ?? 0);
    const [program = ''] = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
    return {
      pid,
      program: path.basename(program),
      cpuMs: (ticks(14) + ticks(15)) * MS_PER_TICK,
      waitedForMs: (ticks(16) + ticks(17)) * MS_PER_TICK,
      residentBytes: kibibytes('VmRSS') * 1024,
      peakBytes: kibibytes('VmHWM') * 1024,
    };
  }, undefined);
}

function childrenOf(pid: number): readonly number[] {
  return ofVanished(() => readdirSync(`/proc/${pid}/task`), []).flatMap((thread) =>
    ofVanished(
      () =>
        readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8')
          .split(' ')
          .filter((child) => child !== '')
          .map(Number),
      [],
    ),
  );
}

/** A process that ends while it is read answers ENOENT or ESRCH; one of another user EACCES. */
function ofVanished<T>(read: () => T, instead: T): T {
  try {
    return read();
  } catch {
    return instead;
  }
}
