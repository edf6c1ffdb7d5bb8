import type pg from 'pg';
import * as z from 'zod';
import { JetbackupError } from '../core/errors.ts';
import type { SequenceFingerprint, TableFingerprint } from '../core/fingerprint.ts';
import { type DigestColumn, digestExpression, quoteIdentifier } from './fingerprint-digest.ts';
import { notOfExtension, userSchema } from './inventory-sql.ts';

export interface Table {
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
  readonly kind: TableFingerprint['kind'];
  readonly unlogged: boolean;
  /** WHERE clause of an extension's configuration table; empty for all rows. */
  readonly condition: string;
  /** Of table and TOAST, on disk. */
  readonly bytes: number;
  readonly fileNode: string;
  readonly columns: readonly DigestColumn[];
}

const TableRow = z.object({
  oid: z.number(),
  schema: z.string(),
  name: z.string(),
  kind: z.enum(['table', 'partition', 'materialized-view', 'extension']),
  unlogged: z.boolean(),
  condition: z.string().nullable(),
  bytes: z.string().nullable(),
  file_node: z.string(),
});

// Foreign tables have their data elsewhere, partitioned ones in their partitions; a temporary one is nobody else's.
const tablesQuery = `
SELECT c.oid AS oid, n.nspname::text AS schema, c.relname::text AS name, c.relpersistence = 'u' AS unlogged,
  CASE WHEN e.oid IS NOT NULL THEN 'extension' WHEN c.relkind = 'm' THEN 'materialized-view' WHEN c.relispartition THEN 'partition' ELSE 'table' END AS kind,
  e.extcondition[array_position(e.extconfig, c.oid)] AS condition, pg_table_size(c.oid)::text AS bytes, c.relfilenode::text AS file_node
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace AND ${userSchema('n.nspname')}
LEFT JOIN pg_extension e ON c.oid = ANY (e.extconfig)
WHERE (c.relkind = 'r' OR c.relkind = 'm' AND c.relispopulated) AND c.relpersistence <> 't' AND (e.oid IS NOT NULL OR ${notOfExtension('pg_class', 'c.oid')})`;

const ColumnRow = z.object({
  table: z.number(),
  name: z.string(),
  base: z.number(),
  schema: z.string(),
  type: z.string(),
  element: z.number(),
  output_schema: z.string(),
  output: z.string(),
  own_output: z.boolean(),
});

// Generated columns are computed again by a restore: what they hold follows from the others and their definition.
const columnsQuery = `
WITH RECURSIVE base (type, base) AS (
  SELECT oid, oid FROM pg_type WHERE typtype <> 'd'
  UNION ALL SELECT t.oid, b.base FROM pg_type t JOIN base b ON t.typbasetype = b.type WHERE t.typtype = 'd'
)
SELECT a.attrelid AS table, a.attname::text AS name, t.oid AS base, n.nspname::text AS schema, t.typname::text AS type,
  CASE WHEN p.proname = 'array_out' THEN t.typelem ELSE 0 END AS element, pn.nspname::text AS output_schema, p.proname::text AS output,
  p.proargtypes[0] = t.oid OR p.proargtypes[0] = ANY ('{anyarray,anyenum,anyrange,anymultirange,record}'::regtype[]) AS own_output
FROM pg_attribute a JOIN base b ON b.type = a.atttypid JOIN pg_type t ON t.oid = b.base JOIN pg_namespace n ON n.oid = t.typnamespace
JOIN pg_proc p ON p.oid = t.typoutput JOIN pg_namespace pn ON pn.oid = p.pronamespace
WHERE a.attrelid = ANY ($1::oid[]) AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''`;

/** Every table that has rows of its own in a dump, largest first. */
export async function listTables(client: pg.Client): Promise<Table[]> {
  const tables = z.array(TableRow).parse((await client.query(tablesQuery)).rows);
  const found = z.array(ColumnRow).parse((await client.query(columnsQuery, [tables.map((table) => table.oid)])).rows);
  const columns = Map.groupBy(found, (column) => column.table);
  return tables
    .map(
      (row): Table => ({
        oid: row.oid,
        schema: row.schema,
        name: row.name,
        kind: row.kind,
        unlogged: row.unlogged,
        condition: row.condition ?? '',
        bytes: Number(row.bytes ?? 0),
        fileNode: row.file_node,
        columns: (columns.get(row.oid) ?? []).map((column) => ({
          name: column.name,
          baseType: column.base,
          baseTypeName: `${quoteIdentifier(column.schema)}.${quoteIdentifier(column.type)}`,
          elementType: column.element,
          output: column.own_output ? `${quoteIdentifier(column.output_schema)}.${quoteIdentifier(column.output)}` : undefined,
        })),
      }),
    )
    .sort((a, b) => b.bytes - a.bytes);
}

export const tableName = (table: { readonly schema: string; readonly name: string }) =>
  `${quoteIdentifier(table.schema)}.${quoteIdentifier(table.name)}`;

const LOCKS_PER_STATEMENT = 500;

/**
 * Locks the tables as a dump does (ACCESS SHARE), then makes sure that none was rewritten or truncated between the
 * snapshot and the lock: such a table looks empty through an older snapshot. Materialized views cannot be locked.
 */
