import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { bundle } from '../../../scripts/bundle.ts';

const made: string[] = [];

afterEach(async () => {
  await Promise.all(made.splice(0).map((directory) => rm(directory, { recursive: true })));
});

/** What comes out of a project with these files, whose package.json asks for the package `installed`, all in one. */
async function bundled(files: Record<string, string>): Promise<string> {
  const base = await mkdtemp(path.join(tmpdir(), 'jetbackup-bundle-'));
  made.push(base);
  const library = { name: 'library', version: '1.2.3', license: 'MIT' };
  const always = {
    'package.json': '{ "dependencies": { "installed": "1" } }',
    'node_modules/library/package.json': JSON.stringify(library),
    'node_modules/library/LICENSE': 'There is no warranty.',
    'node_modules/library/index.js': 'exports.bundled = 1;',
  };
  for (const [file, text] of Object.entries({ ...always, ...files })) {
    await mkdir(path.dirname(path.join(base, file)), { recursive: true });
    await writeFile(path.join(base, file), text);
  }
  const dist = path.join(base, 'dist');
  await bundle(base, dist);
  const texts = await Promise.all((await readdir(dist)).map((file) => readFile(path.join(dist, file), 'utf8')));
  return texts.join('\n');
}

test('what is built leaves out the dependencies, and has all else in it', async () => {
  const text = await bundled({
    'src/main.ts': "import 'node:fs'; import 'installed'; import { bundled } from 'library'; console.log(bundled);",
  });
  expect(text).toMatch(/from "installed"|import "installed"/);
  expect(text).toContain('exports.bundled = 1;');
  expect(text).toContain('library 1.2.3 (MIT)');
});

const used = "import 'library'; import 'installed';";
const library = 'node_modules/library/index.js';
test.each([
  { where: 'ours imports what is not there', files: { 'src/main.ts': `${used} import 'missing';` } },
  { where: 'ours loads what is not there', files: { 'src/main.ts': `${used} await import('missing');` } },
  { where: 'a library requires what is not there', files: { 'src/main.ts': used, [library]: "require('missing');" } },
])('$where: not built', async ({ files }) => {
  await expect(bundled(files)).rejects.toThrow("Could not resolve 'missing'");
});

test('a library tries what is not there: not built', async () => {
  const files = { 'src/main.ts': used, [library]: "try { require('missing'); } catch {}" };
  await expect(bundled(files)).rejects.toThrow(`${library} imports missing, which is neither bundled nor among the dependencies`);
});

test('what an installation brings for nothing: not built', async () => {
  await expect(bundled({ 'src/main.ts': "import 'library';" })).rejects.toThrow('nothing that is built imports installed');
});

test('a dependency counts that is loaded or required only, or a part of it', async () => {
  await bundled({ 'src/main.ts': "await import('installed');" });
  await bundled({ 'src/main.ts': "import 'library';", [library]: "require('installed/part');" });
});

test('the native client that pg can do without need not be there', async () => {
  await bundled({ 'src/main.ts': used, [library]: "try { require('pg-native'); } catch {}" });
});
