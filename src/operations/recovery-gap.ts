import { Temporal } from 'temporal-polyfill';
import { idInstant, listCommitted } from '../catalog/catalog.ts';
import { listRuns, runReader } from '../catalog/run-records.ts';
import type { DatabaseName, Id } from '../core/ids.ts';
import type { ObjectStore } from '../storage/store.ts';

/** How far back the worst gap is looked for, ms: 30 days. */
export const GAP_WINDOW_MS = 30 * 24 * 3_600_000;
/** Run records read at once. */
const AT_ONCE = 16;

export interface RecoveryFigures {
  /** Of the newest recovery point; undefined where there is none. */
  readonly newest: Temporal.Instant | undefined;
  /** Longest time without a new recovery point, up to now, of which some lies in the window; null where there is no recovery point. */
  readonly worstGapSeconds: number | null;
}

/** A backup that was made, whether it is still there or not. */
export interface MadeBackup {
  readonly backup: Id | null;
  /** Epoch ms. */
  readonly at: number;
}

/**
 * How old the data would have been at worst, had it been lost. By run records and not by what still lies in the repository: what
 * retention has thinned out was there when it would have been needed. A backup counts from the start of its run, which is before
 * its snapshot instant, unless its last verification found it bad; `failed` is one that has just been found so. One GET for each run of
 * the last 30 days, and a listing of the database's folder. Throws what the store throws.
 */
export async function recoveryFigures(
  store: ObjectStore,
  { database, failed, now }: { readonly database: DatabaseName; readonly failed: Id | undefined; readonly now: Temporal.Instant },
  signal: AbortSignal,
): Promise<RecoveryFigures> {
  const since = now.epochMilliseconds - GAP_WINDOW_MS;
  const isWithin = (id: Id) => idInstant(id).epochMilliseconds >= since;
  const made: MadeBackup[] = [];
  for await (const { id } of listCommitted(store, database, signal)) {
    if (!isWithin(id)) made.push({ backup: id, at: idInstant(id).epochMilliseconds });
  }
  const verdicts = new Map<Id, boolean>();
  const readRuns = runReader(store);
  const runs = (await listRuns(store, signal)).filter(isWithin);
  for (let next = 0; next < runs.length; next += AT_ONCE) {
    const records = await readRuns(runs.slice(next, next + AT_ONCE), signal);
    for (const record of records) {
      if (record?.database !== database) continue;
      const { operation, result, backup, startedAt, verification } = record;
      if (operation === 'backup' && result === 'succeeded') {
        made.push({ backup, at: Temporal.Instant.from(startedAt).epochMilliseconds });
      }
      const outcome = verification?.outcome ?? null;
      if (backup !== null && outcome !== null) verdicts.set(backup, outcome === 'proven');
    }
  }
  if (failed !== undefined) verdicts.set(failed, false);
  const good = made.filter(({ backup }) => backup === null || verdicts.get(backup) !== false);
  return gapsOf(
    good.map(({ at }) => at),
    now.epochMilliseconds,
  );
}

/**
 * Pure. Epoch ms in any order; what lies after `now` (a clock that ran ahead) counts as now. Of those before the window only the last
 * counts: the gap that it begins reaches into the window, and is as long as it is.
 */
export function gapsOf(instants: readonly number[], now: number): RecoveryFigures {
  const sorted = instants.map((instant) => Math.min(instant, now)).sort((a, b) => a - b);
  const newest = sorted.at(-1);
  if (newest === undefined) return { newest: undefined, worstGapSeconds: null };
  const counted = sorted.slice(
    Math.max(
      0,
      sorted.findLastIndex((instant) => instant < now - GAP_WINDOW_MS),
    ),
  );
  const gaps = counted.map((instant, index) => (counted[index + 1] ?? now) - instant);
  return { newest: Temporal.Instant.fromEpochMilliseconds(newest), worstGapSeconds: Math.max(...gaps) / 1000 };
}
