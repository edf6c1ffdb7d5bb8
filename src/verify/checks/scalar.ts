import type pg from 'pg';
import { JetbackupError, messageOf } from '../../core/errors.ts';
import type { Source } from '../../core/manifest.ts';
import { stateOf } from '../../postgres/database-errors.ts';
import { fixedSettings } from '../../postgres/fingerprint-digest.ts';
import { type OneValue, oneValue } from '../../postgres/one-value.ts';

export interface Asking {
  /** Undefined: what the database has by default. */
  readonly searchPath: string | undefined;
  /** Stands for one more schema after `"$user"`: that of the role that an application connects as. */
  readonly alsoUser?: string;
  readonly timeoutMs: number;
}

const QUERY_CANCELED = '57014';
const SLOW = 'Raise verify.queryTimeout, or give the sandbox more (verify.memory, verify.cpus); or write the query so that it is quicker.';

export type Answer = OneValue | { readonly kind: 'error'; readonly state: string; readonly message: string };

/**
 * Asks one query of the user's in a read-only transaction of its own, with the fingerprint's settings: dates, numbers and
 * zones read the same on every server, and row-level security raises an error rather than hiding rows. Only the server's own
 * trouble is thrown.
 */
export async function ask(client: pg.Client, sql: string, { searchPath, alsoUser, timeoutMs }: Asking): Promise<Answer> {
  const timeout = Math.max(1, Math.round(timeoutMs));
  await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
  const settings = { ...fixedSettings, cursor_tuple_fraction: '1', statement_timeout: String(timeout) };
  await client.query('SELECT set_config(w.name, w.value, true) FROM unnest($1::text[], $2::text[]) AS w (name, value)', [
    Object.keys(settings),
    Object.values(settings),
  ]);
  await (searchPath === undefined
    ? client.query('SET LOCAL search_path TO DEFAULT')
    : client.query(`SELECT set_config('search_path', $1, true)`, [searchPath]));
  if (alsoUser !== undefined) {
    await client.query(
      `SELECT set_config('search_path', replace(current_setting('search_path'), '"$user"', '"$user", ' || quote_ident($1)), true)`,
      [alsoUser],
    );
  }
  const answer = await oneValue(client, sql).catch((error: unknown): Answer => {
    const state = stateOf(error);
    if (state === undefined) throw error;
    // How long it takes says something of the sandbox, and nothing of the backup.
    if (state === QUERY_CANCELED)
      throw new JetbackupError('unverified', `a query took longer than ${timeout} ms in the sandbox`, { hint: SLOW });
    const [message = ''] = messageOf(error).split('\n');
    return { kind: 'error', state, message };
  });
  await client.query('ROLLBACK');
  return answer;
}

/** The database's own search_path, as it was set at the source: a database on a server that is not ours does not have it. */
export function databaseSearchPath(source: Source): string | undefined {
  return searchPathIn(source.settings.filter(({ role }) => role === null).map(({ setting }) => setting));
}

/**
 * The search_path of an application that connects as the database's owner, as is usual. Its order is the server's own
 * (ALTER ROLE, section "Notes"): the role's in this database, the role's, the database's.
 */
export async function applicationSearchPath(client: pg.Client, source: Source): Promise<string | undefined> {
  const own = searchPathIn(source.settings.filter(({ role }) => role === source.owner).map(({ setting }) => setting));
  if (own !== undefined) return own;
  const { rows } = await client.query<{ setting: string }>(
    `SELECT c.setting FROM pg_db_role_setting s JOIN pg_roles r ON r.oid = s.setrole, unnest(s.setconfig) AS c (setting)
      WHERE s.setdatabase = 0 AND r.rolname = $1`,
    [source.owner],
  );
  return searchPathIn(rows.map(({ setting }) => setting)) ?? databaseSearchPath(source);
}

function searchPathIn(settings: readonly string[]): string | undefined {
  return settings.find((setting) => setting.startsWith('search_path='))?.slice('search_path='.length);
}
