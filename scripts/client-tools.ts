import { access, chmod, mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { $ } from 'zx';
import { pullMissing } from './container-image.ts';

const PROGRAMS = ['pg_dump', 'pg_dumpall', 'pg_restore', 'psql'] as const;

/** Where `extractClientTools` keeps what it took out of images; below node_modules, so that nothing else ever sees it. */
export const CLIENT_TOOLS_CACHE = path.resolve(import.meta.dirname, '../node_modules/.cache/jetbackup-client-tools');

/** Debian's, Ubuntu's and the PostgreSQL project's own packages put every major's programs here. */
export async function installedPrograms(major: number, programs: readonly string[] = PROGRAMS): Promise<string | undefined> {
  const directory = `/usr/lib/postgresql/${major}/bin`;
  const there = await Promise.all(programs.map((program) => exists(path.join(directory, program))));
  return there.every(Boolean) ? directory : undefined;
}

/**
 * pg_dump, pg_dumpall, pg_restore and psql of one major out of a PostgreSQL container image, to run on this machine:
 * the programs, their libraries and their dynamic loader, so that it does not matter which C library this machine has.
 * Kept by the image's digest; the second call only looks. Linux with a glibc-based (not Alpine) image, any CPU.
 */
export async function extractClientTools(image: string, major: number): Promise<{ readonly directory: string }> {
  if (process.platform !== 'linux') {
    throw new Error(`programs out of a container image run on Linux only; install PostgreSQL ${major}'s client programs on this machine`);
  }
  const run = $({ quiet: true });
  await pullMissing(image);
  const digest = (await run`docker image inspect --format {{.Id}} ${image}`).stdout.trim().replace(/^sha256:/, '');
  const root = path.join(CLIENT_TOOLS_CACHE, `${digest.slice(0, 16)}-${major}`);
  const directory = path.join(root, 'bin');
  if (await exists(directory)) return { directory };

  await mkdir(CLIENT_TOOLS_CACHE, { recursive: true });
  const draft = await mkdtemp(path.join(CLIENT_TOOLS_CACHE, '.draft-'));
  const container = (
    await run`docker create --network none --user 0 --label dev.jetbackup.client-tools --entrypoint sh ${image} -c ${collect(major)}`
  ).stdout.trim();
  try {
    await run`docker start --attach ${container}`;
    await run`docker cp ${container}:/jetbackup-client-tools/. ${draft}`;
    await mkdir(path.join(draft, 'bin'));
    for (const program of PROGRAMS) {
      const wrapper = path.join(draft, 'bin', program);
      await writeFile(wrapper, wrapperOf(program));
      await chmod(wrapper, 0o755);
    }
    await chmod(draft, 0o755);
    await rename(draft, root).catch(async (error: unknown) => {
      // Another process was faster with the same image.
      if (!(await exists(directory))) throw error;
    });
  } finally {
    await run({ nothrow: true })`docker rm --force --volumes ${container}`;
    await rm(draft, { recursive: true, force: true });
  }
  return { directory };
}

/** Runs inside the image. It asks the loader itself which libraries the programs need: there may be no ldd. */
function collect(major: number): string {
  return `
set -eu
out=/jetbackup-client-tools
mkdir -p $out/lib $out/libexec
for loader in /lib64/ld-linux-x86-64.so.2 /lib/ld-linux-aarch64.so.1 /lib/ld-linux-*.so.* /lib64/ld64.so.*; do [ -e "$loader" ] && break; done
cp -L "$loader" $out/lib/ld.so
for program in ${PROGRAMS.join(' ')}; do
  cp -L /usr/lib/postgresql/${major}/bin/$program $out/libexec/
  "$loader" --list $out/libexec/$program | sed -n 's/.* => \\(\\/[^ ]*\\) .*/\\1/p' >>$out/list
done
sort -u $out/list | while read -r library; do cp -L "$library" $out/lib/; done
rm $out/list
`;
}

/**
 * `exec` keeps the process id, so that signals reach the program itself; `--argv0` names the wrapper,
 * because pg_dumpall looks for pg_dump in the folder of its own argv[0].
 */
function wrapperOf(program: string): string {
  return `#!/bin/sh
root="\${0%/*}/.."
exec "$root/lib/ld.so" --library-path "$root/lib" --argv0 "$0" "$root/libexec/${program}" "$@"
`;
}

async function exists(file: string): Promise<boolean> {
  return access(file).then(
    () => true,
    () => false,
  );
}
