import { chmod, mkdir, readdir, readFile, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { $ } from 'zx';
import { bundle } from './bundle.ts';

const root = path.resolve(import.meta.dirname, '..');

/**
 * Bundles src into dist: a few dozen files instead of seven hundred, which halves the time that a command takes to start. Throws
 * what the bundler says, and then leaves the last good build as it is; files that come out the same are not touched, so that a build
 * disturbs nobody who is running an equal one. Types are not looked at: `npm run lint` does that for everything, `npm run build`,
 * from which a package is made, for what it bundles, and whoever tries the demo need not wait for it.
 */
export async function build(): Promise<void> {
  const draft = path.join(root, `.tmp/dist-${process.pid}`);
  try {
    await bundle(root, draft);
    const main = path.join(draft, 'main.js');
    const text = await readFile(main, 'utf8');
    if (!text.startsWith('#!/usr/bin/env node\n')) throw new Error('the build failed: src/main.ts must start with #!/usr/bin/env node');
    // It is to tell an old Node.js what it needs, which none can that does not get past an import.
    if (/^import\b(?!\()/m.test(text)) throw new Error('the build failed: src/main.ts must import nothing but dynamically');
    await chmod(main, 0o755);
    await replaceChanged(draft, path.join(root, 'dist'));
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}

async function checkTypes(): Promise<void> {
  const compiler = path.join(root, 'node_modules/.bin/tsc');
  const checked = await $({ cwd: root, nothrow: true, quiet: true })`${compiler} --project tsconfig.build.json`;
  if (checked.exitCode !== 0) throw new Error(`the build failed:\n${checked.stdout}`);
}

async function replaceChanged(draft: string, dist: string): Promise<void> {
  const made = await filesBelow(draft);
  for (const file of made) {
    const [fresh, old] = await Promise.all([readFile(path.join(draft, file)), readFile(path.join(dist, file)).catch(() => undefined)]);
    if (old?.equals(fresh)) continue;
    await mkdir(path.dirname(path.join(dist, file)), { recursive: true });
    await rename(path.join(draft, file), path.join(dist, file));
  }
  for (const entry of await readdir(dist)) {
    if (!made.some((file) => file === entry || file.startsWith(`${entry}${path.sep}`)))
      await rm(path.join(dist, entry), { recursive: true });
  }
}

async function filesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => path.relative(folder, path.join(entry.parentPath, entry.name)));
}

if (import.meta.main) {
  try {
    await checkTypes();
    await build();
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  }
}
