import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { licensesOf } from '../../../scripts/licenses.ts';

const made: string[] = [];

afterEach(async () => {
  await Promise.all(made.splice(0).map((directory) => rm(directory, { recursive: true })));
});

const text = 'Copyright 2026 Somebody. Permission is granted. There is no warranty.';

/** Of a package with these files, one module of which is bundled. */
async function licensesWith(files: Record<string, string>): Promise<string> {
  const base = await mkdtemp(path.join(tmpdir(), 'jetbackup-licenses-'));
  made.push(base);
  const folder = path.join(base, 'node_modules/@some/library');
  await mkdir(folder, { recursive: true });
  const manifest = JSON.stringify({ name: '@some/library', version: '1.2.3', license: 'MIT' });
  for (const [file, content] of Object.entries({ 'package.json': manifest, ...files })) await writeFile(path.join(folder, file), content);
  return await licensesOf([path.join(folder, 'lib/index.js'), path.join(base, 'src/main.ts')]);
}

test.each(['LICENSE', 'license', 'LICENCE.md', 'LICENSE-MIT.txt', 'COPYING'])('the text of %s goes with the code', async (file) => {
  const licenses = await licensesWith({ [file]: text });
  expect(licenses).toContain(`@some/library 1.2.3 (MIT)\n\n${text}`);
});

test('all of several texts and the notice go with the code', async () => {
  const licenses = await licensesWith({
    'LICENSE-MIT': text,
    'LICENSE-APACHE': `Apache: ${text}`,
    'NOTICE.txt': 'This has parts of another.',
  });
  expect(licenses).toContain(`Apache: ${text}\n\n${text}\n\nThis has parts of another.`);
});

test('a package that has its licence in the README alone is named with that section', async () => {
  const licenses = await licensesWith({
    'README.md': `# library\n\nHow to use it.\n\n## License (MIT)\n\n${text}\n\nThe end.\n\n## Thanks\n`,
  });
  expect(licenses).toMatch(new RegExp(`\\(MIT\\)\n\n${text}\n\nThe end\\.$`));
});

const without: Record<string, Record<string, string>> = {
  'no file at all': {},
  'a notice alone': { 'NOTICE.txt': `Parts of another: ${text}` },
  'a README that names the licence only': { 'README.md': '# library\n\n## License\n\nMIT\n\n## Warranty\n\nNone.' },
  'a file that links to the licence': { LICENSE: 'See https://opensource.org/license/mit' },
};

test.each(Object.entries(without))('%s: the package cannot be bundled', async (_name, files) => {
  await expect(licensesWith(files)).rejects.toThrow('@some/library 1.2.3 brings no text of its licence (MIT)');
});

test('functions that the bundler adds go with its licence', async () => {
  expect(await licensesOf(['\0rolldown/runtime.js'])).toMatch(/^rolldown \d\S+ \(MIT\)\n\n.*Permission is hereby granted/ms);
});
