import type pg from 'pg';
import { Temporal } from 'temporal-polyfill';
import * as z from 'zod';
import { JetbackupError, messageOf } from '../core/errors.ts';
import type { Server, Source } from '../core/manifest.ts';
import { advisoryHolder, advisoryKey } from './advisory-lock.ts';
import { connect } from './client.ts';
import { databaseError } from './database-errors.ts';
import { type ConnectionSettings, describeConnection } from './settings.ts';
import { hiddenFromUser, readServer, readSource } from './source.ts';

/** A snapshot that others can look through (`SET TRANSACTION SNAPSHOT`, `pg_dump --snapshot`) for as long as it is held. Disposing releases it and the lock. */
export interface ExportedSnapshot extends AsyncDisposable {
  readonly id: string;
  /** Everything committed before it is in the snapshot. */
  readonly instant: Temporal.Instant;
  readonly server: Server;
  /** Tells this running server from any other, also from a clone of it and from itself before a restart: nobody else holds its locks. */
  readonly instance: string;
  readonly source: Source;
  /** Nailed to the very server that holds the snapshot: use these for pg_dump and the fingerprint, because a host name may lead to several servers. */
  readonly settings: ConnectionSettings;
  /** What this snapshot cannot show, in words. */
  readonly warnings: readonly string[];
  /** Rejects with `database-unreachable` or `dump-recovery-conflict` when the connection that holds snapshot and lock is gone. */
  assertHeld(): Promise<void>;
}

/** A server that answers nothing for so long is taken for gone (ms). */
const ANSWER_TIMEOUT_MS = 15_000;

const InstantRow = z.object({ instant: z.string().nullable() });
const INSTANT = `'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'`;

/**
 * Opens a read-only REPEATABLE READ transaction and exports its snapshot. An advisory lock on `lockName` lives and
 * dies with that transaction, so that two runs never back up the same database at once and a dead run blocks nobody.
 * Throws `locked`, `database-unreachable`, `database-denied` (also for a connection pooler).
 */
export async function exportSnapshot(
  settings: ConnectionSettings,
  options: {
    readonly lockName: string;
    /**
     * Called once the lock is held and before the snapshot is taken, with the settings of this very server: what it commits
     * there is in the snapshot, and no run that finds the lock taken comes so far.
     */
    readonly onLocked?: (settings: ConnectionSettings) => Promise<void>;
    readonly signal?: AbortSignal;
  },
): Promise<ExportedSnapshot> {
  const { signal } = options;
  const { client, settings: pinned } = await connect(settings, {
    applicationName: 'jetbackup snapshot',
    ...(signal === undefined ? {} : { signal }),
  });
  let lost: unknown;
  client.on('error', (error) => {
    lost ??= error;
  });
  try {
    const server = await readServer(client);
    // Before the snapshot is taken: what is replayed in between is in the snapshot, and makes the instant only too early.
    const replayed = server.standby ? await standbyInstant(client, settings) : undefined;
    const key = advisoryKey(options.lockName);
    if (options.onLocked !== undefined) {
      await lock(client, 'pg_try_advisory_lock', key, settings);
      await options.onLocked(pinned);
    }
    await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
    await lock(client, 'pg_try_advisory_xact_lock', key, settings);
    // From here on the lock lives and dies with the transaction, as the snapshot does.
    if (options.onLocked !== undefined) await client.query('SELECT pg_advisory_unlock($1::int8)', [key]);
    const { rows } = await client.query(
      `SELECT pg_export_snapshot() AS id, to_char(transaction_timestamp() AT TIME ZONE 'UTC', ${INSTANT}) AS instant`,
    );
    const row = z.object({ id: z.string(), instant: z.string() }).parse(rows[0]);
    const started = await client.query(
      "SELECT extract(epoch FROM pg_postmaster_start_time())::text || ' ' || current_setting('port') AS instance",
    );
    const { instance } = z.object({ instance: z.string() }).parse(started.rows[0]);
    const source = await readSource(client, server.versionNum);
    const warnings = [...(server.standby ? await standbyWarnings(client) : []), ...(await hiddenFromUser(client))];
    return {
      id: row.id,
      instant: replayed ?? Temporal.Instant.from(row.instant),
      server,
      instance,
      source,
      settings: pinned,
      warnings,
      assertHeld: async () => {
        signal?.throwIfAborted();
        await assertHeld(client, lost, settings);
      },
      [Symbol.asyncDispose]: async () => {
        await client.end().catch(() => {});
      },
    };
  } catch (error) {
    await client.end().catch(() => {});
    signal?.throwIfAborted();
    throw databaseError(error, settings, 'dump-failed');
  }
}

