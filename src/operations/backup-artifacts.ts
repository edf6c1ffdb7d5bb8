import { type ArtifactWriting, writeArtifact } from '../catalog/artifact-writer.ts';
import { bytesOf } from '../core/bytes.ts';
import { catalogue, isJetbackupError } from '../core/errors.ts';
import type { Fingerprint } from '../core/fingerprint.ts';
import type { Artifact, FingerprintSummary } from '../core/manifest.ts';
import { tarOf } from '../files/tar.ts';
import { wholeArchive } from '../postgres/archive-end.ts';
import type { Omission } from '../postgres/beside.ts';
import { noFingerprint, summarize } from '../postgres/fingerprint.ts';
import type { Attempt } from './backup-attempt.ts';
import type { TakenSnapshot } from './backup-snapshot.ts';

/** What a backup consists of, before it is committed. */
export interface Made {
  readonly artifacts: Artifact[];
  readonly fingerprint: FingerprintSummary;
  readonly warnings: string[];
  readonly pgDump: string;
  readonly partial: boolean;
}

/**
 * Makes every artifact of one backup. What is small and may fail comes first, so that it cannot spoil hours of dumping: the
 * files and the globals; then the dump, with the fingerprint beside it and under the same snapshot. Throws what `backup` throws up to the commit; objects that were stored stay.
 */
export async function makeArtifacts(attempt: Attempt, { snapshot, canary, omissions }: TakenSnapshot): Promise<Made> {
  const { deps, input, run, signal, folder } = attempt;
  const directory = input.bindir === undefined ? {} : { directory: input.bindir };
  const request = { serverVersionNum: snapshot.server.versionNum, purpose: 'dump' as const, ...directory };
  const tools = await deps.source.findTools(deps, request, signal);
  const common = { settings: snapshot.settings, tools, baseEnv: deps.env };
  const write = (writing: Omit<ArtifactWriting, 'folder'>) => writeArtifact(deps, { ...writing, folder }, signal);
  const files: Artifact[] = [];
  const warnings: string[] = [...snapshot.warnings, ...tools.warnings];
  const omitted: Omission[] = [...omissions];

  if (input.files.length > 0) {
    files.push(
      await run.phase('files', `packing ${input.files.length} path(s)`, (onBytes) =>
        write({ kind: 'files', open: (stopped) => tarOf(input.files, stopped), onBytes }),
      ),
    );
  }

  const globals = await run.phase('globals', 'dumping roles and tablespaces', async () => {
    const dumped = await deps.source.dumpGlobals(deps, { ...common, rolePasswords: input.rolePasswords }, signal);
    warnings.push(...dumped.warnings);
    return write({ kind: 'globals', open: () => dumped.stream });
  });

  // Whichever of the two fails first stops the other.
  const stop = new AbortController();
  const either = AbortSignal.any([signal, stop.signal]);
  const ready = Promise.withResolvers<void>();
  const taking = deps.source.takeFingerprint(
    snapshot.settings,
    {
      mode: input.fingerprint,
      snapshot: snapshot.id,
      lockTimeoutMs: input.lockTimeoutMs,
      onReady: async () => ready.resolve(),
      ...(input.values === undefined ? {} : { values: input.values }),
      ...(canary === undefined ? {} : { canary }),
      onOmission: (omission) => void omitted.push(omission),
    },
    either,
  );
  taking.catch(() => {});
  let dump: Artifact;
  try {
    await untilReady(ready.promise, taking, signal);
    const sizeHint = snapshot.source.sizeBytes;
    dump = await run.phase(
      'dump',
      `dumping ${snapshot.source.datname}`,
      (onBytes) =>
        write({
          kind: 'dump',
          open: (stopped) =>
            wholeArchive(
              deps.source.dumpDatabase(
                deps,
                { ...common, snapshot: snapshot.id, lockTimeoutMs: input.lockTimeoutMs, onWarning: (text) => void warnings.push(text) },
                stopped,
              ),
            ),
          sizeHint,
          onBytes,
        }),
      sizeHint,
    );
  } catch (error) {
    stop.abort(error);
    await Promise.allSettled([taking]);
    throw error;
  }
  const taken = await run.phase('fingerprint', 'finishing the fingerprint', () => settleFingerprint(taking, signal));
  if (taken.warning !== undefined) warnings.push(taken.warning);

  const artifacts = [dump, globals, ...files];
  if (taken.fingerprint.mode !== 'off') {
    artifacts.push(await write({ kind: 'fingerprint', open: () => bytesOf(JSON.stringify(taken.fingerprint)) }));
  }
  for (const text of warnings) deps.log({ type: 'warning', text });
  for (const { text, hint } of omitted) deps.log({ type: 'warning', text, hint });
  return {
    artifacts,
    warnings: [...warnings, ...omitted.map(({ text }) => text)],
    fingerprint: summarize(taken.fingerprint),
    pgDump: tools.version,
    partial: taken.warning !== undefined || omitted.length > 0,
  };
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
