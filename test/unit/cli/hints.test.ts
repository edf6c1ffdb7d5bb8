import { globSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { parseSync } from '@swc/core';
import { describe, expect, it } from 'vitest';
import * as z from 'zod';
import { createProgram } from '../../../src/cli/program.ts';

const source = join(import.meta.dirname, '../../../src');

/** Nothing but what stock programs are called with: the repository's RECOVERY.md. */
const STOCK_ONLY = 'operations/recovery.ts';

/** Options of other programs that texts for users name. */
const othersOptions = [
  '--dbname',
  '--list' /* pg_restore */,
  '--globals-only' /* pg_dumpall */,
  '--format',
  '--volumes' /* docker */,
  '--passphrase' /* age */,
];

/** What follows the program's name in sentences about it. Where a command of that name comes, the word must go. */
const prose = ['does', 'itself', 'needs', 'never', 'on', 'read', 'reads', 'runs'];

const program = createProgram({ session: async () => {}, bare: async () => {} }, '0.0.0', { out: () => {}, err: () => {} });
const commands = program.commands.map((command) => command.name());
const options = [program, ...program.commands, ...program.commands.flatMap((command) => command.commands)]
  .flatMap((command) => command.options.map(({ long }) => long))
  .concat('--help');

interface Text {
  readonly file: string;
  readonly text: string;
}

const Literal = z.object({ type: z.literal('StringLiteral'), value: z.string() });
const Template = z.object({ type: z.literal('TemplateLiteral'), quasis: z.array(z.object({ cooked: z.string() })) });

/** Every string of a syntax tree, those of templates with `…` for what is filled in. */
function* strings(node: unknown): Generator<string> {
  if (typeof node !== 'object' || node === null) return;
  const literal = Literal.safeParse(node);
  if (literal.success) yield literal.data.value;
  const template = Template.safeParse(node);
  if (template.success) yield template.data.quasis.map(({ cooked }) => cooked).join('…');
  for (const child of Object.values(node)) yield* strings(child);
}

/** All that the program may say to a user; comments are not among it. */
function texts(): Text[] {
  return globSync('**/*.ts', { cwd: source })
    .filter((file) => file !== STOCK_ONLY)
    .flatMap((file) =>
      [...strings(parseSync(readFileSync(join(source, file), 'utf8'), { syntax: 'typescript' }))].map((text) => ({ file, text })),
    );
}

/** `application_name` of our sessions: "jetbackup inspect". */
const isSessionName = ({ file, text }: Text) =>
  (basename(dirname(file)) === 'postgres' && text.startsWith('jetbackup ')) || text === 'jetbackup sandbox';

describe('what a hint says to type', () => {
  const all = texts();
  const named = (pattern: RegExp, from: readonly Text[]) =>
    from.flatMap(({ file, text }) => Array.from(text.matchAll(pattern), ([, word = '']) => ({ word, file, text })));

  it('names only commands that there are', () => {
    const found = named(
      /\bjetbackup ([a-z]+)/g,
      all.filter((text) => !isSessionName(text)),
    );
    expect(found.filter(({ word }) => commands.includes(word)).length).toBeGreaterThan(10);
    expect(found.filter(({ word }) => !commands.includes(word) && !prose.includes(word))).toEqual([]);
    expect(prose.filter((word) => commands.includes(word))).toEqual([]);
  });

  it('names only options that there are', () => {
    // A string that begins with an option is an argument for a child, not a sentence.
    const found = named(
      /(?<![\w-])(--[a-z][a-z-]*)/g,
      all.filter(({ text }) => !text.startsWith('--') && !text.startsWith('POSTGRES_INITDB_ARGS=')),
    );
    expect(found.length).toBeGreaterThan(10);
    expect(found.filter(({ word }) => !options.includes(word) && !othersOptions.includes(word))).toEqual([]);
  });
});
