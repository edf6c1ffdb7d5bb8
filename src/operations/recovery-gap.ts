import { Temporal } from 'temporal-polyfill';
import { idInstant, listCommitted } from '../catalog/catalog.ts';
import { isDenied, listRuns, MOST_HISTORY, runReader } from '../catalog/run-records.ts';
import { isJetbackupError } from '../core/errors.ts';
import type { DatabaseName, Id } from '../core/ids.ts';
import type { RunRecord } from '../core/run-record.ts';
import type { ObjectStore } from '../storage/store.ts';

/** How far back the worst gap is looked for, ms: 30 days. */
export const GAP_WINDOW_MS = 30 * 24 * 3_600_000;
/** Run records read at once. */
const AT_ONCE = 16;

export interface RecoveryFigures {
  /** Of the newest recovery point; undefined where there is none. */
  readonly newest: Temporal.Instant | undefined;
  /** Longest time without a new recovery point, up to now, of which some lies in the window; null where no recovery point is known, or no record may be read. */
  readonly worstGapSeconds: number | null;
}

/** A backup that was made, whether it is still there or not. */
export interface MadeBackup {
  readonly backup: Id | null;
  /** Epoch ms. */
  readonly at: number;
}

/** What run records tell of the backups of one database, whatever retention has left of them since. */
export interface BackupTally {
  /** Those that succeeded in the window, by the start of their run, and the last before it that was not found bad; newest first. */
  readonly backups: readonly MadeBackup[];
  /** What the last verification of each that came to a result found: whether it is good. */
  readonly verdicts: ReadonlyMap<Id, boolean>;
  /** Whether older records can add nothing to `backups`. */
  readonly isWhole: boolean;
  /** Records come newest first: what was found of a backup is known before the backup itself. */
  add(record: RunRecord): void;
}

export function tallyBackups(now: Temporal.Instant): BackupTally {
  const since = now.epochMilliseconds - GAP_WINDOW_MS;
  const backups: MadeBackup[] = [];
  const verdicts = new Map<Id, boolean>();
  let isWhole = false;
  return {
    backups,
    verdicts,
    get isWhole() {
      return isWhole;
    },
    add({ operation, result, backup, startedAt, verification }) {
      const outcome = verification?.outcome ?? null;
      if (backup !== null && outcome !== null && !verdicts.has(backup)) verdicts.set(backup, outcome === 'proven');
      if (operation !== 'backup' || result !== 'succeeded') return;
      const at = Temporal.Instant.from(startedAt).epochMilliseconds;
      const isBefore = at < since;
      if (isBefore && (isWhole || (backup !== null && verdicts.get(backup) === false))) return;
      backups.push({ backup, at });
      isWhole ||= isBefore;
    },
  };
}

/**
 * How old the data would have been at worst, had it been lost. By run records and not by what still lies in the repository: what
 * retention has thinned out was there when it would have been needed. `there` are those that are, with the record or without it. A backup
 * counts from the start of its run, which is before its snapshot instant, unless its last verification found it bad.
 */
export function recoveryFiguresOf(
  { backups, verdicts }: Pick<BackupTally, 'backups' | 'verdicts'>,
  there: readonly MadeBackup[],
  now: Temporal.Instant,
): RecoveryFigures {
  const good = [...backups, ...there].filter(({ backup }) => backup === null || verdicts.get(backup) !== false);
  return gapsOf(
    good.map(({ at }) => at),
    now.epochMilliseconds,
  );
}

/**
 * The same for whoever has read nothing yet; `failed` is a backup that has just been found bad. One GET for each run of the last 30 days
 * and those before them back to a good backup, as far as `status` reads; and a listing of the database's folder. Where no record may be
 * read, there is no telling of the gap. Throws what the store throws.
 */
export async function recoveryFigures(
  store: ObjectStore,
  { database, failed, now }: { readonly database: DatabaseName; readonly failed: Id | undefined; readonly now: Temporal.Instant },
  signal: AbortSignal,
): Promise<RecoveryFigures> {
  const there: MadeBackup[] = [];
  for await (const { id } of listCommitted(store, database, signal)) there.push({ backup: id, at: idInstant(id).epochMilliseconds });
  const tally = tallyBackups(now);
  let isTold = true;
  try {
    await addRuns(store, database, tally, signal);
  } catch (error) {
    if (!isJetbackupError(error, 'storage-denied')) throw error;
    isTold = false;
  }
  const verdicts = failed === undefined ? tally.verdicts : new Map([...tally.verdicts, [failed, false]]);
  const figures = recoveryFiguresOf({ backups: tally.backups, verdicts }, there, now);
  return isTold ? figures : { ...figures, worstGapSeconds: null };
}

async function addRuns(store: ObjectStore, database: DatabaseName, tally: BackupTally, signal: AbortSignal): Promise<void> {
  const reader = runReader(store);
  const runs = (await listRuns(store, signal)).slice(-MOST_HISTORY).toReversed();
  for (let next = 0; next < runs.length && !tally.isWhole; next += AT_ONCE) {
    for (const record of await reader.read(runs.slice(next, next + AT_ONCE), signal)) {
      if (!isDenied(record) && record?.database === database) tally.add(record);
    }
  }
  reader.ended();
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
