import type pg from 'pg';
import * as z from 'zod';
import type { Fingerprint } from '../core/fingerprint.ts';
import { beside, type Omission, serverSays } from './beside.ts';
import { openClient } from './client.ts';
import { codeOf } from './database-errors.ts';
import { quoteIdentifier } from './fingerprint-digest.ts';
import type { ConnectionSettings } from './settings.ts';

/** The row by which a backup shows from inside the data how recent it is. */
export interface CanaryRow {
  readonly schema: string;
  readonly table: string;
  /** Id of the backup; the row's key. */
  readonly backup: string;
}

export type Canary = NonNullable<Fingerprint['canary']>;

/** Rows that the table keeps. */
export const CANARY_ROWS = 100;
const COLUMNS = '(backup text PRIMARY KEY, written_at timestamptz NOT NULL)';
const COMMENT = `One row for each of the last ${CANARY_ROWS} backups by jetbackup, written just before its snapshot: a restored backup shows by it how recent it is.`;
const STATEMENT_TIMEOUT_SECONDS = 30;

const TableState = z.object({
  standby: z.boolean(),
  schemaThere: z.boolean(),
  tableThere: z.boolean(),
  usage: z.boolean(),
  create: z.boolean(),
  write: z.boolean(),
});
export type CanaryTableState = z.infer<typeof TableState>;

/**
 * Writes the row in one short transaction and forgets the oldest; makes the table where there is none. A row that is there
 * already stays as it is. Gives what stood in the way, with the line to type, and throws nothing but the signal's reason:
 * a backup without a canary is still one.
 */
export async function writeCanary(
  settings: ConnectionSettings,
  request: CanaryRow & { readonly lockTimeoutMs: number },
  signal: AbortSignal,
): Promise<Omission | undefined> {
  try {
    const client = await openClient(settings, { applicationName: 'jetbackup canary', signal, lockTimeoutMs: request.lockTimeoutMs });
    try {
      return await insist(() => write(client, settings, request));
    } finally {
      await client.end().catch(() => {});
    }
  } catch (error) {
    signal.throwIfAborted();
    return failureOf(error, request);
  }
}

/** Two backups into different repositories may make the table, or trim it, at the same moment: one of them has to do it over. */
async function insist<T>(work: () => Promise<T>): Promise<T> {
  const collisions = ['23505', '42P07', '42710', '40P01', '40001'];
  for (let left = 2; ; left -= 1) {
    try {
      return await work();
    } catch (error) {
      if (left === 0 || !collisions.includes(codeOf(error) ?? '')) throw error;
    }
  }
}

async function write(client: pg.Client, { user }: ConnectionSettings, row: CanaryRow): Promise<Omission | undefined> {
  const state = await look(client, row);
  const obstacle = canaryObstacle(state, row, user);
  if (obstacle !== undefined) return obstacle;
  const table = nameOf(row);
  try {
    // READ WRITE: roles for backups are often read only by default.
    await client.query('BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE');
    // Waits for no synchronous standby: a row that is only for the dump must not hang with it.
    await client.query(`SET LOCAL synchronous_commit = 'local'; SET LOCAL statement_timeout = '${STATEMENT_TIMEOUT_SECONDS}s'`);
    if (!state.tableThere) {
      await client.query(`CREATE TABLE IF NOT EXISTS ${table} ${COLUMNS}; COMMENT ON TABLE ${table} IS '${COMMENT}'`);
    }
    await client.query(`INSERT INTO ${table} (backup, written_at) VALUES ($1, now()) ON CONFLICT DO NOTHING`, [row.backup]);
    // Never its own row, also where the server's clock was turned back and others look newer.
    await client.query(
      `DELETE FROM ${table} WHERE backup <> $1 AND backup IN (SELECT backup FROM ${table} ORDER BY written_at DESC, backup DESC OFFSET ${CANARY_ROWS})`,
      [row.backup],
    );
    await client.query('COMMIT');
    return undefined;
  } catch (error) {
    await client.query('ROLLBACK').catch(() => {});
    throw error;
  }
}

