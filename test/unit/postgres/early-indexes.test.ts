import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { ArchiveEntry, Section } from '../../../src/postgres/archive.ts';
import { buildEarly, planEarlyIndexes } from '../../../src/postgres/early-indexes.ts';
import { planPasses } from '../../../src/postgres/passes.ts';
import { isPlainIndex } from '../../../src/postgres/plain-index.ts';

const entry = (dumpId: number, desc: string, section: Section, dependencies: number[] = [], plain?: boolean): ArchiveEntry => ({
  dumpId,
  desc,
  section,
  dependencies,
  tag: `${desc} ${dumpId}`,
  namespace: 'public',
  tablespace: null,
  owner: 'app',
  hasData: desc === 'TABLE DATA',
  ...(plain === undefined ? {} : { isPlainIndex: plain }),
});

describe('an index over plain columns', () => {
  it.each([
    'CREATE INDEX i ON public.t USING btree (a);\n',
    'CREATE UNIQUE INDEX "i ""x""" ON public."t (odd)" USING btree (a, "b (c)" DESC NULLS LAST) INCLUDE (d);\n',
    'CREATE INDEX i ON public.t USING gin (doc jsonb_path_ops);\n',
    'CREATE UNIQUE INDEX i ON public.t USING btree (a) NULLS NOT DISTINCT;\n',
    'ALTER TABLE ONLY public.t\n    ADD CONSTRAINT t_pkey PRIMARY KEY (id, "b)");\n',
    'ALTER TABLE ONLY public."T"\n    ADD CONSTRAINT "T_key" UNIQUE NULLS NOT DISTINCT (a) INCLUDE (b);\n',
  ])('is told by its statement: %s', (statement) => expect(isPlainIndex(statement)).toBe(true));

  it.each([
    'CREATE INDEX i ON public.t USING btree (lower(a));\n',
    'CREATE INDEX i ON public.t USING btree (((doc ->> 1)));\n',
    'CREATE INDEX i ON public.t USING btree (a) WHERE public.visible(a);\n',
    'CREATE INDEX i ON public.t USING btree (a) WHERE b;\n',
    "CREATE INDEX i ON public.t USING gist (a public.ops (siglen='32'));\n",
    "CREATE INDEX i ON public.t USING btree (a) WITH (fillfactor='70');\n",
    'CREATE INDEX i ON public.t USING btree (a);\n\nALTER TABLE public.t CLUSTER ON i;\n',
    'CREATE INDEX i ON ONLY public.t USING btree (a);\n',
    'ALTER TABLE ONLY public.t\n    ADD CONSTRAINT x EXCLUDE USING gist (a WITH =);\n',
    'ALTER TABLE ONLY public.t\n    ADD CONSTRAINT x CHECK ((a > 0)) NOT VALID;\n',
    'ALTER TABLE ONLY public.t\n    ADD CONSTRAINT k UNIQUE (a) DEFERRABLE INITIALLY DEFERRED;\n',
    '',
  ])('is not what may call a function, or comes with more: %s', (statement) => expect(isPlainIndex(statement)).toBe(false));
});

describe('what may be built while further tables load', () => {
  const entries = [
    entry(10, 'TABLE', 'pre-data'),
    entry(20, 'TABLE', 'pre-data'),
    entry(30, 'TABLE', 'pre-data'),
    entry(110, 'TABLE DATA', 'data', [10]),
    entry(111, 'SEQUENCE SET', 'data', [10]),
    entry(120, 'TABLE DATA', 'data', [20]),
    entry(201, 'CONSTRAINT', 'post-data', [20], true),
    entry(202, 'INDEX', 'post-data', [10], true),
    entry(203, 'INDEX', 'post-data', [10], false),
    entry(204, 'INDEX', 'post-data', [30], true),
    entry(205, 'INDEX', 'post-data', [10, 202], true),
    entry(206, 'FK CONSTRAINT', 'post-data', [10, 20]),
  ];

  it('is each plain index of a table with rows, from when that table is loaded', () => {
    expect(planEarlyIndexes(entries, planPasses(entries, {}))).toEqual([
      { dumpId: 201, tables: 2 },
      { dumpId: 202, tables: 1 },
    ]);
  });

  it('is nothing that was not chosen', () => {
    const passes = { preData: [10, 20, 30], data: [120], postData: [201, 206] };
    expect(planEarlyIndexes(entries, passes)).toEqual([{ dumpId: 201, tables: 1 }]);
  });
});

describe('building while tables load', () => {
  const begins = (table: string) => `pg_restore: processing data for table "public.${table}"\n`;
  function recorded() {
    const built: number[] = [];
    const ends = new Map<number, (error?: Error) => void>();
    const build = (dumpId: number) => {
      built.push(dumpId);
      return new Promise<void>((resolve, reject) => ends.set(dumpId, (error) => (error === undefined ? resolve() : reject(error))));
    };
    const end = async (dumpId: number, error?: Error) => {
      ends.get(dumpId)?.(error);
      await turn();
    };
    return { built, build, end };
  }
  const plan = [
    { dumpId: 3, tables: 2 },
    { dumpId: 1, tables: 1 },
    { dumpId: 2, tables: 1 },
  ];

  it('begins with a table’s indexes when the next table begins, one at a time', async () => {
    const { built, build, end } = recorded();
    const early = buildEarly(plan, build, () => {});
    early.heard('pg_restore: connecting to database for restore\n');
    early.heard(begins('a'));
    expect(built).toEqual([]);
    const text = begins('b');
    early.heard(text.slice(0, 20));
    expect(built).toEqual([]);
    early.heard(text.slice(20));
    expect(built).toEqual([1]);
    await end(1);
    expect(built).toEqual([1, 2]);
    await end(2);
    early.heard(begins('c'));
    expect(built).toEqual([1, 2, 3]);
    const { begun, done } = early.stop();
    await end(3);
    await done;
    expect([...begun]).toEqual([1, 2, 3]);
  });

  it('begins nothing more once the rows are there, and waits for the one that is being built', async () => {
    const { built, build, end } = recorded();
    const early = buildEarly(plan, build, () => {});
    early.heard(begins('a') + begins('b') + begins('c'));
    const { begun, done } = early.stop();
    await end(1);
    await done;
    expect(built).toEqual([1]);
    expect([...begun]).toEqual([1]);
  });

  it('tells of a failure at once, and begins nothing after it', async () => {
    const { built, build, end } = recorded();
    const failure = new Error('could not create unique index');
    const told: unknown[] = [];
    const early = buildEarly(plan, build, (error) => told.push(error));
    early.heard(begins('a') + begins('b'));
    await end(1, failure);
    expect(told).toEqual([failure]);
    early.heard(begins('c'));
    expect(built).toEqual([1]);
    await expect(early.stop().done).rejects.toBe(failure);
  });
});
