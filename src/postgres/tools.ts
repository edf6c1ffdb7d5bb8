import { access, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { collect } from '../core/bytes.ts';
import { isJetbackupError, JetbackupError } from '../core/errors.ts';
import { ProcessFailed, type ProcessRunner } from '../platform/processes.ts';
import { installLine, programDirectories } from './program-places.ts';
import { type ClientTools, chooseTools, type ToolsRequest } from './tools-choice.ts';

export type { ClientTools, ToolsRequest };

export interface ToolsDependencies {
  readonly processes: ProcessRunner;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/**
 * The client programs to use with this server: see `chooseTools` for the rule. Throws `tools-missing` with the
 * package to install.
 */
export async function findTools(deps: ToolsDependencies, request: ToolsRequest, signal?: AbortSignal): Promise<ClientTools> {
  const found: ClientTools[] = [];
  const seen = new Set<string>();
  const directories = request.directory === undefined ? await programDirectories(deps.env) : [request.directory];
  for (const directory of directories) {
    const tools = await inspect(deps, directory, seen, signal);
    if (tools !== undefined) found.push(tools);
  }
  const choice = chooseTools(found, request);
  if (choice.tools !== undefined) return choice.tools;
  const hint = choice.installMajor === undefined ? choice.hint : `${choice.hint} ${await installLine('client', choice.installMajor)}`;
  const place = request.directory === undefined ? '' : ` in ${request.directory}`;
  throw new JetbackupError('tools-missing', `${choice.reason}${place}`, { hint });
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
