import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { checkDependencies } from '../../../scripts/check-dependencies.ts';

const made: string[] = [];

afterEach(async () => {
  await Promise.all(made.splice(0).map((directory) => rm(directory, { recursive: true })));
});

async function problemsOf(files: Record<string, string>): Promise<readonly string[]> {
  const base = await mkdtemp(path.join(tmpdir(), 'jetbackup-dependencies-'));
  made.push(base);
  for (const [file, text] of Object.entries({ 'package.json': '{ "devDependencies": { "vitest": "1" } }', ...files })) {
    await mkdir(path.dirname(path.join(base, file)), { recursive: true });
    await writeFile(path.join(base, file), text);
  }
  return (await checkDependencies(base)).problems;
}

test('imports that follow the direction are allowed', async () => {
  const problems = await problemsOf({
    'src/core/bytes.ts': 'export const bytes = 1;',
    'src/storage/s3.ts': "import { bytes } from '../core/bytes.ts'; export const s3 = bytes;",
    'src/compose/compose.ts': "import { s3 } from '../storage/s3.ts'; export const store = s3;",
  });
  expect(problems).toEqual([]);
});

test('shipped code may import a library that DESIGN.md lists, and types of any', async () => {
  const problems = await problemsOf({
    'package.json': '{ "devDependencies": { "pg": "1", "vitest": "1" } }',
    'node_modules/pg/package.json': '{ "name": "pg", "main": "index.js" }',
    'node_modules/pg/index.js': 'export const Client = 1;',
    'node_modules/vitest/package.json': '{ "name": "vitest", "main": "index.js" }',
    'node_modules/vitest/index.js': '',
    'src/postgres/a.ts':
      "import { Client } from 'pg'; import type { Mock } from 'vitest'; export const a = (mock: Mock) => [Client, mock];",
  });
  expect(problems).toEqual([]);
});

const wrong: Record<string, { rule: string; files: Record<string, string> }> = {
  'core imports the command line': {
    rule: 'src/core/ imports only what it may',
    files: {
      'src/cli/program.ts': 'export interface Program {}',
      'src/core/errors.ts': "import { Program } from '../cli/program.ts'; console.log(Program);",
    },
  },
  'core imports a type of the command line': {
    rule: 'src/core/ imports only what it may',
    files: {
      'src/cli/program.ts': 'export interface Program {}',
      'src/core/errors.ts': "import type { Program } from '../cli/program.ts'; export type P = Program;",
    },
  },
  'core imports a type of the command line inline': {
    rule: 'src/core/ imports only what it may',
    files: {
      'src/cli/program.ts': 'export interface Program {}',
      'src/core/errors.ts': "import { type Program } from '../cli/program.ts'; export type P = Program;",
    },
  },
  'core passes a type of the command line on': {
    rule: 'src/core/ imports only what it may',
    files: {
      'src/cli/program.ts': 'export interface Program {}',
      'src/core/errors.ts': "export type { Program } from '../cli/program.ts';",
    },
  },
  'core imports the command line lazily': {
    rule: 'src/core/ imports only what it may',
    files: {
      'src/cli/program.ts': 'export const program = 1;',
      'src/core/errors.ts': "export const load = () => import('../cli/program.ts');",
    },
  },
  'core imports the command line within a using declaration': {
    rule: 'src/core/ imports only what it may',
    files: {
      'src/cli/program.ts': 'export const program = 1;',
      'src/core/errors.ts': "export async function load() { await using it = await import('../cli/program.ts'); return it; }",
    },
  },
  'one adapter imports another': {
    rule: 'src/storage/ imports only what it may',
    files: {
      'src/crypto/age.ts': 'export const seal = 1;',
      'src/storage/s3.ts': "import { seal } from '../crypto/age.ts'; export const s3 = seal;",
    },
  },
  'an operation reads the configuration': {
    rule: 'src/operations/ imports only what it may',
    files: {
      'src/config/schema.ts': 'export interface Config {}',
      'src/operations/backup.ts': "import type { Config } from '../config/schema.ts'; export type C = Config;",
    },
  },
  'the catalogue imports an implementation of a port': {
    rule: 'src/catalog/ imports only what it may',
    files: {
      'src/storage/s3.ts': 'export const s3 = 1;',
      'src/catalog/catalog.ts': "import { s3 } from '../storage/s3.ts'; export const store = s3;",
    },
  },
  'shipped code imports a test': {
    rule: 'src/main.ts imports only what it may',
    files: {
      'test/support/memory-store.ts': 'export const store = 1;',
      'src/main.ts': "import { store } from '../test/support/memory-store.ts'; console.log(store);",
    },
  },
  'shipped code imports a tool of development': {
    rule: 'what is shipped uses the libraries that DESIGN.md gives a reason for',
    files: {
      'node_modules/vitest/package.json': '{ "name": "vitest", "main": "index.js" }',
      'node_modules/vitest/index.js': 'export const vi = 1;',
      'src/core/a.ts': "import { vi } from 'vitest'; export const a = vi;",
    },
  },
  'retention imports anything but zod': {
    rule: 'retention decides alone',
    files: {
      'retention/plan.ts': "import { readFile } from 'node:fs/promises'; export const read = readFile;",
    },
  },
  'core reads a file': {
    rule: 'core does no input or output',
    files: {
      'src/core/manifest.ts': "import { readFile } from 'node:fs/promises'; export const read = readFile;",
    },
  },
  'an adapter starts a process past the runner': {
    rule: 'only platform starts processes',
    files: {
      'src/postgres/dump.ts': "import { spawn } from 'node:child_process'; export const run = spawn;",
    },
  },
  'two modules import each other': {
    rule: 'no cycles',
    files: {
      'src/core/a.ts': "import type { B } from './b.ts'; export interface A { b: B }",
      'src/core/b.ts': "import type { A } from './a.ts'; export interface B { a: A }",
    },
  },
  'a folder that the rules do not know': {
    rule: 'every folder of src has its line in mayImport',
    files: {
      'src/core/a.ts': 'export const a = 1;',
      'src/common/b.ts': "import { a } from '../core/a.ts'; export const b = a;",
    },
  },
  'an import that leads nowhere': {
    rule: 'every import leads somewhere',
    files: { 'src/core/a.ts': "import { b } from './b.ts'; export const a = b;" },
  },
};

test.each(Object.entries(wrong))('%s: refused', async (_name, { rule, files }) => {
  expect(await problemsOf(files)).toContainEqual(expect.stringContaining(rule));
});

test('a check that finds nothing to look at fails', async () => {
  expect(await problemsOf({})).toEqual(['found no imports at all: the check itself is broken']);
});
