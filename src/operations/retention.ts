import { Temporal } from 'temporal-polyfill';
import { type Collapse, detectCollapse } from '../../retention/anomaly.ts';
import { planRetention, type RetentionPlan } from '../../retention/plan.ts';
import type { RecoveryPoint } from '../../retention/points.ts';
import type { Policy } from '../../retention/policy.ts';
import { authenticate } from '../catalog/authenticate.ts';
import { idInstant, readManifest } from '../catalog/catalog.ts';
import { backupPrefix, databasePrefix, isManifest, isMark, isProof, manifestKey, placeOf } from '../catalog/layout.ts';
import { readAcceptance, readMark, type Trust } from '../catalog/marks.ts';
import { trustedProof } from '../catalog/proofs.ts';
import { type BackupMade, failedSince, listRuns, recentBackups } from '../catalog/run-records.ts';
import { isJetbackupError, isNewerFormat, messageOf } from '../core/errors.ts';
import type { DatabaseName, Id } from '../core/ids.ts';
import { artifactOf, type Manifest } from '../core/manifest.ts';
import type { Proof } from '../core/proof.ts';
import type { Clock } from '../platform/clock.ts';
import type { Key, ObjectStore } from '../storage/store.ts';
import { openRepository } from './repository.ts';

export interface RetentionDeps {
  readonly store: ObjectStore;
  readonly clock: Clock;
  /** Without any, every manifest counts as unreadable, and nothing goes. */
  readonly publicKeys: Trust['publicKeys'];
}

export interface RetentionOf {
  readonly database: DatabaseName;
  readonly policy: Policy;
  /** Share of the median of earlier backups below which rows or size have collapsed, and deletion is frozen; 0 turns this off. */
  readonly collapseRatio: number;
}

export interface RetentionInput {
  readonly databases: readonly RetentionOf[];
  /** IANA name: whose days, weeks and months count. */
  readonly timeZone: string;
  /** Manifests that were read a moment ago; they are not read once more. */
  readonly manifests?: readonly Manifest[];
  /** How many of the last backups of each database to look up in run records, for a forecast; default 0. */
  readonly history?: number;
}

/** A folder of a backup in the repository, committed or not. */
export interface Folder {
  readonly database: DatabaseName;
  readonly id: Id;
  readonly committed: boolean;
  readonly marked: boolean;
  /** Whether a verification has left its proof. */
  readonly verified: boolean;
  /** Size of each object, bytes. */
  readonly objects: ReadonlyMap<Key, number>;
  readonly bytes: number;
  /** When something in it was last written, by the store's clock. */
  readonly written: Temporal.Instant;
}

export interface DatabaseSurvey {
  readonly of: RetentionOf;
  readonly folders: readonly Folder[];
  /** One for each committed folder, oldest first. */
  readonly points: readonly RecoveryPoint[];
  /** What the newest verification found of each that has been verified. */
  readonly proofs: ReadonlyMap<Id, Proof>;
  readonly plan: RetentionPlan;
  /** The last backups that were made, also those that retention has let go since; empty unless asked for. */
  readonly history: readonly BackupMade[];
  /** The backup whose collapse keeps everything from being deleted, until it is accepted. */
  readonly frozenBy: Id | undefined;
  /** The same with its figures. */
  readonly collapse: Collapse | undefined;
}

export interface RetentionSurvey {
  readonly repository: string;
  readonly databases: readonly DatabaseSurvey[];
  /** Ids of all run records, oldest first. */
  readonly runs: readonly Id[];
  /** The newest whole and authentic backup of each database that has one. */
  readonly newest: ReadonlyMap<DatabaseName, Id>;
}

/** Manifests read at once. */
const AT_ONCE = 16;

/**
 * What there is and what retention says of it; changes nothing. One LIST per thousand objects; one GET for each manifest
 * and mark, one for each database's acceptance, and one for each run record since its newest backup or that `history`
 * needs. Memory: some hundred bytes for each object. Throws `repository-missing`, and what the store throws.
 */
