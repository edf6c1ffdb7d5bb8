import { access, constants, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { collect } from '../core/bytes.ts';
import { isJetbackupError, JetbackupError } from '../core/errors.ts';
import { ProcessFailed, type ProcessRunner } from '../platform/processes.ts';
import { installLine, programDirectories } from './program-places.ts';

/** One directory of server programs of one version. */
export interface ServerPrograms {
  readonly major: number;
  readonly minor: number;
  readonly directory: string;
  readonly initdb: string;
  readonly postgres: string;
}

export interface ServerProgramsRequest {
  /** Of the server that the data comes from. */
  readonly major: number;
  /** Looked into before the others. */
  readonly directory?: string;
}

/**
 * This machine's server programs of a major version, else of the next newer one: a dump can be restored into a newer server, and
 * into an older one only by luck. Throws `sandbox-unavailable` with the package to install, or the signal's reason.
 */
export async function findServerPrograms(
  deps: { readonly processes: ProcessRunner; readonly env: Readonly<Record<string, string | undefined>> },
  { major, directory }: ServerProgramsRequest,
  signal?: AbortSignal,
): Promise<ServerPrograms> {
  const found: ServerPrograms[] = [];
  const seen = new Set<string>();
  for (const place of [...(directory === undefined ? [] : [directory]), ...(await programDirectories(deps.env))]) {
    const programs = await inspect(deps, place, seen, signal);
    if (programs !== undefined) found.push(programs);
  }
  const chosen = chooseServerPrograms(found, major);
  if (chosen !== undefined) return chosen;
  const there = found.map((programs) => `${versionOf(programs)} (${programs.directory})`);
  const all = there.length === 0 ? 'none were found' : `those found are ${there.join(', ')}`;
  throw new JetbackupError(
    'sandbox-unavailable',
    `this machine has no PostgreSQL server programs (initdb, postgres) of version ${major} or newer: ${all}`,
    { hint: `Install them: ${await installLine('server', major)}. Or verify in a container: --sandbox container.` },
  );
}

/** `15.8`; for a version before its release, whose minor nobody knows, `19`. */
export const versionOf = ({ major, minor }: Pick<ServerPrograms, 'major' | 'minor'>): string =>
  minor < 0 ? `${major}` : `${major}.${minor}`;

/** Of that major or the next newer one, and of that the newest minor; between equals, the first. Pure. */
export function chooseServerPrograms(found: readonly ServerPrograms[], major: number): ServerPrograms | undefined {
  const usable = found.filter((programs) => programs.major >= major);
  return usable.toSorted((a, b) => a.major - b.major || b.minor - a.minor)[0];
}

async function inspect(
  deps: Parameters<typeof findServerPrograms>[0],
  directory: string,
  seen: Set<string>,
  signal?: AbortSignal,
): Promise<ServerPrograms | undefined> {
  const initdb = join(directory, 'initdb');
  const postgres = join(directory, 'postgres');
  try {
    await Promise.all([access(initdb, constants.X_OK), access(postgres, constants.X_OK)]);
    // Links in PATH lead to a directory of its own; initdb wants its postgres beside itself.
    const real = await realpath(postgres);
    if (seen.has(real)) return undefined;
    seen.add(real);
  } catch {
    return undefined;
  }
  const env = { PATH: deps.env['PATH'] ?? '/usr/bin:/bin', LC_ALL: 'C' };
  try {
    const said = await collect(deps.processes.output({ program: postgres, args: ['--version'], env }, signal), 4096);
    const match = /\(PostgreSQL\) (\d+)(?:\.(\d+))?/.exec(Buffer.from(said).toString('utf8'));
    if (match === null) return undefined;
    return { ...{ directory, initdb, postgres }, major: Number(match[1]), minor: Number(match[2] ?? -1) };
  } catch (error) {
    signal?.throwIfAborted();
    // A broken installation is as good as none.
    if (error instanceof ProcessFailed || error instanceof RangeError || isJetbackupError(error, 'tools-missing')) return undefined;
    throw error;
  }
}
