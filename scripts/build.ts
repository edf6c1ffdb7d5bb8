import { chmod, readFile, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { $ } from 'zx';

const root = path.resolve(import.meta.dirname, '..');

/** Compiles src into dist, aside and then moved into place, so that a build that fails leaves the last good one. Throws what the compiler says. */
export async function build(): Promise<void> {
  const draft = path.join(root, `.tmp/dist-${process.pid}`);
  const dist = path.join(root, 'dist');
  try {
    const compiler = path.join(root, 'node_modules/.bin/tsc');
    const { exitCode, stdout } = await $({
      cwd: root,
      nothrow: true,
      quiet: true,
    })`${compiler} --project tsconfig.build.json --outDir ${draft}`;
    if (exitCode !== 0) throw new Error(`the build failed:\n${stdout}`);

    const main = path.join(draft, 'src/main.js');
    if (!(await readFile(main, 'utf8')).startsWith('#!/usr/bin/env node\n')) {
      throw new Error('the build failed: src/main.ts must start with #!/usr/bin/env node');
    }
    await chmod(main, 0o755);

    await rm(dist, { recursive: true, force: true });
    await rename(draft, dist);
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}

if (import.meta.main) {
  try {
    await build();
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  }
}
