import { createHash } from 'node:crypto';
import type pg from 'pg';

/** A lock's name as the 64-bit key of PostgreSQL's advisory locks, in decimal. Locks are per database. */
export function advisoryKey(name: string): string {
  return createHash('sha256').update(`jetbackup:${name}`).digest().readBigInt64BE(0).toString();
}

/** Who holds it, in words; undefined when nobody does, or the server does not tell. */
export async function advisoryHolder(client: pg.Client, key: string): Promise<string | undefined> {
  // pg_locks shows the high half of the key as classid and the low half as objid.
  const { rows } = await client.query<{ pid: number; application: string | null; since: string | null }>(
    `SELECT l.pid, a.application_name AS application, to_char(a.backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS since
       FROM pg_locks l LEFT JOIN pg_stat_activity a USING (pid)
      WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
        AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND (l.classid::int8 << 32) | l.objid::int8 = $1::int8`,
    [key],
  );
  const row = rows[0];
  if (row === undefined) return undefined;
  const details = [
    row.application === null || row.application === '' ? undefined : `"${row.application}"`,
    row.since === null ? undefined : `connected since ${row.since}`,
  ];
  const known = details.filter((detail) => detail !== undefined);
  return `server process ${row.pid}${known.length === 0 ? '' : ` (${known.join(', ')})`}`;
}
