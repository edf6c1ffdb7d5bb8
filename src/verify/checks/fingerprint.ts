import type { Difference } from '../../core/fingerprint.ts';
import { digestsCompare, refreshedViews } from '../../postgres/fingerprint.ts';
import type { RestoreCheck } from '../check.ts';
import { type Compared, compare, expectedOf } from './compare.ts';
import { anotherBackup, counted, failed, passed, skipped } from './result.ts';

type Kind = Difference['kind'];

const words: Partial<Record<Kind, (count: number) => string>> = {
  'table-missing': (count) => `${counted(count, 'table')} missing`,
  'table-extra': (count) => `${counted(count, 'table')} that ${count === 1 ? 'was' : 'were'} not there at backup`,
  rows: (count) => `${counted(count, 'table')} with another number of rows`,
  content: (count) => `${counted(count, 'table')} with other contents`,
  sequence: (count) => `${counted(count, 'sequence')} behind`,
  'large-objects': () => 'other large objects',
};

/** Rows, contents, sequences and large objects are what the dump's own snapshot held. */
export const fingerprint: RestoreCheck = {
  id: 'fingerprint',
  async run(context) {
    const expected = expectedOf(context);
    if (typeof expected === 'string') return skipped(expected);
    const compared = await compare(context, expected);
    const found = compared.differences.filter(({ kind }) => words[kind] !== undefined);
    if (found.length === 0) return passed(summary(compared), refreshedViews(compared.expected, compared.actual));
    const told = Object.entries(words).flatMap(([kind, say]) => {
      const count = found.filter((difference) => difference.kind === kind).length;
      return count === 0 ? [] : [say(count)];
    });
    return failed(
      `not what the dump's snapshot held: ${told.join(', ')}`,
      anotherBackup,
      found.map(({ message }) => message),
    );
  },
};

function summary({ expected, actual }: Compared): string {
  const { tables, sequences, largeObjects, unread = [] } = expected;
  const views = tables.filter(({ kind }) => kind === 'materialized-view').length;
  const rows = tables.filter(({ kind }) => kind !== 'materialized-view').reduce((sum, table) => sum + table.rows, 0);
  const what = [
    `${counted(tables.length - views, 'table')} with ${counted(rows, 'row')}`,
    counted(sequences.length, 'sequence'),
    counted(largeObjects.count, 'large object'),
  ].join(', ');
  const unreadable = new Set([...unread, ...(actual.unread ?? [])].map(({ schema, name }) => JSON.stringify([schema, name]))).size;
  const left = [
    ...(unreadable === 0 ? [] : [`${counted(unreadable, 'table')} could not be read at backup`]),
    ...(views === 0 ? [] : [`${counted(views, 'materialized view')} refreshed by the restore`]),
  ];
  const unlike = expected.mode === 'content' && !digestsCompare({ expected, actual });
  const how =
    expected.mode === 'counts'
      ? 'contents were not compared (fingerprint: counts)'
      : unlike
        ? 'contents were not compared, because the two servers do not hash alike (encoding or byte order)'
        : 'contents compared row for row';
  return [`${what} as in the dump's snapshot`, how, ...left].join('; ');
}
