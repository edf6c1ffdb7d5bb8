import { describe, expect, it } from 'vitest';
import { isJetbackupError } from '../../../src/core/errors.ts';
import type { ArchiveEntry, Section } from '../../../src/postgres/archive.ts';
import { planPasses, type Selection, stagesOf } from '../../../src/postgres/passes.ts';

const entry = (
  dumpId: number,
  desc: string,
  tag: string,
  section: Section,
  dependencies: number[] = [],
  namespace: string | null = 'public',
): ArchiveEntry => ({
  dumpId,
  desc,
  tag,
  section,
  dependencies,
  namespace,
  tablespace: null,
  owner: 'app',
  hasData: desc === 'TABLE DATA',
});

const entries = [
  entry(1, 'SCHEMA', 's', 'pre-data', [], null),
  entry(2, 'EXTENSION', 'pg_trgm', 'pre-data', [], null),
  entry(3, 'COMMENT', 'EXTENSION pg_trgm', 'pre-data', [2], null),
  entry(10, 'TABLE', 't', 'pre-data'),
  entry(11, 'ACL', 'TABLE t', 'pre-data', [10]),
  entry(12, 'SEQUENCE', 't_id_seq', 'pre-data', [10]),
  entry(20, 'TABLE', 'u', 'pre-data', [1], 's'),
  entry(30, 'TABLE DATA', 't', 'data', [10]),
  entry(31, 'TABLE DATA', 'u', 'data', [20], 's'),
  entry(32, 'SEQUENCE SET', 't_id_seq', 'data', [12]),
  entry(40, 'INDEX', 'i', 'post-data', [10]),
  entry(41, 'FK CONSTRAINT', 'u fk', 'post-data', [10, 20], 's'),
  entry(42, 'DEFAULT ACL', 'DEFAULT PRIVILEGES FOR TABLES', 'post-data', [], null),
];

describe('planPasses', () => {
  it('grants rights last, when the rows are loaded', () => {
    expect(planPasses(entries, {})).toEqual({ preData: [1, 2, 3, 10, 12, 20], data: [30, 31, 32], postData: [11, 40, 41, 42] });
  });

  it('leaves rights out when asked to, and comments on extensions for whoever does not own them', () => {
    expect(planPasses(entries, { noPrivileges: true, skipExtensionComments: true })).toEqual({
      preData: [1, 2, 10, 12, 20],
      data: [30, 31, 32],
      postData: [40, 41],
    });
  });

  it('takes a table with all that hangs on it alone', () => {
    expect(planPasses(entries, { tables: ['public.t'] })).toEqual({ preData: [10, 12], data: [30, 32], postData: [11, 40] });
  });

  it('brings a foreign key only where both its tables are chosen', () => {
    expect(planPasses(entries, { tables: ['public.t', 's.u'] }).postData).toEqual([11, 40, 41]);
    expect(planPasses(entries, { tables: ['s.u'] }).postData).toEqual([]);
  });

  it('makes the schema of a table that is not in public', () => {
    expect(planPasses(entries, { tables: ['s.u'] })).toEqual({ preData: [1, 20], data: [31], postData: [] });
  });

  it('takes a schema with all that is in it', () => {
    expect(planPasses(entries, { schemas: ['s'] })).toEqual({ preData: [1, 20], data: [31], postData: [] });
  });

  it('takes all when the lists of what was asked for are empty', () => {
    expect(planPasses(entries, { tables: [], schemas: [] })).toEqual(planPasses(entries, {}));
  });

  it('attaches the parts of an index by themselves, after all indexes and before any foreign key', () => {
    const more = [
      entry(43, 'CONSTRAINT', 't pkey', 'post-data', [10]),
      entry(44, 'INDEX ATTACH', 't_1_i', 'post-data', [40]),
      entry(45, 'COMMENT', 'INDEX i', 'post-data', [40]),
      entry(46, 'EVENT TRIGGER', 'e', 'post-data', [], null),
      // Grouped by the key of t, so that pg_dump makes it only after that.
      entry(47, 'MATERIALIZED VIEW', 'totals', 'post-data', [43]),
      entry(48, 'INDEX', 'totals_id', 'post-data', [47]),
    ];
    const stages = (all: readonly ArchiveEntry[]) => stagesOf(all, planPasses(all, {}).postData);
    expect(stages(entries)).toEqual([{ ids: [11, 40, 41, 42], isSerial: false }]);
    expect(stages([...entries, ...more])).toEqual([
      { ids: [40, 43], isSerial: false },
      { ids: [44], isSerial: true },
      { ids: [11, 41, 42, 45, 46, 47, 48], isSerial: false },
    ]);
  });

  it('names everything that the backup lacks, and what may have been meant', () => {
    const usage = (selection: Selection) => {
      try {
        planPasses(entries, selection);
      } catch (error) {
        return error;
      }
      return undefined;
    };
    const error = usage({ tables: ['public.t', 's.t', 't_id_sq', 'nowhere.at_all'], schemas: ['S'] });
    expect(isJetbackupError(error, 'usage')).toBe(true);
    expect(error).toMatchObject({
      message:
        'the backup has no table "s.t" (did you mean "public.t" or "s.u"?); the backup has no table "t_id_sq" (did you mean "public.t_id_seq"?); ' +
        'the backup has no table "nowhere.at_all"; the backup has no schema "S" (did you mean "s"?)',
      hint: expect.stringContaining('schema.table'),
    });
  });
});
