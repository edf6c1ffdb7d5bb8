import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import * as z from 'zod';

const Package = z.object({ name: z.string(), version: z.string(), license: z.string() });

/**
 * What the packages behind these modules want said wherever their code goes: name, version and the text of the licence of each.
 * Throws where a package has no such text: then its code must not be part of ours.
 */
export async function licensesOf(modules: readonly string[]): Promise<string> {
  const folders = new Set(modules.flatMap((module) => packageOf(module) ?? []));
  const texts = await Promise.all([...folders].sort().map(licenseOf));
  return ['Code of these packages is part of the files beside this one.', ...texts].join(`\n\n${'-'.repeat(80)}\n\n`);
}

/** The folder of the innermost package; undefined of what is our own. */
function packageOf(module: string): string | undefined {
  const folder = /^.*[/\\]node_modules[/\\](?:@[^/\\]+[/\\])?[^/\\]+/.exec(module.replace(/^\0/, ''))?.[0];
  // What is in no file is the bundler's: it puts functions of its own into what it makes.
  return folder ?? (module.startsWith('\0') ? path.dirname(fileURLToPath(import.meta.resolve('rolldown/package.json'))) : undefined);
}

async function licenseOf(folder: string): Promise<string> {
  const { name, version, license } = Package.parse(JSON.parse(await readFile(path.join(folder, 'package.json'), 'utf8')));
  const entries = (await readdir(folder, { withFileTypes: true })).filter((entry) => entry.isFile()).map((entry) => entry.name);
  const filesLike = (pattern: RegExp) =>
    Promise.all(
      entries
        .filter((entry) => pattern.test(entry))
        .sort()
        .map((entry) => readFile(path.join(folder, entry), 'utf8')),
    );
  const own = await filesLike(/^(licen[cs]e|copying)([-.].*)?$/i);
  const texts = own.length > 0 ? own : (await filesLike(/^readme(\..*)?$/i)).flatMap(licenseSection);
  // Every licence disclaims warranty; its bare name, or a link to it, does not.
  if (!texts.some((text) => /\bwarrant/i.test(text))) throw new Error(`${name} ${version} brings no text of its licence (${license})`);
  return [`${name} ${version} (${license})`, ...texts, ...(await filesLike(/^notice([-.].*)?$/i))].map((text) => text.trim()).join('\n\n');
}

/** What stands below the heading "License" of a README. */
function licenseSection(readme: string): string[] {
  return Array.from(readme.matchAll(/^#+ *licen[cs]e\b.*\n(?<text>(?:(?!#+ ).*(?:\n|$))*)/gim), (match) => match.groups?.['text'] ?? '');
}
