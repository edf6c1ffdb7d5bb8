import { readdir } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';
import type { IConfiguration, ICruiseResult } from 'dependency-cruiser';
import { importsOf } from './imports.ts';

const root = path.resolve(import.meta.dirname, '..');
const FOLDERS = ['src', 'retention', 'scripts', 'test'];

/** Holds the imports of every TypeScript file below `base` against .dependency-cruiser.cjs. */
export async function checkDependencies(base: string): Promise<{ readonly modules: number; readonly problems: readonly string[] }> {
  const rules: Required<Pick<IConfiguration, 'forbidden' | 'options'>> = createRequire(import.meta.url)(
    path.join(root, '.dependency-cruiser.cjs'),
  );
  const files = (await readdir(base, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => path.relative(base, path.join(entry.parentPath, entry.name)))
    .filter((file) => FOLDERS.some((folder) => file.startsWith(`${folder}${path.sep}`)));
  const output = await importsOf(files, base, { ...rules.options, validate: true, ruleSet: { forbidden: rules.forbidden } });

  // A parser that is not there, or no longer fits, makes dependency-cruiser find nothing and report success.
  const cruised = new Map(output.modules.map((module) => [module.source, module]));
  const unseen = files.filter((file) => !cruised.has(file)).map((file) => `${file}: was not looked at`);
  const empty = files.length === 0 || !output.modules.some((module) => module.dependencies.length > 0);
  return {
    modules: files.length,
    problems: [...(empty ? ['found no imports at all: the check itself is broken'] : []), ...unseen, ...violations(output)],
  };
}

function violations(result: ICruiseResult): string[] {
  return result.summary.violations.map(({ from, to, rule, cycle }) => {
    const through = cycle === undefined ? to : cycle.map((step) => step.name).join(' -> ');
    return `${from} -> ${through}: ${rule.name}`;
  });
}

if (import.meta.main) {
  const { modules, problems } = await checkDependencies(root);
  for (const problem of problems) console.error(problem);
  console.log(`dependencies: ${modules} modules, ${problems.length} problems`);
  process.exitCode = problems.length === 0 ? 0 : 1;
}
