import { Temporal } from 'temporal-polyfill';
import type { RetentionPlan } from '../../retention/plan.ts';
import type { RecoveryPoint } from '../../retention/points.ts';
import { describeReason } from '../../retention/reasons.ts';
import { databasePrefix, isManifest, isMark, isProof, manifestKey, markKey, placeOf, proofKey } from '../catalog/layout.ts';
import { type LiveReader, liveReaders, sweepNotes } from '../catalog/readers.ts';
import { removeRunsBefore } from '../catalog/run-records.ts';
import { removeDeadRuns } from '../catalog/uncommitted.ts';
import { JetbackupError } from '../core/errors.ts';
import { type DatabaseName, type Id, newId } from '../core/ids.ts';
import type { RunRecord } from '../core/run-record.ts';
import { acquireLease, type Lease } from '../storage/lease.ts';
import type { Lock } from '../storage/store.ts';
import { announceDeletion, type DeletionAnnounced } from './announce-deletion.ts';
import { type DatabaseSurvey, type Folder, type RetentionDeps, type RetentionInput, surveyRetention } from './retention.ts';
import { type RunDeps, startRun } from './run.ts';

export interface PruneDeps extends RunDeps, RetentionDeps {}

export interface PruneInput extends RetentionInput {
  /** Only plan: take no lease, delete nothing, record nothing. */
  readonly dryRun: boolean;
}

/** A backup that was to go and stays for now, because the store itself refuses to delete it. */
export interface Locked {
  readonly id: Id;
  readonly until: Lock;
}

/** A backup that was to go and stays for now, because somebody restores, exports or verifies it. */
export interface InUse {
  readonly id: Id;
  /** As they name themselves: `restore on db1`. */
  readonly by: readonly string[];
  /** When that ends if none of them gives a further sign of life, by the store's clock. */
  readonly until: Temporal.Instant;
}

export interface PrunedDatabase {
  readonly database: DatabaseName;
  readonly plan: RetentionPlan;
  readonly frozenBy: Id | undefined;
  /** Of the plan's `expire`; none in a dry run. */
  readonly deleted: readonly RecoveryPoint[];
  readonly locked: readonly Locked[];
  /** In a dry run as far as this machine's clock tells. */
  readonly inUse: readonly InUse[];
  /** Pinned, or otherwise changed, since the plan was made: left for the next one. */
  readonly spared: readonly Id[];
  /** Folders of runs that died before they committed anything, which were removed. */
  readonly orphans: readonly Id[];
  readonly run: RunRecord | undefined;
}

export interface PruneResult {
  readonly databases: readonly PrunedDatabase[];
  /** Run records that were removed for their age. */
  readonly runRecords: number;
  /** Unfinished uploads that were removed for theirs. */
  readonly uploads: number;
}

const LEASE_MS = 5 * 60_000;
/** How long run records stay, counted back from the newest backup. */
const RUN_RECORD_MONTHS = 24;
/** Past this a clock is wrong, and which one nobody knows. */
const CLOCK_DIFFERENCE_MS = 60 * 60_000;
/** An upload without a claim beside it may be alive this long. */
const UPLOAD_AGE = { hours: 48 };

/**
 * Deletes what retention lets go, one backup after the other, oldest first: its manifest, with which it ceases to exist,
 * then its data, then its proof and its mark. A crash in between leaves objects of no backup, which a later prune or backup
 * removes. Before each backup the lease is asked again, the store whether it refuses (Object Lock), whether somebody is reading
 * it (catalog/readers.ts), and the mark whether somebody has pinned it meanwhile. Then what dead runs and killed readers left,
 * unfinished uploads, and run records over 24 months.
 *
 * Throws `locked` while another prune works here, `storage-failed` where the store's clock and ours differ by more than an
 * hour, `repository-missing`, what the store throws, and the signal's reason. What was deleted until then stays deleted.
 */
