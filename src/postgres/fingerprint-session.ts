import type pg from 'pg';
import * as z from 'zod';
import { JetbackupError, messageOf } from '../core/errors.ts';
import { type ConnectionSettings, openClient } from './connection.ts';
import { codeOf, databaseError } from './database-errors.ts';
import { fixedSettings, probeQuery } from './fingerprint-digest.ts';

export interface FingerprintServer {
  readonly versionNum: number;
  readonly major: number;
  readonly encoding: string;
  readonly probe: string;
  readonly standby: boolean;
  readonly superuser: boolean;
  /** May read pg_largeobject itself, page by page. */
  readonly largeObjectTable: boolean;
}

export interface FingerprintSession extends AsyncDisposable {
  readonly client: pg.Client;
}

/**
 * A connection in a read-only REPEATABLE READ transaction, looking through `snapshot` where one is given. Ending it
 * rolls back. A statement of it never waits longer than `lockTimeoutMs` for a lock.
 */
export async function openSession(
  settings: ConnectionSettings,
  options: { readonly snapshot?: string; readonly lockTimeoutMs: number },
  signal: AbortSignal,
): Promise<FingerprintSession> {
  const { snapshot, lockTimeoutMs } = options;
  const client = await openClient(settings, { applicationName: 'jetbackup fingerprint', signal, lockTimeoutMs });
  try {
    await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
    if (snapshot !== undefined) await client.query(`SET TRANSACTION SNAPSHOT '${snapshot.replaceAll("'", "''")}'`);
    await client.query(
      Object.entries(fixedSettings)
        .map(([name, value]) => `SET LOCAL ${name} = '${value}'`)
        .join('; '),
    );
    // A server of this encoding converts nothing and refuses to send what is not valid in the client's.
    const { rows } = await client.query("SELECT current_setting('server_encoding') AS encoding");
    if (z.object({ encoding: z.string() }).parse(rows[0]).encoding === 'SQL_ASCII') await client.query("SET client_encoding = 'SQL_ASCII'");
  } catch (error) {
    await client.end().catch(() => {});
    throw error;
  }
  return {
    client,
    [Symbol.asyncDispose]: async () => {
      await client.end().catch(() => {});
    },
  };
}

const ServerRow = z.object({
  version: z.string(),
  encoding: z.string(),
  standby: z.boolean(),
  superuser: z.boolean(),
  lo: z.boolean(),
});

export async function describeServer(client: pg.Client): Promise<FingerprintServer> {
  const { rows } =
    await client.query(`SELECT current_setting('server_version_num') AS version, current_setting('server_encoding') AS encoding,
    pg_is_in_recovery() AS standby, current_setting('is_superuser') = 'on' AS superuser,
    has_table_privilege('pg_catalog.pg_largeobject', 'SELECT') AND current_setting('block_size') = '8192' AS lo`);
  const row = ServerRow.parse(rows[0]);
  const probe = z.object({ probe: z.string() }).parse((await client.query(probeQuery)).rows[0]).probe;
  const versionNum = Number(row.version);
  return {
    versionNum,
    major: Math.floor(versionNum / 10_000),
    encoding: row.encoding,
    probe,
    standby: row.standby,
    superuser: row.superuser,
    largeObjectTable: row.lo,
  };
}

/** Turns what a query of the fingerprint threw into an error that says what to do. */
export function fingerprintError(error: unknown, settings: ConnectionSettings, signal: AbortSignal): unknown {
  if (signal.aborted) return signal.reason;
  if (error instanceof JetbackupError) return error;
  const code = codeOf(error);
  const text = messageOf(error);
  if (/row-level security/.test(text)) {
    return new JetbackupError('database-denied', `row-level security hides rows from ${settings.user}: ${text}`, {
      cause: error,
      hint: `A backup must see every row: ALTER ROLE ${settings.user} BYPASSRLS, or connect as a superuser.`,
    });
  }
  if (code === '42501') {
    return new JetbackupError('database-denied', `${settings.user} may not read all of ${settings.database}: ${text}`, {
      cause: error,
      hint: `GRANT pg_read_all_data TO ${settings.user};`,
    });
  }
  if (/conflict with recovery/.test(text)) {
    return new JetbackupError('dump-recovery-conflict', `the standby cancelled a query of the fingerprint: ${text}`, {
      cause: error,
      hint: 'Raise max_standby_streaming_delay or set hot_standby_feedback = on there.',
    });
  }
  if (code === '55P03' || code === '40P01') {
    return new JetbackupError('dump-interrupted-by-lock', `the fingerprint waited too long for a lock: ${text}`, {
      cause: error,
      hint: 'An ALTER, TRUNCATE or VACUUM FULL is running. Try again when it is done.',
    });
  }
  if (code === '53200') {
    return new JetbackupError('dump-failed', `${settings.database} has more tables than the server can lock at once: ${text}`, {
      cause: error,
      hint: 'Raise max_locks_per_transaction there (pg_dump needs it as well) and restart it.',
    });
  }
  if (code === '42P01' || code === '42703' || code === '3F000' || /could not open relation|cache lookup failed/.test(text)) {
    return new JetbackupError('dump-interrupted-by-lock', `something was dropped or altered while the fingerprint was taken: ${text}`, {
      cause: error,
      hint: 'Try again.',
    });
  }
  return databaseError(error, settings, 'dump-failed');
}
