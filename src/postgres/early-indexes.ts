import type { ArchiveEntry } from './archive.ts';
import type { Passes } from './passes.ts';

/** An index, or the constraint that makes one, which needs nothing but its table's rows. */
export interface EarlyIndex {
  readonly dumpId: number;
  /** How many tables must have been loaded, in the archive's order: all up to its own. */
  readonly tables: number;
}

/** Those of the last pass that may be built as soon as their own table is loaded. */
export function planEarlyIndexes(entries: readonly ArchiveEntry[], passes: Passes): readonly EarlyIndex[] {
  const there = new Set(passes.preData);
  const wanted = new Set(passes.postData);
  const loads = new Set(passes.data);
  const tables = new Map<number, number>();
  for (const { desc, dumpId, dependencies } of entries) {
    if (desc !== 'TABLE DATA' || !loads.has(dumpId)) continue;
    there.add(dumpId);
    for (const table of dependencies) tables.set(table, tables.size + 1);
  }
  return entries.flatMap(({ dumpId, isPlainIndex: plain, dependencies }) => {
    if (plain !== true || !wanted.has(dumpId) || !dependencies.every((id) => there.has(id))) return [];
    const own = dependencies.flatMap((id) => tables.get(id) ?? []);
    return own.length === 0 ? [] : [{ dumpId, tables: Math.max(...own) }];
  });
}

export interface EarlyBuilder {
  /** What pg_restore --verbose writes to stderr while it loads the rows: it names each table before it begins with it. */
  readonly heard: (text: string) => void;
  /** After the last row: begins nothing more, and tells what is built or being built. */
  stop(): { readonly begun: ReadonlySet<number>; readonly done: Promise<void> };
}

const TABLE_BEGINS = /^pg_restore: processing data for table /;

/**
 * Builds indexes of tables that are loaded while further tables are being loaded, one at a time: one backend parses rows
 * and cannot use a second core. `failed` is told at once of a build that fails; nothing is begun after it.
 */
export function buildEarly(
  plan: readonly EarlyIndex[],
  build: (dumpId: number) => Promise<void>,
  failed: (error: unknown) => void,
): EarlyBuilder {
  const waiting = plan.toSorted((a, b) => a.tables - b.tables);
  const begun = new Set<number>();
  let begunTables = 0;
  let stopped = false;
  let line = '';
  let building: Promise<void> | undefined;

  const ready = () => !stopped && waiting[0] !== undefined && waiting[0].tables < begunTables;
  const next = () => (ready() ? waiting.shift() : undefined);
  const work = async () => {
    for (let index = next(); index !== undefined; index = next()) {
      begun.add(index.dumpId);
      await build(index.dumpId);
    }
  };
  const start = () => {
    if (!ready() || building !== undefined) return;
    building = work().then(
      () => {
        building = undefined;
        // Tables may have begun since it looked last.
        start();
      },
      (error: unknown) => {
        stopped = true;
        failed(error);
        throw error;
      },
    );
    // Awaited by whoever stops.
    building.catch(() => {});
  };

  return {
    heard(text) {
      const lines = (line + text).split('\n');
      line = lines.pop() ?? '';
      begunTables += lines.filter((each) => TABLE_BEGINS.test(each)).length;
      start();
    },
    stop() {
      stopped = true;
      return { begun, done: building ?? Promise.resolve() };
    },
  };
}
