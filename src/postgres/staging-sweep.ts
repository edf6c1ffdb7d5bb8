import type pg from 'pg';
import { targetError } from './database-errors.ts';
import { connectMaintenance } from './maintenance.ts';
import { type ConnectionSettings, withDatabase } from './settings.ts';
import { dropDatabase } from './staging-drop.ts';
import { STAGING_MARK, STAGING_NAME_PATTERN, stagingLock } from './staging-names.ts';
import { isEmpty } from './target.ts';

/**
 * Drops the staging databases of runs that are dead (their lock is free), with whatever such a run left connected to
 * them, and returns their names. A run that was killed before it could comment on its database leaves one without a
 * mark: that goes only while nobody has made anything in it. Throws `target-unreachable`, `target-denied`,
 * `restore-failed`, after all of them were tried.
 */
export async function sweepStaging(settings: ConnectionSettings, signal?: AbortSignal): Promise<string[]> {
  const swept: string[] = [];
  let failure: { readonly error: unknown } | undefined;
  try {
    const { client, settings: pinned } = await connectMaintenance(settings, 'jetbackup sweep', signal);
    try {
      await client.query("SELECT set_config('default_transaction_read_only', 'off', false)");
      const { rows } = await client.query<{ name: string; marked: boolean }>(
        `SELECT datname AS name, c.comment IS NOT NULL AS marked
           FROM pg_database d CROSS JOIN LATERAL (SELECT shobj_description(d.oid, 'pg_database') AS comment) c
          WHERE datname ~ $1 AND (c.comment IS NULL OR starts_with(c.comment, $2)) AND pg_has_role(datdba, 'MEMBER')
          ORDER BY 1`,
        [STAGING_NAME_PATTERN, STAGING_MARK],
      );
      for (const { name, marked } of rows) {
        signal?.throwIfAborted();
        if (!(await claim(client, stagingLock(name)))) continue;
        if (!marked && !(await isUntouched(client, pinned, name, signal))) continue;
        try {
          await dropDatabase(client, pinned, name);
          swept.push(name);
        } catch (error) {
          failure ??= { error };
        }
      }
    } finally {
      await client.end().catch(() => {});
    }
  } catch (error) {
    signal?.throwIfAborted();
    throw targetError(error, settings);
  }
  if (failure !== undefined) throw failure.error;
  return swept;
}

/** What entering a database for the first time writes into it (the relation cache's files) is some 200 KiB. */
const SLACK_BYTES = 1024 * 1024;

/** Whether it is as CREATE DATABASE left it. What cannot be looked into is taken for somebody's. */
async function isUntouched(client: pg.Client, settings: ConnectionSettings, name: string, signal?: AbortSignal): Promise<boolean> {
  try {
    const { rows } = await client.query<{ small: boolean }>(
      "SELECT pg_database_size($1::name) <= pg_database_size('template0'::name) + $2 AS small",
      [name, SLACK_BYTES],
    );
    return rows[0]?.small === true && (await isEmpty(withDatabase(settings, name), signal));
  } catch {
    signal?.throwIfAborted();
    return false;
  }
}

/** Takes the lock when nobody has it. Locks are per database, and that run may have used another maintenance database: so all of them are looked through. */
async function claim(client: pg.Client, key: string): Promise<boolean> {
  const { rows } = await client.query<{ held: boolean }>(
    `SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND (classid::int8 << 32) | objid::int8 = $1::int8) AS held`,
    [key],
  );
  if (rows[0]?.held !== false) return false;
  const lock = await client.query<{ got: boolean }>('SELECT pg_try_advisory_lock($1::int8) AS got', [key]);
  return lock.rows[0]?.got === true;
}
