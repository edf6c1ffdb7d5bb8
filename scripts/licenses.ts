import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import * as z from 'zod';

const Package = z.object({ name: z.string(), version: z.string(), license: z.string() });

/** What the packages behind these modules want said wherever their code goes: name, version and the text of the licence of each. */
export async function licensesOf(modules: readonly string[]): Promise<string> {
  const folders = new Set(modules.flatMap((module) => packageOf(module) ?? []));
  const texts = await Promise.all([...folders].sort().map(licenseOf));
  return ['Code of these packages is part of the files beside this one.', ...texts].join(`\n\n${'-'.repeat(80)}\n\n`);
}

/** The folder of the innermost package; undefined of what is our own. */
function packageOf(module: string): string | undefined {
  return /^.*[/\\]node_modules[/\\](?:@[^/\\]+[/\\])?[^/\\]+/.exec(module.replace(/^\0/, ''))?.[0];
}

async function licenseOf(folder: string): Promise<string> {
  const { name, version, license } = Package.parse(JSON.parse(await readFile(path.join(folder, 'package.json'), 'utf8')));
  const file = (await readdir(folder)).find((entry) => /^(licen[cs]e|copying)(\.(md|txt))?$/i.test(entry));
  const text = file === undefined ? '' : `\n\n${(await readFile(path.join(folder, file), 'utf8')).trim()}`;
  return `${name} ${version} (${license})${text}`;
}
