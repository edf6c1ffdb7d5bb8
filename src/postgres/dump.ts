import type { ByteStream } from '../core/bytes.ts';
import { ProcessFailed, type ProcessRunner } from '../platform/processes.ts';
import { classifyFailure, connectionSymptoms, type Symptom } from './client-errors.ts';
import { readWarnings } from './dump-warnings.ts';
import { libpqEnvironment } from './libpq-environment.ts';
import { type ConnectionSettings, describeConnection } from './settings.ts';
import type { ClientTools } from './tools.ts';

export interface DumpRequest {
  /** `ExportedSnapshot.settings`. */
  readonly settings: ConnectionSettings;
  readonly tools: ClientTools;
  /** `ExportedSnapshot.id`. */
  readonly snapshot: string;
  /** How long to wait for a table lock, in ms, before giving way to the application: whoever queues behind us waits too. */
  readonly lockTimeoutMs: number;
  /** Of our own environment, what children may see: PATH, HOME, LANG, TMPDIR... */
  readonly baseEnv: Readonly<Record<string, string | undefined>>;
  /**
   * Told what pg_dump left out or could not vouch for although it ended well (subscriptions, for one, where the user
   * is no superuser): a few lines, each once, before the stream ends. A failed dump tells nothing here.
   */
  readonly onWarning?: (text: string) => void;
}

export const dumpSymptoms: readonly Symptom[] = [
  {
    // --lock-wait-timeout is a statement_timeout for the time of LOCK TABLE.
    pattern: /canceling statement due to (?:statement|lock) timeout[\s\S]*LOCK TABLE ((?:"(?:[^"]|"")*"|[^\s,;"])+)/,
    code: 'dump-interrupted-by-lock',
    hint: 'Another session holds or waits for an exclusive lock (ALTER TABLE, VACUUM FULL, ...) on one of the tables; the first asked for was $1. Look at pg_locks and run the backup again, or raise the lock timeout.',
  },
  {
    pattern: /canceling statement due to (?:statement|lock) timeout/,
    code: 'dump-interrupted-by-lock',
    hint: 'Another session holds or waits for an exclusive lock on one of the tables. Look at pg_locks and run the backup again, or raise the lock timeout.',
  },
  {
    pattern: /conflict with recovery/,
    code: 'dump-recovery-conflict',
    hint: 'The standby had to replay what the dump was still reading: raise max_standby_streaming_delay or set hot_standby_feedback = on there.',
  },
  {
    pattern: /affected by row-level security policy for table ("(?:[^"]|"")*"|\S+)/,
    code: 'database-denied',
    hint: 'Row-level security hides rows of $1 from this user, and a backup without them is none: ALTER ROLE ... BYPASSRLS, or dump as the owner.',
  },
  {
    pattern: /permission denied for (table|sequence|schema|view|materialized view|large object|function|foreign table) (\S+)/,
    code: 'database-denied',
    hint: 'This user may not read $1 $2. As a superuser: GRANT pg_read_all_data TO the user (large objects: be their owner or a superuser).',
  },
  { pattern: /permission denied/, code: 'database-denied', hint: 'As a superuser: GRANT pg_read_all_data TO the user.' },
  {
    pattern: /server version mismatch|unsupported server version/,
    code: 'tools-missing',
    hint: 'pg_dump is older than the server: install the client programs of the server’s major.',
  },
  {
    pattern: /invalid snapshot identifier|could not import the requested snapshot|snapshot "[^"]*" does not exist/,
    code: 'database-unreachable',
    hint: 'The connection that held the snapshot is gone. Run the backup again.',
  },
  ...connectionSymptoms('database-unreachable', 'database-denied'),
];

/**
 * The database as an uncompressed custom-format archive, seen through the snapshot. The stream ends only after
 * pg_dump has exited with 0. Throws `dump-interrupted-by-lock`, `dump-recovery-conflict`, `database-denied`,
 * `database-unreachable`, `tools-missing`, `dump-failed`, or the signal's reason.
 */
export async function* dumpDatabase(deps: { readonly processes: ProcessRunner }, request: DumpRequest, signal?: AbortSignal): ByteStream {
  const { settings, tools } = request;
  await using libpq = await libpqEnvironment(settings, request.baseEnv, { applicationName: 'jetbackup pg_dump' });
  const args = [
    '--format=custom',
    '--compress=0',
    `--snapshot=${request.snapshot}`,
    `--lock-wait-timeout=${request.lockTimeoutMs}`,
    '--no-password',
  ];
  const warnings = readWarnings();
  try {
    yield* deps.processes.output({ program: tools.pgDump, args, env: libpq.env, bulk: true, onStderr: warnings.add }, signal);
  } catch (error) {
    if (!(error instanceof ProcessFailed)) throw error;
    throw classifyFailure(error, `the dump of ${describeConnection(settings)} failed`, dumpSymptoms, 'dump-failed');
  }
  for (const text of warnings.read()) request.onWarning?.(`pg_dump: ${text}`);
}
