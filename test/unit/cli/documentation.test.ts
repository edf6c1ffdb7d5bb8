import { existsSync, globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, normalize } from 'node:path';
import { describe, expect, it } from 'vitest';
import * as z from 'zod';
import { documents, ErrorDocument } from '../../../src/cli/json.ts';
import { exitTexts } from '../../../src/cli/registry.ts';
import { knownVariables } from '../../../src/config/environment.ts';
import { loadConfig } from '../../../src/config/load.ts';
import { knownKeys } from '../../../src/config/schema.ts';
import { catalogue } from '../../../src/core/errors.ts';

const root = join(import.meta.dirname, '../../..');
const page = (name: string) => readFileSync(join(root, 'docs', name), 'utf8');
const blocks = (text: string, language: string) =>
  Array.from(text.matchAll(new RegExp(`\`\`\`${language}\n([\\s\\S]*?)\`\`\``, 'g')), (match) => match[1] ?? '');

describe('docs/JSON.md', () => {
  const text = page('JSON.md');

  it('shows documents of exactly the shapes that are printed', () => {
    const shown = blocks(text, 'json').map((block) => JSON.parse(block) as { command?: keyof typeof documents });
    expect(shown.length).toBeGreaterThan(2);
    for (const document of shown) (document.command === undefined ? ErrorDocument : documents[document.command]).parse(document);
  });

  it('names every error code beside its exit status', () => {
    for (const [code, { exit }] of Object.entries(catalogue)) {
      const row = text.split('\n').find((line) => line.startsWith('|') && line.includes(`\`${code}\``));
      expect(
        row
          ?.split('|')[1]
          ?.split(',')
          .map((status) => Number(status)),
        code,
      ).toContain(exit);
    }
  });

  it('has a section for every command', () => {
    for (const command of Object.keys(documents)) expect(text).toContain(`## \`${command}\``);
  });
});

describe('docs/CONFIGURATION.md', () => {
  const text = page('CONFIGURATION.md');

  it('shows a file that is valid, and every key that there is', () => {
    const [yaml = ''] = blocks(text, 'yaml');
    for (const path of [
      [],
      ['databases', 0],
      ['encryption'],
      ['signing'],
      ['compression'],
      ['restore'],
      ['prune'],
      ['verify'],
      ['objectives'],
    ]) {
      for (const key of knownKeys(path)) expect(yaml, key).toMatch(new RegExp(`\\b${key}:`));
    }
    for (const key of knownKeys(['retention'])) expect(text, key).toContain(`\`${key}\``);
    const directory = mkdtempSync(join(tmpdir(), 'jetbackup-docs-'));
    try {
      writeFileSync(join(directory, 'jetbackup.yaml'), yaml, { mode: 0o600 });
      expect(loadConfig({ file: 'jetbackup.yaml', env: {}, cwd: directory }).databases[0]?.name).toBe('shop');
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  it('names every environment variable', () => {
    for (const name of knownVariables) expect(text).toContain(`\`${name}`);
  });
});

describe('--help', () => {
  it('names every exit status of the catalogue', () => {
    for (const { exit } of Object.values(catalogue)) expect(exitTexts).toHaveProperty(String(exit));
  });
});

describe('what npm install brings', () => {
  const { files } = z.object({ files: z.array(z.string()) }).parse(JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')));
  const isPacked = (path: string) => files.some((entry) => path === entry || path.startsWith(`${entry}/`));

  it('has every page, and every file that a page links to', () => {
    const pages = ['README.md', ...globSync('docs/*.md', { cwd: root }), ...files.filter((name) => name.endsWith('.md'))];
    const links = pages.flatMap((from) =>
      Array.from(readFileSync(join(root, from), 'utf8').matchAll(/\]\((?!https?:)([^)#]+)/g), ([, to = '']) =>
        normalize(join(dirname(from), to)),
      ),
    );
    expect(links).toContain('docs/JSON.md');
    for (const path of new Set([...pages, ...links, 'LICENSE'])) {
      expect({ path, there: existsSync(join(root, path)), packed: isPacked(path) }).toEqual({ path, there: true, packed: true });
    }
  });
});