export async function prune(deps: PruneDeps, input: PruneInput, signal: AbortSignal): Promise<PruneResult> {
  if (input.dryRun) {
    const survey = await surveyRetention(deps, input, signal);
    const databases: PrunedDatabase[] = [];
    for (const database of survey.databases) databases.push(await planned(deps, database, signal));
    return { databases, runRecords: 0, uploads: 0 };
  }
  await using lease = await acquireLease(deps, { name: 'prune', holder: `prune on ${deps.host}`, ttlMs: LEASE_MS }, signal);
  assertClocks(deps, lease);
  const survey = await surveyRetention(deps, input, signal);
  const databases: PrunedDatabase[] = [];
  let uploads = 0;
  for (const database of survey.databases) {
    databases.push(await pruneDatabase(deps, input, database, lease, signal));
    uploads += await sweepUploads(deps, database, lease, signal);
  }
  const instants = survey.databases.flatMap(({ points }) => points.flatMap((point) => (isSure(point, lease) ? [point.instant] : [])));
  const newest = instants.reduce((latest, instant) => Math.max(latest, instant), Number.NEGATIVE_INFINITY);
  // Counted from the newest backup: a clock that runs ahead, or a long silence, ages nothing.
  const runRecords = Number.isFinite(newest)
    ? await removeRunsBefore(deps.store, survey, monthsBefore(newest, RUN_RECORD_MONTHS, input.timeZone), signal)
    : 0;
  await sweepNotes(deps.store, lease.storeNow, signal);
  return { databases, runRecords, uploads };
}

async function planned({ store, clock }: PruneDeps, { of, plan, frozenBy }: DatabaseSurvey, signal: AbortSignal): Promise<PrunedDatabase> {
  const { database } = of;
  // Without a lease there is no store's clock.
  const found = plan.expire.length === 0 ? new Map() : await liveReaders(store, database, clock.now(), signal);
  const inUse = plan.expire.flatMap(({ point: { id } }) => {
    const readers = found.get(id) ?? [];
    return readers.length === 0 ? [] : [inUseBy(id, readers)];
  });
  return { database, plan, frozenBy, deleted: [], locked: [], inUse, spared: [], orphans: [], run: undefined };
}

function inUseBy(id: Id, readers: readonly LiveReader[]): InUse {
  const until = readers.map((reader) => reader.until).reduce((a, b) => (Temporal.Instant.compare(a, b) < 0 ? b : a));
  return { id, by: [...new Set(readers.map(({ holder }) => holder))], until };
}

function isSure({ state, instant }: RecoveryPoint, lease: Lease): boolean {
  return state === 'ok' && instant <= lease.storeNow.epochMilliseconds;
}

function monthsBefore(instant: number, months: number, timeZone: string): Temporal.Instant {
  return Temporal.Instant.fromEpochMilliseconds(instant).toZonedDateTimeISO(timeZone).subtract({ months }).toInstant();
}

/** What is dead is told by age, and age by two clocks. */
function assertClocks({ store, clock }: PruneDeps, { storeNow }: Lease): void {
  const difference = clock.now().epochMilliseconds - storeNow.epochMilliseconds;
  if (Math.abs(difference) <= CLOCK_DIFFERENCE_MS) return;
  const minutes = Math.round(Math.abs(difference) / 60_000);
  throw new JetbackupError(
    'storage-failed',
    `this machine’s clock is ${minutes} minutes ${difference > 0 ? 'ahead of' : 'behind'} that of ${store.location}`,
    { hint: 'Nothing was deleted. Set the clock that is wrong (timedatectl), then prune again.' },
  );
}

