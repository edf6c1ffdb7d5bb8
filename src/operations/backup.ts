import { checkObjects } from '../catalog/artifact-reader.ts';
import { type ArtifactWriting, writeArtifact } from '../catalog/artifact-writer.ts';
import { idInstant, nextBackupId } from '../catalog/catalog.ts';
import { backupPrefix, manifestKey } from '../catalog/layout.ts';
import { removeClaim, removeDeadRuns, removeUncommitted, surveyDatabase, writeClaim } from '../catalog/uncommitted.ts';
import type { Codec } from '../compression/codec.ts';
import { bytesOf, collect, sha256Hex } from '../core/bytes.ts';
import { catalogue, isJetbackupError, JetbackupError, messageOf } from '../core/errors.ts';
import type { Fingerprint } from '../core/fingerprint.ts';
import { type DatabaseName, type Id, newId } from '../core/ids.ts';
import {
  type Artifact,
  encodeManifest,
  type FingerprintMode,
  type FingerprintSummary,
  MANIFEST_MAX_BYTES,
  type Manifest,
  type UnsignedManifest,
} from '../core/manifest.ts';
import type { RunRecord } from '../core/run-record.ts';
import type { Sealer } from '../crypto/sealer.ts';
import { type SigningKey, sign } from '../crypto/signature.ts';
import { tarOf } from '../files/tar.ts';
import type { Instant } from '../platform/clock.ts';
import type { ProcessRunner } from '../platform/processes.ts';
import { wholeArchive } from '../postgres/archive-end.ts';
import type { ConnectionSettings } from '../postgres/connection.ts';
import { dumpDatabase } from '../postgres/dump.ts';
import { noFingerprint, summarize, takeFingerprint } from '../postgres/fingerprint.ts';
import { dumpGlobals } from '../postgres/globals.ts';
import { type ExportedSnapshot, exportSnapshot } from '../postgres/snapshot.ts';
import { findTools } from '../postgres/tools.ts';
import { openRepository } from './repository.ts';
import { CLEANUP_MS, type Run, type RunDeps, startRun } from './run.ts';

export interface BackupDeps extends RunDeps {
  readonly processes: ProcessRunner;
  readonly sealer: Sealer;
  readonly codec: Codec;
  readonly signingKey: SigningKey;
  /** What children may see of the environment: PATH, HOME, LANG. */
  readonly env: Readonly<Record<string, string>>;
}

export interface BackupInput {
  readonly database: DatabaseName;
  readonly connection: ConnectionSettings;
  /** Folder of the client tools, where they are not to be searched for. */
  readonly bindir?: string;
  readonly fingerprint: FingerprintMode;
  /** Absolute paths for the `files` artifact. */
  readonly files: readonly string[];
  /** Whether role password hashes go into the globals. */
  readonly rolePasswords: boolean;
  /** How long pg_dump may wait for a table lock, ms: while it waits, later queries of the application wait behind it. */
  readonly lockTimeoutMs: number;
  /** How many further attempts after a lock timeout or a standby's recovery conflict. */
  readonly lockRetries: number;
  readonly tags: Readonly<Record<string, string>>;
  readonly pin?: { readonly reason: string };
  readonly keepUntil?: Instant;
}

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

interface Attempt {
  readonly deps: BackupDeps;
  readonly input: BackupInput;
  readonly run: Run;
  readonly signal: AbortSignal;
  readonly folder: string;
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
  await using snapshot = await run.phase('snapshot', 'taking the snapshot', () =>
    exportSnapshot(input.connection, { lockName: `jetbackup ${repository.id} ${input.database}`, signal }),
  );
  const previous = await prepare(attempt, snapshot);
  let committing = false;
  try {
    const made = await makeArtifacts(attempt, snapshot);
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
      // The lock is the fence: if its connection broke, another run may have taken this one for dead.
      await snapshot.assertHeld();
      for (const artifact of manifest.artifacts) await checkObjects(store, attempt.folder, artifact, signal);
      signal.throwIfAborted();
      committing = true;
      await store.put(manifestKey(input.database, run.id), bytesOf(encodeManifest(manifest)), { signal });
    });
    await removeClaim(store, listed, AbortSignal.timeout(CLEANUP_MS)).catch(() => {
      // Credentials that may not delete leave the claim behind; a folder with a manifest is complete with or without it.
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
        hint: 'If it was, this shows it: jetbackup list. If not, the next backup of this database removes what there is of it.',
      });
    }
    throw error;
  }
}

