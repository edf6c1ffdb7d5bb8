import { createHmac } from 'node:crypto';
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
import { ruleIds } from '../../../src/core/alert.ts';
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

  it('shows a channel of every kind and every threshold in a file that is valid, and names every rule', () => {
    const yaml = blocks(text, 'yaml').find((block) => block.includes('pagerduty:')) ?? '';
    for (const path of [['alerts', 0], ['alertPolicy']])
      for (const key of knownKeys(path)) expect(yaml, key).toMatch(new RegExp(`\\b${key}:`));
    for (const kind of knownKeys(['alerts', 0])) {
      for (const key of knownKeys(['alerts', 0, kind])) expect(text, `${kind}.${key}`).toMatch(new RegExp(`\\b${key}:|\`${key}\``));
    }
    for (const rule of ruleIds) expect(text, rule).toContain(`| \`${rule}\` |`);
    const directory = mkdtempSync(join(tmpdir(), 'jetbackup-docs-'));
    try {
      writeFileSync(join(directory, 'jetbackup.yaml'), yaml, { mode: 0o600 });
      const env = Object.fromEntries(Array.from(yaml.matchAll(/\$\{([A-Z_]+)\}/g), ([, name = '']) => [name, 'a'.repeat(32)]));
      env['SLACK_WEBHOOK_URL'] = 'https://hooks.slack.com/services/T000/B000/XXXX';
      expect(loadConfig({ file: 'jetbackup.yaml', env, cwd: directory }).alerts).toHaveLength(6);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  it('shows a receiver how to check a signature', async () => {
    const [script = ''] = blocks(text, 'js');
    const { isGenuine } = z
      .object({
        isGenuine: z.custom<(header: string, body: string, secret: string, now: number) => boolean>((value) => typeof value === 'function'),
      })
      .parse(await import(`data:text/javascript,${encodeURIComponent(script)}`));
    const mac = createHmac('sha256', 'secret').update('1795608000.{}').digest('hex');
    const header = `t=1795608000,v1=${mac}`;
    expect(isGenuine(header, '{}', 'secret', 1_795_608_100)).toBe(true);
    expect(isGenuine(header, '{ }', 'secret', 1_795_608_100)).toBe(false);
    expect(isGenuine(header, '{}', 'other', 1_795_608_100)).toBe(false);
    expect(isGenuine(header, '{}', 'secret', 1_795_608_301)).toBe(false);
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

const manifest = z
  .object({ files: z.array(z.string()), dependencies: z.record(z.string(), z.string()), devDependencies: z.record(z.string(), z.string()) })
  .parse(JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')));

describe('the libraries in DESIGN.md', () => {
  const sections = readFileSync(join(root, 'DESIGN.md'), 'utf8').split(/^## /m);
  const [, installed = '', bundled = ''] = sections.find((text) => text.startsWith('Libraries\n'))?.split(/^(?:Installed|Bundled):/m) ?? [];
  const named = (table: string) =>
    Array.from(table.matchAll(/^\| (`.*?) \|/gm), ([, cell = '']) => cell.replaceAll('`', '').split(', ')).flat();

  it('are installed exactly where it says so', () => {
    expect(named(installed).sort()).toEqual(Object.keys(manifest.dependencies).sort());
  });

  it('are those of the bundle otherwise', () => {
    expect(named(bundled)).toContain('pg');
    expect(Object.keys(manifest.devDependencies)).toEqual(expect.arrayContaining(named(bundled)));
  });
});

describe('what npm install brings', () => {
  const { files } = manifest;
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
