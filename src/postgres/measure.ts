import * as z from 'zod';
import { connect } from './client.ts';
import type { ConnectionSettings } from './settings.ts';

export interface DatabaseBytes {
  /** Of tables with their TOAST, of their indexes, and of everything. */
  readonly tables: number;
  readonly indexes: number;
  readonly total: number;
}

const text = z.string().transform(Number);
const Row = z.object({ tables: text, indexes: text, total: text, largest: z.string().nullable() });

/**
 * What a restored database takes, and what an application would wait for: a row of its largest table, over a connection of its own.
 * `firstQuery` is told what the first answer took, ms. Throws `database-unreachable`, `database-denied`, or the signal's reason.
 */
export async function measureDatabase(
  settings: ConnectionSettings,
  signal?: AbortSignal,
): Promise<{ readonly bytes: DatabaseBytes; firstQuery(): Promise<void> }> {
  const options = { applicationName: 'jetbackup measure', ...(signal === undefined ? {} : { signal }) };
  const { client } = await connect(settings, options);
  try {
    const { rows } = await client.query(
      `SELECT coalesce(sum(pg_table_size(c.oid)) FILTER (WHERE c.relkind IN ('r', 'm', 't')), 0)::text AS tables,
              coalesce(sum(pg_relation_size(c.oid)) FILTER (WHERE c.relkind = 'i'), 0)::text AS indexes,
              pg_database_size(current_database())::text AS total,
              (SELECT format('%I.%I', n.nspname, t.relname) FROM pg_class t JOIN pg_namespace n ON n.oid = t.relnamespace
                WHERE t.relkind IN ('r', 'm') AND t.oid >= 16384 AND t.relpersistence = 'p'
                ORDER BY pg_relation_size(t.oid) DESC, t.oid LIMIT 1) AS largest
         FROM pg_class c WHERE c.oid >= 16384`,
    );
    const { largest, ...bytes } = Row.parse(rows[0]);
    return {
      bytes,
      async firstQuery() {
        const { client: application } = await connect(settings, options);
        try {
          await application.query(largest === null ? 'SELECT 1' : `SELECT * FROM ${largest} LIMIT 1`);
        } finally {
          await application.end().catch(() => {});
        }
      },
    };
  } finally {
    await client.end().catch(() => {});
  }
}
