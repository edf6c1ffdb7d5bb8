import * as z from 'zod';
import { notOfExtension, qualified, userSchema } from '../../postgres/inventory-sql.ts';
import type { CheckResult, RestoreCheck } from '../check.ts';
import { type AsAtBackup, asAtBackup } from './compare.ts';
import { anotherBackup, counted, failed, passed } from './result.ts';
import { inSession } from './session.ts';

const Index = z.object({ identity: z.string(), usable: z.boolean(), lacksParts: z.boolean() });

/** `lacksParts`: an index of a partitioned table that not each partition has its valid part of. */
const indexesQuery = `SELECT ${qualified('n.nspname', 'x.relname')} AS identity, i.indisvalid AND i.indisready AND i.indislive AS usable,
    x.relkind = 'I' AND EXISTS (SELECT FROM pg_inherits t WHERE t.inhparent = i.indrelid AND NOT EXISTS (
      SELECT FROM pg_inherits p JOIN pg_index ci ON ci.indexrelid = p.inhrelid
      WHERE p.inhparent = i.indexrelid AND ci.indrelid = t.inhrelid AND ci.indisvalid)) AS "lacksParts"
  FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = x.relnamespace
  WHERE ${userSchema('n.nspname')} AND c.relpersistence <> 't' AND ${notOfExtension('pg_class', 'c.oid')}
  ORDER BY 1`;

/**
 * Every index is valid, but for those on partitioned tables that were not at backup. No other can rightly be invalid: a dump
 * leaves the invalid ones out. Where the backup has no inventory, one on a partitioned table passes when a partition has no
 * part of it, for then the source had it so: a dump attaches each part that there was.
 */
export const indexes: RestoreCheck = {
  id: 'indexes',
  async run(context, signal) {
    const all = await inSession(context, signal, async (client) => z.array(Index).parse((await client.query(indexesQuery)).rows));
    return judge(all, all.every(({ usable }) => usable) ? undefined : await asAtBackup(context));
  },
};

/** The decision, without a server. `same` is undefined where the backup has no inventory. */
export function judge(all: readonly z.infer<typeof Index>[], same: AsAtBackup | undefined): CheckResult {
  const invalid = all.filter(({ usable }) => !usable);
  if (invalid.length === 0) return passed(`all ${counted(all.length, 'index', 'indexes')} valid`);
  const bad = invalid.filter(({ identity, lacksParts }) => !(same === undefined ? lacksParts : same('index', identity)));
  if (bad.length === 0) {
    return passed(
      `${all.length - invalid.length} of ${counted(all.length, 'index', 'indexes')} valid, the others not, as at backup: their partitions lack parts`,
      invalid.map(({ identity }) => `the index ${identity} is invalid: not each partition has its part of it`),
    );
  }
  return failed(
    `${bad.length} of ${counted(all.length, 'index', 'indexes')} not valid`,
    `REINDEX INDEX … shows why it cannot be built. ${anotherBackup}`,
    bad.map(({ identity }) => `the index ${identity} is not valid`),
  );
}