async function look(client: pg.Client, { schema, table }: CanaryRow): Promise<CanaryTableState> {
  const { rows } = await client.query(
    `SELECT pg_is_in_recovery() AS standby, n.oid IS NOT NULL AS "schemaThere", c.oid IS NOT NULL AS "tableThere",
            coalesce(has_schema_privilege(n.oid, 'USAGE'), false) AS usage, coalesce(has_schema_privilege(n.oid, 'CREATE'), false) AS create,
            coalesce(has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT')
              AND has_table_privilege(c.oid, 'DELETE'), false) AS write
       FROM (SELECT) AS one LEFT JOIN pg_namespace n ON n.nspname = $1 LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = $2`,
    [schema, table],
  );
  return TableState.parse(rows[0]);
}

/** Why this user cannot write the row there, and what somebody who may should type; undefined where it can. */
export function canaryObstacle(state: CanaryTableState, row: CanaryRow, user: string): Omission | undefined {
  if (state.standby) {
    return omission('the source is a standby, which takes no writes', 'Back up from the primary, or set canary: false for this database.');
  }
  const [schema, table, role] = [quoteIdentifier(row.schema), nameOf(row), quoteIdentifier(user)];
  const steps = [
    ...(state.schemaThere ? [] : [`CREATE SCHEMA ${schema};`]),
    ...(state.tableThere || (state.usage && state.create) ? [] : [`CREATE TABLE ${table} ${COLUMNS};`]),
    ...(state.usage ? [] : [`GRANT USAGE ON SCHEMA ${schema} TO ${role};`]),
    ...(state.write || (!state.tableThere && state.usage && state.create) ? [] : [`GRANT SELECT, INSERT, DELETE ON ${table} TO ${role};`]),
  ];
  if (steps.length === 0) return undefined;
  const why = state.schemaThere
    ? `this user may not ${state.tableThere ? 'write to its table' : 'create its table'}`
    : 'the schema of its table is not there';
  return omission(why, `As the owner or a superuser: ${steps.join(' ')}`);
}

function failureOf(error: unknown, row: CanaryRow): Omission {
  const code = codeOf(error);
  const text = `an error (${code === undefined ? 'no connection' : `SQLSTATE ${code}`})`;
  if (code === '55P03') return omission('its table was locked for too long', `Who locks ${nameOf(row)}? Look at pg_locks.`);
  if (code === '42703') {
    return omission('its table has other columns', `${nameOf(row)} is another’s: name one for the canary alone, which the backup makes.`);
  }
  return omission(text, `${serverSays(error)} The canary’s table is ${nameOf(row)}.`);
}

function omission(why: string, hint: string): Omission {
  return { text: `no canary was written: ${why}`, hint };
}

/**
 * Reads the row back through the snapshot of `client`, with the fingerprint's fixed settings: what is recorded is what the
 * dump shows. Undefined, and told, where it is not there. Throws as `beside` does.
 */
export async function readCanary(client: pg.Client, row: CanaryRow, onOmission: (omission: Omission) => void): Promise<Canary | undefined> {
  const read = await beside(client, async () => {
    const { rows } = await client.query(
      `SELECT to_char(written_at::timestamptz AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS "writtenAt" FROM ${nameOf(row)} WHERE backup = $1`,
      [row.backup],
    );
    return rows.length === 0 ? undefined : z.object({ writtenAt: z.iso.datetime() }).parse(rows[0]).writtenAt;
  });
  const { schema, table, backup } = row;
  if ('value' in read && read.value !== undefined) return { schema, table, backup, writtenAt: read.value };
  const why = 'error' in read ? serverSays(read.error) : `Is there a trigger, a rule or row-level security on ${nameOf(row)}?`;
  onOmission({ text: 'no canary was recorded: its row is not to be seen in the snapshot', hint: why });
  return undefined;
}

function nameOf({ schema, table }: Pick<CanaryRow, 'schema' | 'table'>): string {
  return `${quoteIdentifier(schema)}.${quoteIdentifier(table)}`;
}
