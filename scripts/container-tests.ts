import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { importsOf } from './imports.ts';

/**
 * The test files that reach testcontainers through their imports: what cannot run where there is no container engine. What the program
 * itself imports does not count: it loads that only for a sandbox in a container.
 */
export async function containerTests(root: string): Promise<readonly string[]> {
  const tests = (await readdir(path.join(root, 'test'), { recursive: true }))
    .filter((file) => file.endsWith('.test.ts'))
    .map((file) => path.join('test', file));
  const output = await importsOf(tests, root, { parser: 'swc', doNotFollow: { path: 'node_modules' } });
  const imports = new Map(output.modules.map((module) => [module.source, module.dependencies.map((dependency) => dependency.resolved)]));

  const reaches = (file: string, seen: Set<string>): boolean => {
    if (file.includes('node_modules/testcontainers/')) return true;
    if (seen.has(file) || file.startsWith(`src${path.sep}`)) return false;
    seen.add(file);
    return (imports.get(file) ?? []).some((next) => reaches(next, seen));
  };
  return tests.filter((file) => reaches(file, new Set()));
}
