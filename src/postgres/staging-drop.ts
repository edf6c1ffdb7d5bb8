import pg from 'pg';
import { JetbackupError } from '../core/errors.ts';
import { codeOf, targetError } from './database-errors.ts';
import { connectMaintenance } from './maintenance.ts';
import type { ConnectionSettings } from './settings.ts';

/** What to type where a database of ours could not be dropped. */
export const dropLine = (name: string) => `DROP DATABASE ${pg.escapeIdentifier(name)} WITH (FORCE);`;

/**
 * Ends those client sessions of a database that this role may end. The others (a superuser's monitoring, autovacuum)
 * are left to DROP and RENAME, which wait five seconds for sessions to leave and end autovacuum workers themselves.
 */
export async function endSessions(client: pg.Client, name: string): Promise<void> {
  const { rows } = await client.query<{ pid: number }>(
    `SELECT pid FROM pg_stat_activity
      WHERE datname = $1 AND pid <> pg_backend_pid() AND backend_type = 'client backend' AND pg_has_role(usesysid, 'USAGE')`,
    [name],
  );
  for (const { pid } of rows) {
    await client.query('SELECT pg_terminate_backend($1)', [pid]).catch((error) => {
      // A superuser's session may be ended by superusers only, even by members of his role.
      if (codeOf(error) !== '42501') throw error;
    });
  }
}

/** Drops it when it is there. Throws `target-unreachable`, `target-denied` or `restore-failed`, with the line to type as the hint. */
export async function dropDatabase(client: pg.Client, settings: ConnectionSettings, name: string): Promise<void> {
  try {
    await drop(client, name);
  } catch (first) {
    // The connection that held the lock may be the very thing that broke.
    const broken = codeOf(first) === undefined || codeOf(first) === '25P02' || targetError(first, settings).code === 'target-unreachable';
    if (!broken) throw notDropped(first, settings, name);
    await dropOnceMore(settings, name).catch((error) => {
      throw notDropped(error, settings, name);
    });
  }
}

async function drop(client: pg.Client, name: string): Promise<void> {
  const sql = `DROP DATABASE IF EXISTS ${pg.escapeIdentifier(name)}`;
  try {
    await client.query(`${sql} WITH (FORCE)`);
    return;
  } catch (error) {
    if (codeOf(error) !== '42501') throw error;
  }
  // FORCE refuses at once where there is a session that it may not end; without it, the server waits for that to leave.
  await endSessions(client, name);
  await client.query(sql);
}

async function dropOnceMore(settings: ConnectionSettings, name: string): Promise<void> {
  const { client } = await connectMaintenance(settings, 'jetbackup drop');
  try {
    await client.query("SELECT set_config('default_transaction_read_only', 'off', false)");
    await drop(client, name);
  } finally {
    await client.end().catch(() => {});
  }
}

function notDropped(cause: unknown, settings: ConnectionSettings, name: string): JetbackupError {
  const { code, message } = targetError(cause, settings);
  return new JetbackupError(code, `the database ${name} could not be dropped: ${message}`, { hint: dropLine(name), cause });
}