async function pruneDatabase(
  deps: PruneDeps,
  input: PruneInput,
  survey: DatabaseSurvey,
  lease: Lease,
  signal: AbortSignal,
): Promise<PrunedDatabase> {
  const { of, plan, folders } = survey;
  const run = startRun(deps, 'prune', of.database, newId(deps.clock.now()));
  const byId = new Map(folders.map((folder) => [folder.id, folder]));
  const deleted: { point: RecoveryPoint; reasons: string[] }[] = [];
  const locked: Locked[] = [];
  const inUse: InUse[] = [];
  const spared: Id[] = [];
  const backups = plan.expire.map(({ point }) => point.id).filter((id) => byId.has(id));
  const announced = announceDeletion(deps, { database: of.database, backups, lease, ttlMs: LEASE_MS });
  const outcome = () => ({
    backup: null,
    pruned: {
      kept: plan.keep.length + plan.expire.length - deleted.length,
      deleted: deleted.map(({ point, reasons }) => ({
        id: point.id,
        snapshotInstant: Temporal.Instant.fromEpochMilliseconds(point.instant).toString(),
        bytes: point.bytes,
        reasons,
      })),
      locked: locked.map(({ id, until }) => ({ id, until: until.toString() })),
      inUse: inUse.map(({ id, by, until }) => ({ id, by: [...by], until: until.toString() })),
    },
  });
  try {
    await run
      .phase('delete', `deleting ${plan.expire.length} of ${survey.points.length} backup(s) of ${of.database}`, async () => {
        for (const { point, reasons } of plan.expire) {
          const folder = byId.get(point.id);
          if (folder === undefined) continue;
          const until = await lockOf(deps, folder, lease, signal);
          const readers = until === undefined ? await announced.readersOf(point.id, signal) : [];
          await lease.assertHeld(signal);
          if (until !== undefined) locked.push({ id: point.id, until });
          else if (readers.length > 0) inUse.push(inUseBy(point.id, readers));
          // Nothing that takes time between this look and the delete.
          else if (await isMarkedSince(deps, folder, signal)) spared.push(point.id);
          else {
            await deleteBackup(deps, folder, announced, signal);
            deleted.push({ point, reasons: reasons.map((reason) => describeReason(reason, input.timeZone)) });
          }
        }
      })
      .finally(() => announced.end());
    const orphans = await run.phase('orphans', 'removing what dead runs left', () => removeOrphans(deps, survey, lease, signal));
    const record = await run.succeeded(outcome());
    const { frozenBy } = survey;
    return {
      database: of.database,
      plan,
      frozenBy,
      deleted: deleted.map(({ point }) => point),
      locked,
      inUse,
      spared,
      orphans,
      run: record,
    };
  } catch (error) {
    throw await run.failed(error, outcome());
  }
}

/** The longest lock on any object of the backup. In a bucket with Object Lock a DELETE only hides what it names: so this is asked first. */
async function lockOf({ store }: PruneDeps, folder: Folder, { storeNow }: Lease, signal: AbortSignal): Promise<Lock | undefined> {
  let longest: Temporal.Instant | undefined;
  for (const key of folder.objects.keys()) {
    const until = await store.lockedUntil(key, signal);
    if (until === 'legal-hold') return until;
    if (until === undefined || Temporal.Instant.compare(until, storeNow) <= 0) continue;
    if (longest === undefined || Temporal.Instant.compare(until, longest) > 0) longest = until;
  }
  return longest;
}

/** Whether somebody has decided something about it since the plan was made. */
async function isMarkedSince({ store }: PruneDeps, folder: Folder, signal: AbortSignal): Promise<boolean> {
  const info = await store.stat(markKey(folder.database, folder.id), signal);
  if (info === undefined) return false;
  return !folder.marked || Temporal.Instant.compare(info.modified, folder.written) > 0;
}

async function deleteBackup(
  { store }: PruneDeps,
  { database, id, objects }: Folder,
  announced: DeletionAnnounced,
  signal: AbortSignal,
): Promise<void> {
  await announced.remove((limited) => store.delete(manifestKey(database, id), limited), signal);
  for (const key of objects.keys()) {
    const place = placeOf(key);
    if (place !== undefined && !isManifest(place) && !isMark(place) && !isProof(place)) await store.delete(key, signal);
  }
  // Whether or not the listing showed them: either may have come since.
  await store.delete(proofKey(database, id), signal);
  await store.delete(markKey(database, id), signal);
}

async function removeOrphans(deps: PruneDeps, { of, folders }: DatabaseSurvey, lease: Lease, signal: AbortSignal): Promise<Id[]> {
  const uncommitted = folders.filter(({ committed }) => !committed);
  if (uncommitted.length === 0) return [];
  await lease.assertHeld(signal);
  // By the store's clock, which dates what is in it. No source's lock is held here: only age tells.
  return await removeDeadRuns(deps.store, of.database, uncommitted, { source: undefined, now: lease.storeNow }, signal);
}

/** Only where no folder is left that a live run may be filling: an upload does not say whose it is. */
async function sweepUploads(deps: PruneDeps, { of, folders }: DatabaseSurvey, lease: Lease, signal: AbortSignal): Promise<number> {
  if (folders.some(({ committed }) => !committed)) return 0;
  const swept = await deps.store.sweepUnfinished(databasePrefix(of.database), lease.storeNow.subtract(UPLOAD_AGE), signal);
  return swept.length;
}
