import { access, chmod, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

const programs = ['pg_dump', 'pg_dumpall', 'pg_restore', 'psql'] as const;
export type Wrapped = (typeof programs)[number];

export interface WrappedPrograms {
  /** For `bindir`. */
  readonly directory: string;
  /**
   * What the program is from now on: `sh` text in which "$REAL" "$@" is the real one. `--version` always answers as the
   * real one does.
   */
  wrap(program: Wrapped, script: string): Promise<void>;
  /** The program waits before it begins, until `restore`, where `when` (a shell pattern over its arguments) matches. */
  hold(program: Wrapped, when?: string): Promise<void>;
  /** Whether a held program is waiting. */
  reached(): Promise<boolean>;
  /** Every program is the real one again, and what waits goes on. */
  restore(): Promise<void>;
}

/** A folder of PostgreSQL's client programs that can be made to misbehave. */
export async function wrapPrograms(directory: string, real: string): Promise<WrappedPrograms> {
  const marker = join(directory, 'reached');
  const wrap = async (program: Wrapped, script: string) => {
    const path = join(directory, program);
    const text = `#!/bin/sh\nREAL=${real}/${program}\ncase "$1" in --version) exec "$REAL" "$@" ;; esac\n${script}\n`;
    await writeFile(path, text);
    await chmod(path, 0o755);
  };
  const restore = async () => {
    await rm(marker, { force: true });
    for (const program of programs) await wrap(program, 'exec "$REAL" "$@"');
  };
  await mkdir(directory, { recursive: true });
  await restore();
  return {
    directory,
    wrap,
    restore,
    async hold(program, when = '*') {
      await rm(marker, { force: true });
      await wrap(program, `case "$*" in ${when}) : > ${marker}; while [ -e ${marker} ]; do sleep 0.05; done ;; esac\nexec "$REAL" "$@"`);
    },
    reached: () =>
      access(marker).then(
        () => true,
        () => false,
      ),
  };
}
