import type pg from 'pg';
import * as z from 'zod';
import { messageOf } from '../../core/errors.ts';
import { stateOf } from '../../postgres/database-errors.ts';
import { quoteIdentifier } from '../../postgres/fingerprint-digest.ts';
import { qualified, userSchema } from '../../postgres/inventory-sql.ts';

/** Where the extension is made when there is none. Nobody's search_path leads there. */
const SCHEMA = 'jetbackup_amcheck';

const Btree = z.object({ oid: z.string(), identity: z.string(), bytes: z.string().transform(Number) });
export const Btrees = z.array(Btree);
export type BtreeIndex = z.infer<typeof Btree>;

/** Those that amcheck can do: valid, and no other session's. TOAST indexes are the server's own bookkeeping. */
export const btreesQuery = `SELECT x.oid::text AS oid, ${qualified('n.nspname', 'x.relname')} AS identity, pg_relation_size(x.oid)::text AS bytes
  FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_am a ON a.oid = x.relam JOIN pg_namespace n ON n.oid = x.relnamespace
  WHERE ${userSchema('n.nspname')} AND a.amname = 'btree' AND x.relkind = 'i' AND x.relpersistence <> 't' AND i.indisvalid AND i.indisready
  ORDER BY 2`;

export interface Amcheck {
  readonly schema: string;
  /** Since 1.4 (PostgreSQL 17) it looks for duplicates in unique indexes as well. */
  readonly checksUnique: boolean;
}

/**
 * The extension's schema, within the transaction of `client`. On a server of our own the extension is made where it is
 * missing, until that transaction is rolled back; on another one nothing is made.
 */
export async function provideAmcheck(client: pg.Client, isOurs: boolean): Promise<Amcheck | { readonly lacking: string }> {
  const there = await find(client);
  if (there !== undefined) return there.usable ? there : { lacking: "the sandbox's user may not run the functions of amcheck" };
  if (!isOurs) return { lacking: 'the database lacks the extension amcheck, and on a server that is not ours nothing is installed' };
  const { rowCount } = await client.query(`SELECT FROM pg_available_extensions WHERE name = 'amcheck'`);
  if (rowCount === 0) return { lacking: "the sandbox's server lacks the extension amcheck (package postgresql-contrib)" };
  await client.query('SAVEPOINT amcheck');
  try {
    // Event triggers came back with the database, and have no part in this.
    await client.query(`SET LOCAL session_replication_role = 'replica'`);
    await client.query(`SELECT set_config(name, 'off', true) FROM pg_settings WHERE name = 'event_triggers'`);
    await client.query(`CREATE SCHEMA IF NOT EXISTS ${SCHEMA}`);
    await client.query(`CREATE EXTENSION amcheck SCHEMA ${SCHEMA}`);
  } catch (error) {
    // 58P01: its control file is there, and its library is not.
    const said = stateOf(error) ?? (error instanceof Error && 'code' in error && error.code === '58P01' ? '58P01' : undefined);
    if (said === undefined) throw error;
    await client.query('ROLLBACK TO SAVEPOINT amcheck');
    return { lacking: `the extension amcheck cannot be made in the sandbox (${said})` };
  }
  return (await find(client)) ?? { lacking: 'the extension amcheck brings no function that checks a B-tree against its table' };
}

const Found = z.object({ schema: z.string(), arguments: z.int(), usable: z.boolean() });

async function find(client: pg.Client): Promise<(Amcheck & { readonly usable: boolean }) | undefined> {
  const { rows } = await client.query(
    `SELECT n.nspname AS schema, p.pronargs::int4 AS arguments,
        has_function_privilege(p.oid, 'EXECUTE') AND has_schema_privilege(n.oid, 'USAGE') AS usable
      FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
      JOIN pg_proc p ON p.pronamespace = n.oid AND p.proname = 'bt_index_parent_check' AND p.pronargs >= 2
      WHERE e.extname = 'amcheck' ORDER BY p.pronargs DESC LIMIT 1`,
  );
  if (rows.length === 0) return undefined;
  const found = Found.parse(rows[0]);
  return { schema: found.schema, usable: found.usable, checksUnique: found.arguments >= 4 };
}

export type Asked =
  | { readonly outcome: 'sound' }
  /** The server says that the index, or the table under it, is corrupt. */
  | { readonly outcome: 'corrupt'; readonly message: string }
  /** It says why it cannot look. */
  | { readonly outcome: 'unable'; readonly message: string };

/**
 * Checks one index with a lock that keeps writers away, given back afterwards so that many indexes need no room for many
 * locks. `rootdescend` would find again each leaf from the root: many times as slow, and meant for development.
 */
export async function checkIndex(client: pg.Client, { schema, checksUnique }: Amcheck, { oid }: BtreeIndex): Promise<Asked> {
  // By position: each version adds another function, and none has defaults.
  const [heapAllIndexed, rootDescend, checkUnique] = [true, false, true];
  const options = checksUnique ? `${heapAllIndexed}, ${rootDescend}, ${checkUnique}` : `${heapAllIndexed}`;
  await client.query('SAVEPOINT amcheck_index');
  let asked: Asked = { outcome: 'sound' };
  try {
    await client.query(`SELECT ${quoteIdentifier(schema)}.bt_index_parent_check($1::oid::regclass, ${options})`, [oid]);
  } catch (error) {
    const state = stateOf(error);
    if (state === undefined) throw error;
    // Class XX: data_corrupted, index_corrupted, internal_error (PostgreSQL, Appendix A).
    const [message = ''] = messageOf(error).split('\n');
    asked = { outcome: state.startsWith('XX') ? 'corrupt' : 'unable', message };
  }
  await client.query('ROLLBACK TO SAVEPOINT amcheck_index');
  return asked;
}