async function lock(
  client: pg.Client,
  how: 'pg_try_advisory_lock' | 'pg_try_advisory_xact_lock',
  key: string,
  settings: ConnectionSettings,
): Promise<void> {
  const { rows } = await client.query<{ got: boolean }>(`SELECT ${how}($1::int8) AS got`, [key]);
  if (rows[0]?.got === true) return;
  const holder = await advisoryHolder(client, key);
  throw new JetbackupError(
    'locked',
    `another run is backing up ${describeConnection(settings)}: ${holder ?? 'its server process is not visible'}`,
    { hint: 'Wait for it to end. If it hangs, pg_terminate_backend() of that process frees the lock.' },
  );
}

async function assertHeld(client: pg.Client, lost: unknown, settings: ConnectionSettings): Promise<void> {
  const gone = (cause: unknown) => {
    const text = messageOf(cause);
    const conflict = /conflict with recovery/.test(text);
    return new JetbackupError(
      conflict ? 'dump-recovery-conflict' : 'database-unreachable',
      `the connection that held the snapshot of ${describeConnection(settings)} is gone: ${text}`,
      {
        cause,
        hint: conflict
          ? 'The standby had to replay what the dump was still reading: raise max_standby_streaming_delay or set hot_standby_feedback = on there.'
          : 'The dump is incomplete without it. Run the backup again.',
      },
    );
  };
  if (lost !== undefined) throw gone(lost);
  let timer: NodeJS.Timeout | undefined;
  const silence = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer for ${ANSWER_TIMEOUT_MS / 1000} s`)), ANSWER_TIMEOUT_MS);
  });
  try {
    const { rows } = await Promise.race([
      client.query<{ held: boolean }>(
        "SELECT EXISTS (SELECT FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory' AND granted) AS held",
      ),
      silence,
    ]);
    if (rows[0]?.held !== true) throw new Error('its transaction has ended');
  } catch (error) {
    throw gone(error);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * A standby shows what it has replayed. When it has replayed all that the primary had flushed by its last message,
 * it is as current as that message; else as current as the last commit that it replayed; on a primary without
 * commits, as the checkpoint that it started from.
 */
async function standbyInstant(client: pg.Client, settings: ConnectionSettings): Promise<Temporal.Instant> {
  const ask = async (sql: string) => {
    try {
      return InstantRow.parse((await client.query(sql)).rows[0]).instant;
    } catch (cause) {
      throw databaseError(cause, settings, 'database-denied');
    }
  };
  const instant =
    (await ask(
      `SELECT to_char(greatest(pg_last_xact_replay_timestamp(),
                (SELECT last_msg_send_time FROM pg_stat_wal_receiver
                  WHERE status = 'streaming' AND latest_end_lsn <= pg_last_wal_replay_lsn())) AT TIME ZONE 'UTC', ${INSTANT}) AS instant`,
    )) ?? (await ask(`SELECT to_char(checkpoint_time AT TIME ZONE 'UTC', ${INSTANT}) AS instant FROM pg_control_checkpoint()`));
  if (instant === null) {
    throw new JetbackupError('database-denied', `${describeConnection(settings)} does not tell how far it has replayed`, {
      hint: 'Grant pg_monitor to this user, or back up from the primary.',
    });
  }
  return Temporal.Instant.from(instant);
}

async function standbyWarnings(client: pg.Client): Promise<string[]> {
  const { rows } = await client.query("SELECT count(*)::int4 AS count FROM pg_class WHERE relpersistence = 'u' AND relkind = 'r'");
  const { count } = z.object({ count: z.int() }).parse(rows[0]);
  return count === 0 ? [] : [`the source is a standby, which has no rows of unlogged tables: ${count} of them are empty in this backup`];
}
