import { checkObjects } from '../catalog/artifact-reader.ts';
import { idInstant, nextBackupId } from '../catalog/catalog.ts';
import { backupPrefix, manifestKey } from '../catalog/layout.ts';
import {
  CLAIM_REFRESH_MS,
  type Claim,
  removeClaims,
  removeDeadRuns,
  removeUncommitted,
  surveyDatabase,
  writeClaim,
} from '../catalog/uncommitted.ts';
import { bytesOf, collect, sha256Hex } from '../core/bytes.ts';
import { isJetbackupError, JetbackupError, messageOf } from '../core/errors.ts';
import { type Id, newId } from '../core/ids.ts';
import { encodeManifest, MANIFEST_MAX_BYTES, type Manifest, type UnsignedManifest } from '../core/manifest.ts';
import type { RunRecord } from '../core/run-record.ts';
import { sign } from '../crypto/signature.ts';
import type { ExportedSnapshot } from '../postgres/snapshot.ts';
import { makeArtifacts } from './backup-artifacts.ts';
import { type Attempt, type BackupDeps, type BackupInput, postgres } from './backup-attempt.ts';
import { takeSnapshot } from './backup-snapshot.ts';
import { openRepository } from './repository.ts';
import { CLEANUP_MS, type Run, startRun } from './run.ts';

export { type BackupDeps, type BackupInput, postgres };

export interface BackupResult {
  readonly manifest: Manifest;
  readonly run: RunRecord;
  /** True when the backup is whole but something beside the dump is missing; `manifest.warnings` says what. */
  readonly partial: boolean;
}

/** First pause before a further attempt, ms; doubled each time. */
const RETRY_PAUSE_MS = 15_000;

/**
 * Makes one backup: one snapshot; dump and fingerprint under it; globals; files; and last the signed manifest.
 * Either the manifest is there and everything that it names, or the backup does not exist and its objects are removed.
 * Throws `locked`, the dump, database, tools and storage codes, `files-unreadable`, `interrupted`, `terminated`.
 */
export async function backup(deps: BackupDeps, input: BackupInput, signal: AbortSignal): Promise<BackupResult> {
  const id = await chooseId(deps, input, signal);
  const run = startRun(deps, 'backup', input.database, id);
  try {
    for (let attempt = 0; ; attempt += 1) {
      try {
        const { manifest, partial } = await attemptBackup(deps, input, run, signal);
        return { manifest, partial, run: await run.succeeded({ backup: id }) };
      } catch (error) {
        const again = isJetbackupError(error, 'dump-interrupted-by-lock', 'dump-recovery-conflict') && attempt < input.lockRetries;
        if (!again) throw error;
        const pause = RETRY_PAUSE_MS * 2 ** attempt;
        deps.log({
          type: 'warning',
          text: `${error.message}; attempt ${attempt + 2} of ${input.lockRetries + 1} in ${pause / 1000} s`,
        });
        await deps.clock.sleep(pause, signal);
      }
    }
  } catch (error) {
    throw await run.failed(error, { backup: null });
  }
}

async function chooseId(deps: BackupDeps, { database }: BackupInput, signal: AbortSignal): Promise<Id> {
  const now = deps.clock.now();
  const id = await nextBackupId(deps.store, database, now, signal).catch(() => {
    // A store that cannot be read fails the run itself, which then records why.
    signal.throwIfAborted();
    return newId(now);
  });
  const ahead = idInstant(id).since(now).total('seconds');
  if (ahead > 60) {
    deps.log({
      type: 'warning',
      text: `the newest backup of "${database}" was made ${Math.round(ahead / 60)} minutes in the future, by this machine’s clock`,
      hint: 'One of the clocks is wrong, or was: set this one (timedatectl). The backup is made all the same, and sorts behind the others.',
    });
  }
  return id;
}

async function attemptBackup(
  deps: BackupDeps,
  input: BackupInput,
  run: Run,
  signal: AbortSignal,
): Promise<{ manifest: Manifest; partial: boolean }> {
  const { store, clock } = deps;
  const listed = { database: input.database, id: run.id };
  const attempt: Attempt = { deps, input, run, signal, folder: backupPrefix(input.database, run.id) };

  const repository = await openRepository(deps, signal);
  const taken = await run.phase('snapshot', 'taking the snapshot', () =>
    takeSnapshot(attempt, `jetbackup ${repository.id} ${input.database}`),
  );
  await using snapshot = taken.snapshot;
  let committing = false;
  try {
    const { previous, claim, spent } = await prepare(attempt, snapshot);
    const made = await whileClaimed(attempt, claim, () => makeArtifacts(attempt, taken));
    const unsigned: UnsignedManifest = {
      format: 1,
      id: run.id,
      database: input.database,
      repository: repository.id,
      jetbackup: deps.version,
      startedAt: run.startedAt.toString({ smallestUnit: 'millisecond' }),
      finishedAt: clock.now().toString({ smallestUnit: 'millisecond' }),
      snapshotInstant: snapshot.instant.toString({ smallestUnit: 'microsecond' }),
      server: snapshot.server,
      source: snapshot.source,
      tools: { pgDump: made.pgDump },
      artifacts: made.artifacts,
      fingerprint: made.fingerprint,
      warnings: made.warnings,
      tags: { ...input.tags },
      pin: input.pin === undefined ? null : { reason: input.pin.reason },
      keepUntil: input.keepUntil?.toString({ smallestUnit: 'second' }) ?? null,
      previous,
    };
    const manifest = sign(unsigned, deps.signingKey);
    await run.phase('commit', 'committing', async () => {
      await checkStored(attempt, manifest, signal);
      await writeClaim(store, listed, { ...claim, committing: true }, signal);
      // The lock is the fence: if its connection broke, another run may have taken this one for dead.
      await snapshot.assertHeld();
      signal.throwIfAborted();
      committing = true;
      await store.put(manifestKey(input.database, run.id), bytesOf(encodeManifest(manifest)), { signal });
      await confirm(attempt, snapshot);
    });
    await removeClaims(store, input.database, [run.id, ...spent], AbortSignal.timeout(CLEANUP_MS)).catch(() => {
      // A folder with a manifest is complete with or without one; the next backup by whoever may delete removes what is left.
    });
    return { manifest, partial: made.partial };
  } catch (error) {
    if (!committing || isJetbackupError(error, 'storage-denied', 'storage-full')) {
      await cleanUp(attempt);
    } else {
      // The manifest may have arrived, or be on its way still: then the backup is whole and must stay so.
      deps.log({
        type: 'warning',
        text: `whether the backup ${run.id} was committed is not known`,
        hint: 'If it was, this shows it: jetbackup list. If not, a later backup of this database removes what there is of it.',
      });
    }
    throw error;
  }
}

