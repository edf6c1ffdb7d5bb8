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
  const runIn = async (database: readonly string[], more: readonly string[]) => {
    const args = ['--globals-only', '--no-password', ...database, ...more];
    const sql = await collect(deps.processes.output({ program: tools.pgDumpall, args, env: libpq.env }, signal), MAX_BYTES);
    if (!isWhole(sql)) throw incomplete(settings);
    return bytesOf(sql);
  };
  // Names of roles are bytes in the encoding of the database that they were made in. That is the maintenance database's more
  // often than that of a database in LATIN1 or EUC_JP, which cannot even send them; so it comes first, as with pg_dumpall itself.
  let database: readonly string[] = [];
  const run = async (...more: string[]) => {
    try {
      return await runIn(database, more);
    } catch (error) {
      if (database.length > 0 || !(error instanceof ProcessFailed) || !/could not connect to databases/.test(error.stderr)) throw error;
      // The one database that this user is known to be let into.
      database = [`--database=${settings.database}`];
      return await runIn(database, more);
    }
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

/** pg_dumpall ends what it writes with this line, in every language; only empty comments stand behind it, and since 2025 sometimes an \unrestrict. */
const LAST_LINE = '-- PostgreSQL database cluster dump complete';
const TAIL_BYTES = 1024;

function isWhole(sql: Uint8Array): boolean {
  const tail = Buffer.from(sql.subarray(Math.max(0, sql.byteLength - TAIL_BYTES))).toString('utf8');
  const lines = tail.split('\n').map((line) => line.trimEnd());
  return lines.findLast((line) => line !== '' && line !== '--' && !line.startsWith('\\unrestrict ')) === LAST_LINE;
}

function incomplete(settings: ConnectionSettings): JetbackupError {
  const what = `the dump of roles and tablespaces of ${describeConnection(settings)} is incomplete: what pg_dumpall wrote ends before its last line`;
  return new JetbackupError('dump-failed', what, {
    hint: 'pg_dumpall ended as if all were well. If the client programs are wrappers (bindir), check that they pass on its whole output and its exit status; then run the backup again.',
  });
}
