import { readFile, writeFile } from 'node:fs/promises';
import { isBuiltin } from 'node:module';
import path from 'node:path';
import { rolldown } from 'rolldown';
import * as z from 'zod';
import { licensesOf } from './licenses.ts';

/**
 * What pg takes from whoever installed it, and only where NODE_PG_FORCE_NATIVE asks for it: compiled code, which cannot be bundled,
 * and which a plain installation must not need.
 */
const OPTIONAL = ['pg-native'];

/** The oldest Node.js that is supported. */
const transform = { target: 'node22.22' };

const Manifest = z.object({ dependencies: z.record(z.string(), z.string()) });

/**
 * Bundles `src/main.ts` below `base` into the folder `into`, with all that it imports but the `dependencies` of package.json. Throws
 * where the result would ask an installation for a package that does not come with it, and where one comes that it does not ask for.
 */
export async function bundle(base: string, into: string): Promise<void> {
  const manifest = Manifest.parse(JSON.parse(await readFile(path.join(base, 'package.json'), 'utf8')));
  const dependencies = Object.keys(manifest.dependencies);
  // The list of a chunk's imports lacks what a CommonJS module requires, and nobody warns of a require in a `try`.
  const imports = new Map<string, readonly string[]>();

  await using bundling = await rolldown({
    cwd: base,
    input: 'src/main.ts',
    platform: 'node',
    external: (imported) => [...dependencies, ...OPTIONAL].includes(packageOf(imported)),
    transform,
    logLevel: 'warn',
    onLog: (level, log, handle) => handle(log.code === 'UNRESOLVED_IMPORT' ? 'error' : level, log),
    plugins: [
      {
        name: 'imports',
        moduleParsed: ({ id, importedIds, dynamicallyImportedIds }) => {
          imports.set(id, [...importedIds, ...dynamicallyImportedIds]);
        },
      },
    ],
  });
  const { output } = await bundling.write({
    dir: into,
    format: 'esm',
    entryFileNames: '[name].js',
    chunkFileNames: '[name]-[hash].js',
  });
  const modules = output.flatMap((file) => (file.type === 'chunk' ? file.moduleIds : []));

  const outside = modules.flatMap((from) => (imports.get(from) ?? []).map((to) => ({ from, to }))).filter(({ to }) => !imports.has(to));
  const undeclared = outside.filter(({ to }) => !isBuiltin(to) && ![...dependencies, ...OPTIONAL].includes(packageOf(to)));
  const unused = dependencies.filter((name) => !outside.some(({ to }) => packageOf(to) === name));
  const problems = [
    ...undeclared.map(({ from, to }) => `${path.relative(base, from)} imports ${to}, which is neither bundled nor among the dependencies`),
    ...unused.map((name) => `nothing that is built imports ${name}, which is among the dependencies`),
  ];
  if (problems.length > 0) throw new Error(`the build failed:\n${problems.join('\n')}`);
  await writeFile(path.join(into, 'LICENSES.txt'), await licensesOf(modules));
}

function packageOf(imported: string): string {
  return /^(?:@[^/]+\/)?[^/]+/.exec(imported)?.[0] ?? '';
}
