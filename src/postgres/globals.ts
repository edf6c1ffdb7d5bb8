import { type ByteStream, bytesOf, collect } from '../core/bytes.ts';
import { JetbackupError } from '../core/errors.ts';
import { ProcessFailed, type ProcessRunner } from '../platform/processes.ts';
import { classifyFailure } from './client-errors.ts';
import { dumpSymptoms } from './dump.ts';
import { libpqEnvironment } from './libpq-environment.ts';
import { type ConnectionSettings, describeConnection } from './settings.ts';
import type { ClientTools } from './tools.ts';

export interface GlobalsRequest {
  readonly settings: ConnectionSettings;
  readonly tools: ClientTools;
  /** Whether to try for the roles' password hashes, which only a superuser may read. */
  readonly rolePasswords: boolean;
  readonly baseEnv: Readonly<Record<string, string | undefined>>;
}

/** Ten thousand roles make some 2 MiB. */
const MAX_BYTES = 64 * 1024 * 1024;

/**
 * Roles, memberships, role settings and tablespaces as SQL, and in words what is missing from it: without the right
 * to read password hashes (managed services) it goes without them. Throws `database-denied`, `database-unreachable`,
 * `tools-missing`, `dump-failed`.
 */
export async function dumpGlobals(
  deps: { readonly processes: ProcessRunner },
  request: GlobalsRequest,
  signal?: AbortSignal,
): Promise<{ stream: ByteStream; warnings: string[] }> {
  const { settings, tools } = request;
  await using libpq = await libpqEnvironment(settings, request.baseEnv, { applicationName: 'jetbackup pg_dumpall' });
  const run = async (...more: string[]) => {
    // --database: the one database that this user is known to be let into.
    const args = ['--globals-only', '--no-password', `--database=${settings.database}`, ...more];
    return bytesOf(await collect(deps.processes.output({ program: tools.pgDumpall, args, env: libpq.env }, signal), MAX_BYTES));
  };
  const classified = (error: unknown) => {
    if (error instanceof RangeError)
      return new JetbackupError('dump-failed', 'the roles and tablespaces make more than 64 MiB of SQL', { cause: error });
    if (!(error instanceof ProcessFailed)) return error;
    return classifyFailure(
      error,
      `the dump of roles and tablespaces of ${describeConnection(settings)} failed`,
      dumpSymptoms,
      'dump-failed',
    );
  };
  if (request.rolePasswords) {
    try {
      return { stream: await run(), warnings: [] };
    } catch (error) {
      if (!(error instanceof ProcessFailed) || !/permission denied/.test(error.stderr)) throw classified(error);
    }
  }
  try {
    const stream = await run('--no-role-passwords');
    const warnings = request.rolePasswords
      ? [
          'the roles are backed up without their passwords, which only a superuser may read: after a restore to a new server, set them by hand (ALTER ROLE ... PASSWORD)',
        ]
      : [];
    return { stream, warnings };
  } catch (error) {
    throw classified(error);
  }
}
