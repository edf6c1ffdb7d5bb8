const { readFileSync } = require('node:fs');
const { join } = require('node:path');

// Dependencies point one way (DESIGN.md). What a folder of src may import, besides itself and libraries, stands here
// and nowhere else; whatever is not listed is an error, by `import type` too.
const ports = ['storage/store', 'crypto/sealer', 'crypto/signature', 'compression/codec'].map((port) => `src/${port}[.]ts$`);
const folders = (...names) => names.map((name) => `src/${name}/`);
const adapters = folders('catalog', 'verify', 'report', 'alerts', 'postgres', 'crypto', 'compression', 'storage', 'files');
const base = folders('platform', 'core');

/** Folder or file below src, and the paths that it may import. */
const mayImport = {
  'main[.]ts$': ['src/compose/', 'src/version[.]ts$', ...folders('cli', 'daemon', 'config', 'operations'), ...base],
  'compose/': [...folders('config', 'operations'), ...adapters, 'retention/', ...base],
  'version[.]ts$': ['package[.]json$'],
  // Retention's reasons are put into words where they are shown; a report is a way to show.
  'cli/': ['src/version[.]ts$', ...folders('config', 'operations', 'daemon', 'report', 'metrics'), 'retention/', ...base],
  'daemon/': [...folders('operations', 'metrics'), ...base],
  // What an operation found, in the words of a monitor.
  'metrics/': [...folders('operations'), ...base],
  'config/': ['retention/', ...folders('core')],
  'operations/': [...adapters, 'retention/', ...base],
  // Over the port alone, whatever the store.
  'catalog/': [...ports, 'src/storage/json-object[.]ts$', ...base],
  // A sandbox is a server to connect to, and a check asks it.
  'verify/': [...folders('postgres'), ...base],
  'report/': [...base],
  'alerts/': [...base],
  'postgres/': [...base],
  'crypto/': [...base],
  'compression/': [...base],
  'storage/': [...base],
  'files/': [...base],
  'platform/': folders('core'),
  'core/': [],
};

/** A library, a Node.js module or something unresolvable, which other rules are about. */
const ours = '^(src|retention|scripts|test|docker)/|^package[.]json$';

/** package.json does not tell them from the tools: what is bundled is a development dependency. */
const libraries = readFileSync(join(__dirname, 'DESIGN.md'), 'utf8')
  .split(/^## /m)
  .filter((section) => section.startsWith('Libraries\n'))
  .flatMap((section) => section.match(/^\| `.*?(?= \|)/gm))
  .flatMap((cell) => Array.from(cell.matchAll(/`(.*?)`/g), ([, name]) => name));
if (libraries.length === 0) throw new Error('DESIGN.md has no section "Libraries" with a table of them');

module.exports = {
  forbidden: [
    ...Object.entries(mayImport).map(([from, to]) => ({
      name: `src/${from.replace('[.]ts$', '.ts')} imports only what it may`,
      severity: 'error',
      from: { path: `^src/${from}` },
      to: { path: ours, pathNot: [`^src/${from}`, ...to.map((path) => `^${path}`)] },
    })),
    {
      name: 'every folder of src has its line in mayImport',
      severity: 'error',
      from: { path: '^src/', pathNot: Object.keys(mayImport).map((from) => `^src/${from}`) },
      to: {},
    },
    {
      name: 'retention decides alone: zod and itself',
      severity: 'error',
      from: { path: '^retention/' },
      to: { pathNot: ['^retention/', '/zod/', '^zod$'] },
    },
    {
      name: 'core does no input or output',
      severity: 'error',
      from: { path: '^src/core/' },
      to: {
        dependencyTypes: ['core'],
        path: '^(node:)?(fs|child_process|net|tls|http|https|http2|dgram|dns|cluster|worker_threads|readline)(/|$)',
      },
    },
    {
      name: 'only platform starts processes',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/platform/' },
      to: { path: '^(node:)?child_process$' },
    },
    {
      name: 'what is shipped uses the libraries that DESIGN.md gives a reason for',
      severity: 'error',
      from: { path: '^(src|retention)/' },
      to: {
        dependencyTypes: ['npm', 'npm-dev', 'npm-optional', 'npm-peer'],
        dependencyTypesNot: ['type-only'],
        pathNot: libraries.map((name) => `^(node_modules/)?${name}(/|$)`),
      },
    },
    {
      name: 'every library is listed in package.json',
      severity: 'error',
      from: {},
      to: { dependencyTypes: ['npm-no-pkg', 'npm-unknown'] },
    },
    {
      name: 'scripts import no tests, only their servers and faults',
      severity: 'error',
      from: { path: '^scripts/' },
      to: { path: '^test/', pathNot: '^test/support/' },
    },
    { name: 'no cycles', severity: 'error', from: {}, to: { circular: true } },
    { name: 'every import leads somewhere', severity: 'error', from: {}, to: { couldNotResolve: true } },
  ],
  options: {
    // The only parser it has for TypeScript without the compiler's JavaScript API, which TypeScript 7 does not ship.
    parser: 'swc',
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '^dist/' },
    tsPreCompilationDeps: true,
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'default'],
      extensions: ['.ts', '.js', '.cjs', '.mjs', '.json'],
    },
  },
};
