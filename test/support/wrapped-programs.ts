import { access, chmod, mkdir, rename, rm, writeFile } from 'node:fs/promises';
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
  // Each hold has files of its own: whoever starts late, from the script of one that has ended, is not held and holds nobody.
  let holds = 0;
  const held = () => join(directory, `held-${holds}`);
  const marker = () => join(directory, `reached-${holds}`);
  const wrap = async (program: Wrapped, script: string) => {
    const path = join(directory, program);
    const text = `#!/bin/sh\nREAL=${real}/${program}\ncase "$1" in --version) exec "$REAL" "$@" ;; esac\n${script}\n`;
    // At once: a program that is being written cannot be started, and runs of jetbackup may be about to.
    await writeFile(`${path}.new`, text);
    await chmod(`${path}.new`, 0o755);
    await rename(`${path}.new`, path);
  };
  const restore = async () => {
    for (const program of programs) await wrap(program, 'exec "$REAL" "$@"');
    await rm(held(), { force: true });
  };
  await mkdir(directory, { recursive: true });
  await restore();
  return {
    directory,
    wrap,
    restore,
    async hold(program, when = '*') {
      await rm(held(), { force: true });
      holds += 1;
      await writeFile(held(), '');
      const wait = `: > ${marker()}; while [ -e ${held()} ]; do sleep 0.05; done`;
      await wrap(program, `case "$*" in ${when}) ${wait} ;; esac\nexec "$REAL" "$@"`);
    },
    reached: () =>
      access(marker()).then(
        () => true,
        () => false,
      ),
  };
}
