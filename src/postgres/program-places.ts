import { access, readdir } from 'node:fs/promises';
import { join } from 'node:path';

/** Where packages put the programs; `*` stands for a version. */
const PLACES = [
  '/usr/lib/postgresql/*/bin', // Debian, Ubuntu
  '/usr/pgsql-*/bin', // Red Hat, from yum.postgresql.org
  '/usr/libexec/postgresql*', // Alpine
  '/usr/lib/postgresql*/bin', // SUSE
  '/usr/local/pgsql/bin', // from source
  '/opt/homebrew/opt/postgresql@*/bin',
  '/usr/local/opt/postgresql@*/bin',
  '/home/linuxbrew/.linuxbrew/opt/postgresql@*/bin',
  '/opt/homebrew/opt/libpq/bin',
  '/usr/local/opt/libpq/bin',
  '/opt/local/lib/postgresql*/bin', // MacPorts
  '/Applications/Postgres.app/Contents/Versions/*/bin',
];

/** What is installed: the programs that connect to a server, or the server. */
export type ProgramKind = 'client' | 'server';

interface PackageManager {
  readonly program: string;
  /** Package of a major version. */
  readonly name: (kind: ProgramKind, major: number) => string;
  readonly install: string;
  /** Where newer and older majors are packaged. */
  readonly elsewhere?: string;
}

const homebrew = { name: (_: ProgramKind, major: number) => `postgresql@${major}`, install: 'brew install' };
const PACKAGE_MANAGERS: readonly PackageManager[] = [
  {
    program: '/usr/bin/apt-get',
    name: (kind, major) => (kind === 'client' ? `postgresql-client-${major}` : `postgresql-${major}`),
    ...{ install: 'apt-get install', elsewhere: 'https://apt.postgresql.org' },
  },
  {
    program: '/usr/bin/dnf',
    name: (kind, major) => (kind === 'client' ? `postgresql${major}` : `postgresql${major}-server`),
    ...{ install: 'dnf install', elsewhere: 'https://yum.postgresql.org' },
  },
  {
    program: '/sbin/apk',
    name: (kind, major) => (kind === 'client' ? `postgresql${major}-client` : `postgresql${major}`),
    install: 'apk add',
  },
  { program: '/opt/homebrew/bin/brew', ...homebrew },
  { program: '/usr/local/bin/brew', ...homebrew },
  { program: '/home/linuxbrew/.linuxbrew/bin/brew', ...homebrew },
];

/** Where programs of PostgreSQL may lie: the directories of PATH, then those of packages. */
export async function programDirectories(env: Readonly<Record<string, string | undefined>>): Promise<string[]> {
  const directories = (env['PATH'] ?? '').split(':').filter((entry) => entry.startsWith('/'));
  for (const place of PLACES) directories.push(...(await expand(place)));
  return directories;
}

/** The directories that a pattern with at most one `*` stands for. */
async function expand(pattern: string): Promise<string[]> {
  const steps = pattern.split('/');
  const at = steps.findIndex((step) => step.includes('*'));
  if (at === -1) return [pattern];
  const parent = steps.slice(0, at).join('/');
  const [before = '', after = ''] = (steps[at] ?? '').split('*');
  try {
    const names = await readdir(parent);
    return names
      .filter(
        (name) => name.startsWith(before) && name.endsWith(after) && /^[\d.]+$/.test(name.slice(before.length, name.length - after.length)),
      )
      .map((name) => join(parent, name, ...steps.slice(at + 1)));
  } catch {
    return [];
  }
}

/** How to install this major here: the package manager's command; those of all of them where there is none that we know. */
export async function installLine(kind: ProgramKind, major: number): Promise<string> {
  const line = ({ install, name, elsewhere }: PackageManager) => {
    const more = elsewhere === undefined ? '' : ` (where the distribution lacks it: ${elsewhere})`;
    return `${install} ${name(kind, major)}${more}`;
  };
  for (const manager of PACKAGE_MANAGERS) {
    if (
      await access(manager.program).then(
        () => true,
        () => false,
      )
    )
      return line(manager);
  }
  return [...new Set(PACKAGE_MANAGERS.map(line))].join('; or ');
}
