import type { CheckResult, RestoreCheck } from '../check.ts';
import { sampleOf } from './amcheck-sample.ts';
import { type Asked, type BtreeIndex, Btrees, btreesQuery, checkIndex, provideAmcheck } from './amcheck-session.ts';
import { anotherBackup, counted, failed, passed, skipped } from './result.ts';
import { inSession } from './session.ts';

/**
 * B-trees are in order, and hold each row of their table: all of them where they fit the budget, a sample above it. An index
 * that holds other values than its expression gives today shows here, and so does one that is out of order.
 */
export const amcheck: RestoreCheck = {
  id: 'amcheck',
  async run(context, signal) {
    if (context.amcheckBytes === 0) return skipped('amcheck is off (verify.amcheck)');
    return await inSession(context, signal, async (client) => {
      await client.query('BEGIN');
      const provided = await provideAmcheck(client, context.sandbox.isOurs);
      if ('lacking' in provided) return skipped(provided.lacking);
      const all = Btrees.parse((await client.query(btreesQuery)).rows);
      const sample = sampleOf(all, context.manifest.id, context.amcheckBytes);
      if (all.length > 0 && sample.length === 0) {
        return skipped(
          `none of ${counted(all.length, 'B-tree')} is within the ${context.amcheckBytes} bytes that may be read (verify.amcheck)`,
        );
      }
      const asked: { index: BtreeIndex; asked: Asked }[] = [];
      for (const index of sample) {
        signal.throwIfAborted();
        asked.push({ index, asked: await checkIndex(client, provided, index) });
      }
      // With the extension and its schema, which were made in this transaction.
      await client.query('ROLLBACK');
      return judge(all, asked);
    });
  },
};

/** The decision, without a server. */
export function judge(all: readonly BtreeIndex[], checked: readonly { readonly index: BtreeIndex; readonly asked: Asked }[]): CheckResult {
  const bytesOf = (indexes: readonly BtreeIndex[]) => indexes.reduce((sum, { bytes }) => sum + bytes, 0);
  const of = (outcome: Asked['outcome']) => checked.filter(({ asked }) => asked.outcome === outcome);
  const [corrupt, unable] = [of('corrupt'), of('unable')];
  const say = ({ index, asked }: (typeof checked)[number]) => `${index.identity}: ${asked.outcome === 'sound' ? 'sound' : asked.message}`;
  const looked = checked.filter(({ asked }) => asked.outcome !== 'unable').map(({ index }) => index);
  const whole = looked.length === all.length ? 'all' : `${looked.length} of`;
  const extent = `${whole} ${counted(all.length, 'B-tree')} checked against ${all.length === 1 ? 'its table' : 'their tables'}, ${bytesOf(looked)} of ${bytesOf(all)} bytes`;
  const left = unable.length === 0 ? '' : `; ${unable.length} cannot be checked`;
  if (corrupt.length > 0) {
    return failed(
      `${corrupt.length} corrupt: ${extent}${left}`,
      `These indexes were built by this restore: is the function or collation that one stands on immutable in truth? See amcheck in PostgreSQL's documentation. ${anotherBackup}`,
      [...corrupt, ...unable].map(say),
    );
  }
  if (looked.length === 0 && all.length > 0) return skipped(`none of ${counted(all.length, 'B-tree')} can be checked`, unable.map(say));
  return passed(all.length === 0 ? 'there are no B-trees' : `${extent}${left}`, unable.map(say));
}