export async function surveyRetention(deps: RetentionDeps, input: RetentionInput, signal: AbortSignal): Promise<RetentionSurvey> {
  const { id: repository } = await openRepository(deps, signal);
  const trust: Trust = { repository, publicKeys: deps.publicKeys };
  const known = new Map((input.manifests ?? []).map((manifest) => [manifestKey(manifest.database, manifest.id), manifest] as const));
  const found: { of: RetentionOf; folders: Folder[]; points: RecoveryPoint[]; proofs: Map<Id, Proof> }[] = [];
  for (const of of input.databases) {
    const folders = await listFolders(deps.store, of.database, signal);
    const proofs = new Map<Id, Proof>();
    found.push({ of, folders, proofs, points: await readPoints(deps, trust, { folders, known, proofs }, signal) });
  }
  const runs = await listRuns(deps.store, signal);
  const newest = new Map(found.flatMap(({ of, points }) => newestGood(points).map((id) => [of.database, id] as const)));
  const newestRunFailed = await failedSince(deps.store, runs, newest, signal);
  const { history: wanted = 0 } = input;
  const names = input.databases.map(({ database }) => database);
  const made = wanted === 0 ? undefined : await recentBackups(deps.store, runs, { databases: names, wanted }, signal);
  const databases: DatabaseSurvey[] = [];
  for (const { of, folders, points, proofs } of found) {
    const acceptance = await acceptedOf(deps, of.database, trust, signal);
    const collapse =
      of.collapseRatio === 0
        ? undefined
        : detectCollapse(points, { ratio: of.collapseRatio, accepted: new Set(acceptance === undefined ? [] : [acceptance]) });
    const plan = planRetention(points, of.policy, {
      now: deps.clock.now().epochMilliseconds,
      timeZone: input.timeZone,
      newestRunFailed,
      frozen: new Map(collapse === undefined ? [] : [[of.database, collapse.why]]),
    });
    databases.push({ of, folders, points, proofs, plan, history: made?.get(of.database) ?? [], frozenBy: collapse?.pointId, collapse });
  }
  return { repository, databases, runs, newest };
}

async function acceptedOf(deps: RetentionDeps, database: DatabaseName, trust: Trust, signal: AbortSignal): Promise<Id | undefined> {
  try {
    return (await readAcceptance(deps.store, database, trust, signal))?.backup;
  } catch (error) {
    // One that cannot be trusted lifts nothing.
    if (isJetbackupError(error, 'damaged', 'not-authentic')) return undefined;
    throw error;
  }
}

/** Of what can be trusted: a folder with anything for a manifest must not make an older failure look overcome. */
function newestGood(points: readonly RecoveryPoint[]): Id[] {
  const last = points.findLast(({ state }) => state === 'ok');
  return last === undefined ? [] : [last.id];
}

/** Every folder of a database, oldest first. */
async function listFolders(store: ObjectStore, database: DatabaseName, signal: AbortSignal): Promise<Folder[]> {
  const folders: Folder[] = [];
  let open:
    | {
        id: Id;
        committed: boolean;
        marked: boolean;
        verified: boolean;
        objects: Map<Key, number>;
        bytes: number;
        written: Temporal.Instant;
      }
    | undefined;
  // Keys come in order, so each folder's come together.
  for await (const info of store.list(databasePrefix(database), signal)) {
    const place = placeOf(info.key);
    if (place === undefined) continue;
    if (open?.id !== place.id) {
      open = { id: place.id, committed: false, marked: false, verified: false, objects: new Map(), bytes: 0, written: info.modified };
      folders.push({ database, ...open });
    }
    open.objects.set(info.key, info.size);
    open.bytes += info.size;
    if (Temporal.Instant.compare(info.modified, open.written) > 0) open.written = info.modified;
    if (isManifest(place)) open.committed = true;
    if (isMark(place)) open.marked = true;
    if (isProof(place)) open.verified = true;
    folders[folders.length - 1] = { database, ...open };
  }
  return folders;
}

