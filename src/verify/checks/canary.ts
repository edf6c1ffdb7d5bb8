import * as z from 'zod';
import { stateOf } from '../../postgres/database-errors.ts';
import { quoteIdentifier } from '../../postgres/fingerprint-digest.ts';
import type { CheckContext, CheckResult, RestoreCheck } from '../check.ts';
import { expectedOf } from './compare.ts';
import { anotherBackup, counted, failed, passed, skipped } from './result.ts';
import { inSession } from './session.ts';

const Rows = z.object({ total: z.string(), writtenAt: z.iso.datetime().nullable(), newer: z.string(), later: z.string() });
export type CanaryRows = z.infer<typeof Rows>;
type Canary = NonNullable<NonNullable<CheckContext['expected']>['canary']>;

/** The row that the backup wrote just before its snapshot is there, and is the newest: the data is as recent as the manifest says. */
export const canary: RestoreCheck = {
  id: 'canary',
  async run(context, signal) {
    const expected = expectedOf(context);
    if (typeof expected === 'string') return skipped(expected);
    const row = expected.canary;
    if (row === undefined) return skipped('the backup wrote no canary (canary)');
    return await inSession(context, signal, async (client) => {
      const table = `${quoteIdentifier(row.schema)}.${quoteIdentifier(row.table)}`;
      const text = `to_char(max(written_at) FILTER (WHERE backup = $1) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`;
      try {
        const { rows } = await client.query(
          `SELECT count(*)::text AS total, ${text} AS "writtenAt", count(*) FILTER (WHERE written_at > $2)::text AS newer,
              count(*) FILTER (WHERE written_at > $3::timestamptz + interval '1 s')::text AS later
            FROM ${table}`,
          [row.backup, row.writtenAt, context.manifest.snapshotInstant],
        );
        return judge(row, Rows.parse(rows[0]));
      } catch (error) {
        const state = stateOf(error);
        if (state === undefined) throw error;
        if (state === '42501' && !context.sandbox.isOurs) return skipped("the sandbox's user may not read the canary's table");
        return failed(`the canary's table cannot be read as the backup wrote it (${state})`, anotherBackup, [
          `${table}: ${error instanceof Error ? error.message : ''}`,
        ]);
      }
    });
  },
};

/**
 * The decision, without a server. `later` than the snapshot (by more than the second that lies between its instant and
 * itself at most) can no row be. Between ours and the snapshot there may be rows of
 * backups into other repositories, which are told: the data is newer than ours alone would prove.
 */
export function judge(row: Canary, { total, writtenAt, newer, later }: CanaryRows): CheckResult {
  const found = `the canary's table has ${counted(Number(total), 'row')}`;
  if (writtenAt === null) {
    return failed(`the row that the backup wrote before its snapshot is not there; ${found}`, anotherBackup, [
      `no row of ${row.schema}.${row.table} is of the backup ${row.backup}, written at ${row.writtenAt}`,
    ]);
  }
  if (Date.parse(writtenAt) !== Date.parse(row.writtenAt)) {
    return failed('the row that the backup wrote before its snapshot is of another time', anotherBackup, [
      `the row of the backup ${row.backup} says ${writtenAt}, at backup ${row.writtenAt}`,
    ]);
  }
  if (later !== '0') {
    return failed(
      `${counted(Number(later), 'row')} of the canary's table ${later === '1' ? 'is' : 'are'} later than the snapshot`,
      `Was the source server's clock turned back? Then it passes again once the clock has caught up. Otherwise: ${anotherBackup}`,
      [`${row.schema}.${row.table} holds rows from after the moment that the backup is said to show`],
    );
  }
  const between = newer === '0' ? 'is the newest' : `is followed by ${newer} of other backups, from before the snapshot`;
  return passed(`the row that the backup wrote at ${row.writtenAt} is there and ${between}`);
}