/** Whether the store really has, in its full length, all that the manifest is going to name. */
async function checkStored({ deps, folder }: Attempt, manifest: Manifest, signal: AbortSignal): Promise<void> {
  try {
    for (const artifact of manifest.artifacts) await checkObjects(deps.store, folder, artifact, signal);
  } catch (cause) {
    if (!isJetbackupError(cause, 'damaged')) throw cause;
    throw new JetbackupError('storage-failed', `the store has not kept what it said it has: ${cause.message}`, {
      cause,
      hint: 'Nothing was committed. Run the backup again; if this stays, the store cannot be trusted with backups.',
    });
  }
}

/**
 * While the manifest was on its way the lock may have been lost, and another run may have removed what it names. If the
 * lock is still ours after the put, nobody can have: whoever gets it later finds the manifest. Else the manifest goes.
 */
async function confirm(attempt: Attempt, snapshot: ExportedSnapshot): Promise<void> {
  try {
    await snapshot.assertHeld();
  } catch (error) {
    const { deps, input, run } = attempt;
    if (attempt.signal.aborted) return; // assertHeld() says no more than that; the put is done, and so is the backup.
    await deps.store.delete(manifestKey(input.database, run.id), AbortSignal.timeout(CLEANUP_MS));
    throw error;
  }
}

/** Shows others, hour by hour, that this run lives, however long the work takes. A refresh that fails is made up for by the next. */
async function whileClaimed<T>({ deps, input, run, signal }: Attempt, claim: Claim, work: () => Promise<T>): Promise<T> {
  const done = new AbortController();
  const either = AbortSignal.any([signal, done.signal]);
  const refresh = async () => {
    while (!either.aborted) {
      await deps.clock.sleep(CLAIM_REFRESH_MS, either).catch(() => {});
      if (!either.aborted) await writeClaim(deps.store, { database: input.database, id: run.id }, claim, either).catch(() => {});
    }
  };
  const refreshing = refresh();
  try {
    return await work();
  } finally {
    done.abort();
    await refreshing;
  }
}

/**
 * Finds the previous backup, removes what dead runs left, and claims the folder. `spent` are committed backups whose claims are still
 * there: to be removed later, since a run that is about to take its manifest back needs its own.
 */
async function prepare(
  attempt: Attempt,
  snapshot: ExportedSnapshot,
): Promise<{ previous: UnsignedManifest['previous']; claim: Claim; spent: readonly Id[] }> {
  const { deps, input, run, signal } = attempt;
  const { store, clock, log } = deps;
  const { server, source } = snapshot;
  // The running server, not only its data: a clone, or the old primary after a failover, has locks of its own.
  const name = `${server.systemIdentifier ?? `unknown ${run.id}`} ${snapshot.instance} ${source.datname}`;
  const claim: Claim = { source: name, committing: false };
  const survey = await surveyDatabase(store, input.database, signal);
  try {
    const removed = await removeDeadRuns(store, input.database, survey.uncommitted, { source: claim.source, now: clock.now() }, signal);
    if (removed.length > 0) log({ type: 'note', text: `removed what ${removed.length} unfinished backup(s) left: ${removed.join(', ')}` });
  } catch (error) {
    signal.throwIfAborted();
    log({ type: 'warning', text: `what unfinished backups left could not be removed: ${messageOf(error)}` });
  }
  await writeClaim(store, { database: input.database, id: run.id }, claim, signal);
  const last = survey.committed.at(-1);
  const previous = last === undefined ? null : { id: last, manifestSha256: await manifestSha256(attempt, last) };
  return { claim, previous, spent: survey.claimed };
}

async function manifestSha256({ deps, input, signal }: Attempt, id: Id): Promise<string> {
  return sha256Hex(await collect(await deps.store.get(manifestKey(input.database, id), { signal }), MANIFEST_MAX_BYTES));
}

async function cleanUp({ deps, input, run }: Attempt): Promise<void> {
  try {
    const listed = { database: input.database, id: run.id };
    await removeUncommitted(deps.store, listed, deps.clock.now(), AbortSignal.timeout(CLEANUP_MS));
  } catch (error) {
    deps.log({
      type: 'warning',
      text: `the unfinished backup's objects could not be removed: ${messageOf(error)}`,
      hint: 'They belong to no backup; the next backup of this database removes them.',
    });
  }
}