interface Reading {
  readonly folders: readonly Folder[];
  readonly known: ReadonlyMap<Key, Manifest>;
  /** Filled. */
  readonly proofs: Map<Id, Proof>;
}

async function readPoints(deps: RetentionDeps, trust: Trust, reading: Reading, signal: AbortSignal): Promise<RecoveryPoint[]> {
  const { folders } = reading;
  const committed = folders.filter((folder) => folder.committed);
  const points: RecoveryPoint[] = new Array<RecoveryPoint>(committed.length);
  let next = 0;
  const work = async (): Promise<void> => {
    for (let index = next++; index < committed.length; index = next++) {
      const folder = committed[index];
      if (folder !== undefined) points[index] = await readPoint(deps, trust, folder, reading, signal);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return points;
}

async function readPoint(
  deps: RetentionDeps,
  trust: Trust,
  folder: Folder,
  { known, proofs }: Reading,
  signal: AbortSignal,
): Promise<RecoveryPoint> {
  const { database, id, bytes } = folder;
  const aside = { id, database, bytes, instant: idInstant(id).epochMilliseconds, proof: 'unproven' as const };
  let manifest: Manifest;
  try {
    manifest = known.get(manifestKey(database, id)) ?? (await readManifest(deps.store, folder, signal)).manifest;
    // Those that were checked before, too: it costs microseconds, and what decides about deletion trusts nobody.
    authenticate(manifest, trust.repository, trust.publicKeys);
  } catch (error) {
    if (!isJetbackupError(error, 'damaged', 'not-authentic', 'no-backup', 'key-missing')) throw error;
    return { ...aside, state: isNewerFormat(error) ? 'unknown-format' : 'unreadable' };
  }
  const dump = artifactOf(manifest, 'dump');
  const proof = folder.verified ? await trustedProof(deps.store, manifest, trust, signal) : undefined;
  if (proof !== undefined) proofs.set(id, proof);
  return {
    ...aside,
    proof: proof?.outcome ?? 'unproven',
    state: isWhole(folder, manifest) ? 'ok' : 'incomplete',
    instant: Temporal.Instant.from(manifest.snapshotInstant).epochMilliseconds,
    ...(await promisesOf(deps.store, trust, folder, manifest, signal)),
    ...(manifest.fingerprint.mode === 'off' ? {} : { rows: manifest.fingerprint.rows }),
    ...(dump === undefined ? {} : { plainBytes: dump.plain.bytes }),
  };
}

/**
 * Whether the listing shows every object in its full length. One that was lost (a lifecycle rule, a copy that broke off) leaves a
 * hollow backup, for which no whole one of the same day may go.
 */
function isWhole({ database, id, objects }: Folder, { artifacts }: Manifest): boolean {
  const prefix = backupPrefix(database, id);
  return artifacts.flatMap((artifact) => artifact.objects).every(({ name, bytes }) => objects.get(`${prefix}${name}`) === bytes);
}

/** Pin and keepUntil: the mark's where there is one. A mark that cannot be read or trusted keeps the backup. */
export async function promisesOf(
  store: ObjectStore,
  trust: Trust,
  { database, id, marked }: Pick<Folder, 'database' | 'id' | 'marked'>,
  manifest: Pick<Manifest, 'pin' | 'keepUntil'>,
  signal: AbortSignal,
): Promise<Pick<RecoveryPoint, 'pin' | 'keepUntil'>> {
  const instant = (text: string) => Temporal.Instant.from(text).epochMilliseconds;
  try {
    const mark = marked ? await readMark(store, { database, id }, trust, signal) : undefined;
    const { pin, keepUntil } = mark ?? manifest;
    const until = mark?.pin?.until ?? null;
    return {
      ...(pin === null ? {} : { pin: { reason: pin.reason, ...(until === null ? {} : { until: instant(until) }) } }),
      ...(keepUntil === null ? {} : { keepUntil: instant(keepUntil) }),
    };
  } catch (error) {
    if (!isJetbackupError(error, 'damaged', 'not-authentic')) throw error;
    return { pin: { reason: messageOf(error) } };
  }
}