export async function lockTables(client: pg.Client, tables: readonly Table[]): Promise<void> {
  const lockable = tables.filter((table) => table.kind !== 'materialized-view');
  for (let start = 0; start < lockable.length; start += LOCKS_PER_STATEMENT) {
    const names = lockable.slice(start, start + LOCKS_PER_STATEMENT).map((table) => `ONLY ${tableName(table)}`);
    await client.query(`LOCK TABLE ${names.join(', ')} IN ACCESS SHARE MODE`);
  }
  const { rows } = await client.query(
    `SELECT t.oid AS oid FROM ROWS FROM (unnest($1::oid[]), unnest($2::oid[])) AS t (oid, node) WHERE pg_relation_filenode(t.oid) IS DISTINCT FROM t.node`,
    [lockable.map((table) => table.oid), lockable.map((table) => table.fileNode)],
  );
  const moved = z.array(z.object({ oid: z.number() })).parse(rows)[0];
  const table = moved === undefined ? undefined : lockable.find((candidate) => candidate.oid === moved.oid);
  if (table !== undefined) {
    throw new JetbackupError(
      'dump-interrupted-by-lock',
      `${tableName(table)} was truncated or rewritten just after the snapshot was taken`,
      {
        hint: 'TRUNCATE, and ALTER TABLE where it rewrites, hide rows from snapshots that are older. Try again.',
      },
    );
  }
}

/** Tables that are read by one statement: one large one, or many small ones, because each round trip and each plan costs. */
export type Batch = readonly Table[];

const BATCH_BYTES = 8 * 1024 * 1024;
const BATCH_TABLES = 100;

export function batches(tables: readonly Table[]): Batch[] {
  const result: Table[][] = [];
  let current: Table[] = [];
  let bytes = 0;
  for (const table of tables) {
    if (current.length > 0 && (bytes + table.bytes > BATCH_BYTES || current.length >= BATCH_TABLES)) {
      result.push(current);
      current = [];
      bytes = 0;
    }
    current.push(table);
    bytes += table.bytes;
  }
  if (current.length > 0) result.push(current);
  return result;
}

const CountRow = z.object({ i: z.number(), rows: z.string(), digest: z.string().nullable() });

/**
 * Counts and hashes a batch, with up to `workers` processes beside the session's own (the server may give fewer).
 * Reads the tables themselves, as a dump does: an index that lost entries must not decide how many rows there are.
 * The savepoint gives back these settings, and the locks that planning takes on every index, of which there may be
 * more than the server has room for.
 */
export async function readBatch(client: pg.Client, batch: Batch, mode: 'content' | 'counts', workers: number): Promise<TableFingerprint[]> {
  const select = batch.map((table, i) => {
    const digest = mode === 'content' ? digestExpression(table.columns) : 'NULL::pg_catalog.text';
    return `SELECT ${i} AS i, pg_catalog.count(*)::text AS rows, ${digest} AS digest FROM ONLY ${tableName(table)} ${table.condition}`;
  });
  const settings = {
    enable_indexscan: 'off',
    enable_indexonlyscan: 'off',
    enable_bitmapscan: 'off',
    max_parallel_workers_per_gather: workers,
    min_parallel_table_scan_size: 0,
    parallel_setup_cost: 0,
    parallel_tuple_cost: 0,
  };
  const set = Object.entries(settings).map(([name, value]) => `SET LOCAL ${name} = ${value}`);
  const statements = ['SAVEPOINT batch', ...set, select.join('\nUNION ALL\n'), 'ROLLBACK TO SAVEPOINT batch', 'RELEASE SAVEPOINT batch'];
  const results: unknown = await client.query(statements.join(';\n'));
  const counted = z.array(z.object({ rows: z.array(z.unknown()) })).parse(results)[1 + set.length];
  const rows = z.array(CountRow).parse(counted?.rows);
  const byIndex = new Map(rows.map((row) => [row.i, row]));
  return batch.map((table, i) => {
    const row = byIndex.get(i);
    if (row === undefined) throw new JetbackupError('bug', `no row for ${tableName(table)}`);
    return { schema: table.schema, name: table.name, kind: table.kind, rows: Number(row.rows), digest: row.digest };
  });
}

const SequenceRow = z.object({ oid: z.number(), schema: z.string(), name: z.string(), increment: z.string(), cycle: z.boolean() });

/** Last values as they are now: no snapshot holds them. Unlogged sequences cannot be read on a standby. */
export async function readSequences(client: pg.Client, standby: boolean): Promise<SequenceFingerprint[]> {
  const { rows } = await client.query(`
    SELECT c.oid AS oid, n.nspname::text AS schema, c.relname::text AS name, s.seqincrement::text AS increment, s.seqcycle AS cycle
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace AND ${userSchema('n.nspname')} JOIN pg_sequence s ON s.seqrelid = c.oid
    WHERE c.relpersistence <> 't' ${standby ? `AND c.relpersistence <> 'u'` : ''}
      AND (${notOfExtension('pg_class', 'c.oid')} OR EXISTS (SELECT FROM pg_extension e WHERE c.oid = ANY (e.extconfig)))
    ORDER BY n.nspname, c.relname`);
  const sequences = z.array(SequenceRow).parse(rows);
  const found: SequenceFingerprint[] = [];
  for (let start = 0; start < sequences.length; start += BATCH_TABLES) {
    const part = sequences.slice(start, start + BATCH_TABLES);
    const select = part.map((sequence, i) => `SELECT ${i} AS i, last_value::text AS last_value, is_called FROM ${tableName(sequence)}`);
    const values = z
      .array(z.object({ i: z.number(), last_value: z.string(), is_called: z.boolean() }))
      .parse((await client.query(select.join(' UNION ALL '))).rows);
    for (const { i, last_value, is_called } of values) {
      const sequence = part[i];
      if (sequence === undefined) continue;
      const { schema, name, increment, cycle } = sequence;
      found.push({ schema, name, lastValue: last_value, isCalled: is_called, increment, cycle });
    }
  }
  return found;
}
