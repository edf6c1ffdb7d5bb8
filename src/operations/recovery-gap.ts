import { Temporal } from 'temporal-polyfill';
import { idInstant } from '../catalog/catalog.ts';
import { listRuns, readRun } from '../catalog/run-records.ts';
import type { DatabaseName } from '../core/ids.ts';
import type { ObjectStore } from '../storage/store.ts';

/** How far back the worst gap is looked for. */
const WINDOW = { hours: 30 * 24 };
/** Run records read at once. */
const AT_ONCE = 16;

export interface RecoveryFigures {
  /** Of the newest recovery point; undefined where there is none in the window. */
  readonly newest: Temporal.Instant | undefined;
  /** Longest time without a new recovery point, up to now; null where there was none in the window. */
  readonly worstGapSeconds: number | null;
}

/**
 * How old the data would have been at worst, had it been lost. By run records and not by what still lies in the repository: what
 * retention has thinned out was there when it would have been needed. A backup counts from the start of its run, which is before
 * its snapshot instant. One GET for each run of the last 30 days. Throws what the store throws.
 */
export async function recoveryFigures(
  store: ObjectStore,
  { database, now }: { readonly database: DatabaseName; readonly now: Temporal.Instant },
  signal: AbortSignal,
): Promise<RecoveryFigures> {
  const since = now.subtract(WINDOW).epochMilliseconds;
  const runs = (await listRuns(store, signal)).filter((id) => idInstant(id).epochMilliseconds >= since);
  const instants: number[] = [];
  for (let next = 0; next < runs.length; next += AT_ONCE) {
    const records = await Promise.all(runs.slice(next, next + AT_ONCE).map((id) => readRun(store, id, signal)));
    for (const record of records) {
      if (record?.operation !== 'backup' || record.result !== 'succeeded' || record.database !== database) continue;
      instants.push(Temporal.Instant.from(record.startedAt).epochMilliseconds);
    }
  }
  return figuresOf(instants, now.epochMilliseconds);
}

/** Pure. Epoch ms in any order; what lies after `now` (a clock that ran ahead) counts as now. */
export function figuresOf(instants: readonly number[], now: number): RecoveryFigures {
  const sorted = instants.map((instant) => Math.min(instant, now)).sort((a, b) => a - b);
  const newest = sorted.at(-1);
  if (newest === undefined) return { newest: undefined, worstGapSeconds: null };
  const gaps = sorted.map((instant, index) => (sorted[index + 1] ?? now) - instant);
  return { newest: Temporal.Instant.fromEpochMilliseconds(newest), worstGapSeconds: Math.max(...gaps) / 1000 };
}
