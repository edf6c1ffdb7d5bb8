import { access, readdir, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { collect } from '../core/bytes.ts';
import { isJetbackupError, JetbackupError } from '../core/errors.ts';
import { ProcessFailed, type ProcessRunner } from '../platform/processes.ts';
import { type ClientTools, chooseTools, type ToolsRequest } from './tools-choice.ts';

export type { ClientTools, ToolsRequest };

export interface ToolsDependencies {
  readonly processes: ProcessRunner;
  readonly env: Readonly<Record<string, string | undefined>>;
}

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

const PACKAGE_MANAGERS = [
  {
    program: '/usr/bin/apt-get',
    line: (major: number) => `apt-get install postgresql-client-${major} (where the distribution lacks it: https://apt.postgresql.org)`,
  },
  {
    program: '/usr/bin/dnf',
    line: (major: number) => `dnf install postgresql${major} (where the distribution lacks it: https://yum.postgresql.org)`,
  },
  { program: '/sbin/apk', line: (major: number) => `apk add postgresql${major}-client` },
  { program: '/opt/homebrew/bin/brew', line: (major: number) => `brew install postgresql@${major}` },
  { program: '/usr/local/bin/brew', line: (major: number) => `brew install postgresql@${major}` },
  { program: '/home/linuxbrew/.linuxbrew/bin/brew', line: (major: number) => `brew install postgresql@${major}` },
];

/**
 * The client programs to use with this server: see `chooseTools` for the rule. Throws `tools-missing` with the
 * package to install.
 */
export async function findTools(deps: ToolsDependencies, request: ToolsRequest, signal?: AbortSignal): Promise<ClientTools> {
  const found: ClientTools[] = [];
  const seen = new Set<string>();
  const directories = request.directory === undefined ? await searchPath(deps.env) : [request.directory];
  for (const directory of directories) {
    const tools = await inspect(deps, directory, seen, signal);
    if (tools !== undefined) found.push(tools);
  }
  const choice = chooseTools(found, request);
  if (choice.tools !== undefined) return choice.tools;
  const hint = choice.installMajor === undefined ? choice.hint : `${choice.hint} ${await installLine(choice.installMajor)}`;
  const place = request.directory === undefined ? '' : ` in ${request.directory}`;
  throw new JetbackupError('tools-missing', `${choice.reason}${place}`, { hint });
}

async function searchPath(env: ToolsDependencies['env']): Promise<string[]> {
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

async function inspect(
  deps: ToolsDependencies,
  directory: string,
  seen: Set<string>,
  signal?: AbortSignal,
): Promise<ClientTools | undefined> {
  const pgDump = join(directory, 'pg_dump');
  const pgRestore = join(directory, 'pg_restore');
  const pgDumpall = join(directory, 'pg_dumpall');
  try {
    await Promise.all([access(pgDump), access(pgRestore), access(pgDumpall)]);
    const real = await realpath(pgDump);
    // Debian's wrapper picks a version by rules of its own, which may change between two calls.
    if (real.endsWith('/pg_wrapper') || seen.has(real)) return undefined;
    seen.add(real);
  } catch {
    return undefined;
  }
  const env = { PATH: deps.env['PATH'] ?? '/usr/bin:/bin', LC_ALL: 'C' };
  let version: string;
  try {
    version = Buffer.from(await collect(deps.processes.output({ program: pgDump, args: ['--version'], env }, signal), 4096))
      .toString('utf8')
      .trim();
  } catch (error) {
    signal?.throwIfAborted();
    // A broken installation is as good as none.
    if (error instanceof ProcessFailed || error instanceof RangeError || isJetbackupError(error, 'tools-missing')) return undefined;
    throw error;
  }
  const match = /\(PostgreSQL\) (\d+)(?:\.(\d+))?/.exec(version);
  if (match === null) return undefined;
  const psql = join(directory, 'psql');
  const hasPsql = await access(psql).then(
    () => true,
    () => false,
  );
  return {
    major: Number(match[1]),
    minor: Number(match[2] ?? 0),
    version,
    directory,
    pgDump,
    pgRestore,
    pgDumpall,
    ...(hasPsql ? { psql } : {}),
    warnings: [],
  };
}

async function installLine(major: number): Promise<string> {
  for (const manager of PACKAGE_MANAGERS) {
    if (
      await access(manager.program).then(
        () => true,
        () => false,
      )
    )
      return manager.line(major);
  }
  const lines = new Set(PACKAGE_MANAGERS.map(({ line }) => line(major)));
  return [...lines].join('; or ');
}
