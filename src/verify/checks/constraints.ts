import * as z from 'zod';
import { constraintIdentity, constraintKind } from '../../postgres/inventory-relations.ts';
import { notOfExtension, userSchema } from '../../postgres/inventory-sql.ts';
import type { CheckResult, RestoreCheck } from '../check.ts';
import { type AsAtBackup, asAtBackup } from './compare.ts';
import { anotherBackup, counted, failed, passed } from './result.ts';
import { inSession } from './session.ts';

const Constraint = z.object({ kind: z.string(), identity: z.string(), validated: z.boolean(), mayBeDeclared: z.boolean() });

/**
 * Constraints as the inventory names them. Parts of a foreign key on partitioned tables go with their parent, and what is
 * NOT ENFORCED (18) has nothing to validate. Only CHECK, FOREIGN KEY and NOT NULL can be declared NOT VALID.
 */
function constraintsQuery(major: number): string {
  return `SELECT ${constraintKind} AS kind, ${constraintIdentity} AS identity,
      o.convalidated AS validated, o.contype IN ('c', 'f', 'n') AS "mayBeDeclared"
    FROM pg_constraint o JOIN pg_class c ON c.oid = o.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE ${userSchema('n.nspname')} AND o.contype <> 't' AND NOT (o.contype = 'f' AND o.conparentid <> 0)
      ${major >= 18 ? 'AND o.conenforced' : ''} AND c.relpersistence <> 't' AND ${notOfExtension('pg_class', 'c.oid')}
    ORDER BY 2`;
}

/**
 * Every constraint is validated, but for those that were not at backup. Where the backup has no inventory to say which those
 * are, an unvalidated CHECK or FOREIGN KEY is told and passes: a dump adds each constraint as its source had it, and ADD
 * CONSTRAINT without NOT VALID either validates or fails the restore, so that pg_restore can make one NOT VALID only where
 * the source said so. Any other kind cannot be declared so, and fails.
 */
export const constraints: RestoreCheck = {
  id: 'constraints',
  async run(context, signal) {
    const all = await inSession(context, signal, async (client) => {
      const { rows } = await client.query(`SELECT current_setting('server_version_num')::int4 / 10000 AS major`);
      const { major } = z.object({ major: z.int() }).parse(rows[0]);
      return z.array(Constraint).parse((await client.query(constraintsQuery(major))).rows);
    });
    return judge(all, all.every(({ validated }) => validated) ? undefined : await asAtBackup(context));
  },
};

/** The decision, without a server. `same` is undefined where the backup has no inventory. */
export function judge(all: readonly z.infer<typeof Constraint>[], same: AsAtBackup | undefined): CheckResult {
  const open = all.filter(({ validated }) => !validated);
  if (open.length === 0) return passed(`all ${counted(all.length, 'constraint')} validated`);
  const bad = open.filter(({ kind, identity, mayBeDeclared }) => !(same === undefined ? mayBeDeclared : same(kind, identity)));
  const why = same === undefined ? 'as the dump declares them (NOT VALID)' : 'as at backup (NOT VALID)';
  if (bad.length === 0) {
    return passed(
      `${all.length - open.length} of ${counted(all.length, 'constraint')} validated, the others not, ${why}`,
      open.map(({ identity }) => `the constraint ${identity} is NOT VALID, as its definition says`),
    );
  }
  return failed(
    `${bad.length} of ${counted(all.length, 'constraint')} not validated, which ${bad.length === 1 ? 'was' : 'were'} at backup`,
    `See which rows break them: ALTER TABLE … VALIDATE CONSTRAINT …. ${anotherBackup}`,
    bad.map(({ identity }) => `the constraint ${identity} is not validated`),
  );
}