/** Finds the previous backup, removes what dead runs left, and claims the folder. */
async function prepare(attempt: Attempt, snapshot: ExportedSnapshot): Promise<UnsignedManifest['previous']> {
  const { deps, input, run, signal } = attempt;
  const { store, clock, log } = deps;
  const { server, source } = snapshot;
  const address = snapshot.settings.hosts.map(({ host, hostaddr, port }) => `${hostaddr ?? host}:${port}`).join();
  const identity = `${server.systemIdentifier ?? `unknown ${run.id}`} ${server.standby ? 'standby' : 'primary'} ${address}/${source.datname}`;
  const survey = await surveyDatabase(store, input.database, signal);
  try {
    const removed = await removeDeadRuns(store, input.database, survey.uncommitted, { source: identity, now: clock.now() }, signal);
    if (removed.length > 0) log({ type: 'note', text: `removed what ${removed.length} unfinished backup(s) left: ${removed.join(', ')}` });
  } catch (error) {
    signal.throwIfAborted();
    log({ type: 'warning', text: `what unfinished backups left could not be removed: ${messageOf(error)}` });
  }
  await writeClaim(store, { database: input.database, id: run.id }, identity, signal);
  const last = survey.committed.at(-1);
  return last === undefined ? null : { id: last, manifestSha256: await manifestSha256(attempt, last) };
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

interface Made {
  readonly artifacts: Artifact[];
  readonly fingerprint: FingerprintSummary;
  readonly warnings: string[];
  readonly pgDump: string;
  readonly partial: boolean;
}

async function makeArtifacts(attempt: Attempt, snapshot: ExportedSnapshot): Promise<Made> {
  const { deps, input, run, signal, folder } = attempt;
  const directory = input.bindir === undefined ? {} : { directory: input.bindir };
  const request = { serverVersionNum: snapshot.server.versionNum, purpose: 'dump' as const, ...directory };
  const tools = await findTools(deps, request, signal);
  const common = { settings: snapshot.settings, tools, baseEnv: deps.env };
  const write = (writing: Omit<ArtifactWriting, 'folder'>) => writeArtifact(deps, { ...writing, folder }, signal);
  const artifacts: Artifact[] = [];
  const warnings: string[] = [...snapshot.warnings, ...tools.warnings];

  // Beside the dump and under the same snapshot; whichever fails first stops the other.
  const stop = new AbortController();
  const either = AbortSignal.any([signal, stop.signal]);
  const ready = Promise.withResolvers<void>();
  const taking = takeFingerprint(
    snapshot.settings,
    { mode: input.fingerprint, snapshot: snapshot.id, lockTimeoutMs: input.lockTimeoutMs, onReady: async () => ready.resolve() },
    either,
  );
  taking.catch(() => {});
  try {
    await untilReady(ready.promise, taking, signal);
    const sizeHint = snapshot.source.sizeBytes;
    const dump = await run.phase(
      'dump',
      `dumping ${snapshot.source.datname}`,
      (onBytes) =>
        write({
          kind: 'dump',
          open: (stopped) =>
            wholeArchive(dumpDatabase(deps, { ...common, snapshot: snapshot.id, lockTimeoutMs: input.lockTimeoutMs }, stopped)),
          sizeHint,
          onBytes,
        }),
      sizeHint,
    );
    artifacts.push(dump);
  } catch (error) {
    stop.abort(error);
    await Promise.allSettled([taking]);
    throw error;
  }
  const taken = await run.phase('fingerprint', 'finishing the fingerprint', () => settleFingerprint(taking, signal));
  if (taken.warning !== undefined) warnings.push(taken.warning);

  const globals = await run.phase('globals', 'dumping roles and tablespaces', async () => {
    const dumped = await dumpGlobals(deps, { ...common, rolePasswords: input.rolePasswords }, signal);
    warnings.push(...dumped.warnings);
    return write({ kind: 'globals', open: () => dumped.stream });
  });
  artifacts.push(globals);

  if (input.files.length > 0) {
    const files = await run.phase('files', `packing ${input.files.length} path(s)`, (onBytes) =>
      write({ kind: 'files', open: (stopped) => tarOf(input.files, stopped), onBytes }),
    );
    artifacts.push(files);
  }
  if (taken.fingerprint.mode !== 'off') {
    artifacts.push(await write({ kind: 'fingerprint', open: () => bytesOf(JSON.stringify(taken.fingerprint)) }));
  }
  for (const text of warnings) deps.log({ type: 'warning', text });
  return { artifacts, warnings, fingerprint: summarize(taken.fingerprint), pgDump: tools.version, partial: taken.warning !== undefined };
}

/**
 * Sequences and TRUNCATE do not obey snapshots: the dump starts once the fingerprint has its locks and sequences, so that
 * it cannot show less. A lock that the fingerprint does not get, the dump would not get either: the attempt is over.
 */
async function untilReady(ready: Promise<void>, taking: Promise<Fingerprint>, signal: AbortSignal): Promise<void> {
  try {
    await Promise.race([ready, taking]);
  } catch (error) {
    signal.throwIfAborted();
    if (isJetbackupError(error, 'dump-interrupted-by-lock', 'dump-recovery-conflict')) throw error;
    // Anything else is told once the dump is safe: settleFingerprint().
  }
}

/**
 * A database that can be dumped but not fingerprinted is still worth its backup: it is committed without one, with a
 * warning, and the run ends as done in part. An abort stays an abort.
 */
async function settleFingerprint(
  taking: Promise<Fingerprint>,
  signal: AbortSignal,
): Promise<{ fingerprint: Fingerprint; warning?: string }> {
  try {
    return { fingerprint: await taking };
  } catch (error) {
    signal.throwIfAborted();
    if (!isJetbackupError(error) || catalogue[error.code].exit !== catalogue['dump-failed'].exit) throw error;
    const hint = error.hint === undefined ? '' : ` ${error.hint}`;
    return { fingerprint: noFingerprint, warning: `no fingerprint was taken: ${error.message}.${hint}` };
  }
}

export function describePartial(result: BackupResult): JetbackupError | undefined {
  if (!result.partial) return undefined;
  return new JetbackupError('done-in-part', `backup ${result.manifest.id} is committed without its fingerprint`, {
    hint: result.manifest.warnings.join(' '),
  });
}
