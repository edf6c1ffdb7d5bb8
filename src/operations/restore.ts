import { checkObjects } from '../catalog/artifact-reader.ts';
import { authenticate } from '../catalog/authenticate.ts';
import { findBackup } from '../catalog/catalog.ts';
import { backupPrefix } from '../catalog/layout.ts';
import type { Moment } from '../catalog/moment.ts';
import { isJetbackupError, JetbackupError, messageOf } from '../core/errors.ts';
import type { Difference, Fingerprint } from '../core/fingerprint.ts';
import { type DatabaseName, newId } from '../core/ids.ts';
import { artifactOf, type Manifest } from '../core/manifest.ts';
import type { RunRecord } from '../core/run-record.ts';
import type { PublicKey } from '../crypto/signature.ts';
import { type ConnectionSettings, describeConnection, withDatabase } from '../postgres/connection.ts';
import { compareFingerprints, notes, takeFingerprint } from '../postgres/fingerprint.ts';
import {
  analyzeDatabase,
  createRoles,
  createStagingDatabase,
  inspectTarget,
  missingPrerequisites,
  type RestoreChoices,
  type Staging,
  sweepStaging,
  type TargetState,
} from '../postgres/restore.ts';
import { findTools } from '../postgres/tools.ts';
import { loadDump, readFingerprint, type StoredBackupDeps } from './load.ts';
import { whileReading } from './reading.ts';
import { openRepository } from './repository.ts';
import { type Run, startRun } from './run.ts';

export interface RestoreDeps extends StoredBackupDeps {
  readonly publicKeys: readonly PublicKey[];
}

export interface RestoreInput {
  readonly database: DatabaseName;
  readonly moment: Moment;
  /** The server to restore to; its database is the default name. */
  readonly target: ConnectionSettings;
  /** Name of the restored database. Default: the target's, or where that exists, the same with `_restored_<snapshot instant>`. */
  readonly as?: string;
  /** True when the name in `target` was asked for expressly (`--to`): then it must be free, or an empty database's, which steps aside. */
  readonly exactName?: boolean;
  /** Connections that build indexes and constraints. */
  readonly jobs: number;
  /** Everything belongs to the connected role, and no rights are granted. */
  readonly noOwner: boolean;
  /** Everything goes into the default tablespace. */
  readonly noTablespaces: boolean;
  readonly createRoles: boolean;
  /** Whether the restored database is compared with the backup's fingerprint before it gets its name. */
  readonly compare: boolean;
  readonly tables: readonly string[];
  readonly schemas: readonly string[];
  readonly bindir?: string;
}

/** What a restore is going to do, found out without changing anything. */
export interface RestorePlan {
  readonly manifest: Manifest;
  readonly database: string;
  readonly target: string;
  readonly rolesToCreate: readonly string[];
  readonly dumpBytes: number;
  /** An empty database of that name is there; it is renamed and kept. */
  readonly replacesEmpty: boolean;
}

export interface RestoreResult extends RestorePlan {
  readonly run: RunRecord;
  readonly warnings: readonly string[];
  /** Whether rows, contents and objects were found equal to the backup's fingerprint. */
  readonly compared: boolean;
}

interface Located {
  readonly plan: RestorePlan;
  readonly state: TargetState;
  readonly choices: RestoreChoices;
}

/** Finds the backup, authenticates it, and looks at the target. Changes nothing. Throws what `restore` throws before it starts. */
export async function planRestore(deps: RestoreDeps, input: RestoreInput, signal: AbortSignal): Promise<RestorePlan> {
  return (await locate(deps, input, await find(deps, input, signal), signal)).plan;
}

async function find(deps: RestoreDeps, input: RestoreInput, signal: AbortSignal): Promise<Manifest> {
  const { store, publicKeys } = deps;
  const repository = await openRepository(deps, signal);
  const accept = (candidate: Manifest) => authenticate(candidate, repository.id, publicKeys);
  return await findBackup(store, input.database, input.moment, accept, signal);
}

async function locate({ store }: RestoreDeps, input: RestoreInput, manifest: Manifest, signal: AbortSignal): Promise<Located> {
  const folder = backupPrefix(manifest.database, manifest.id);
  for (const artifact of manifest.artifacts) await checkObjects(store, folder, artifact, signal);
  const dump = artifactOf(manifest, 'dump');
  if (dump === undefined) throw new JetbackupError('damaged', `backup ${manifest.id} holds no dump`, { hint: 'Run: jetbackup list' });

  const state = await inspectTarget(input.target, signal);
  const replacesEmpty = input.exactName === true && input.as === undefined && state.databaseExists && state.canPutAside;
  const database = replacesEmpty ? input.target.database : await finalName(input, manifest, state, signal);
  const choices: RestoreChoices = { noOwner: input.noOwner, noPrivileges: input.noOwner, noTablespaces: input.noTablespaces };
  const rolesToCreate = input.createRoles ? manifest.source.roles.filter((role) => !state.roles.has(role)) : [];
  const withRoles = { ...state, roles: new Set([...state.roles, ...rolesToCreate]) };
  const problems = missingPrerequisites(manifest.source, manifest.server, withRoles, choices);
  const [first] = problems;
  if (first !== undefined) {
    throw new JetbackupError(first.code, problems.map((problem) => problem.message).join('; '), {
      hint: [...new Set(problems.map((problem) => problem.hint))].join(' '),
    });
  }
  const target = describeConnection(withDatabase(input.target, database));
  return { plan: { manifest, database, target, rolesToCreate, dumpBytes: dump.plain.bytes, replacesEmpty }, state, choices };
}

/** Identifiers hold 63 bytes (NAMEDATALEN - 1). */
const MAX_NAME_BYTES = 63;

async function finalName(input: RestoreInput, manifest: Manifest, state: TargetState, signal: AbortSignal): Promise<string> {
  const wanted = input.as ?? input.target.database;
  const taken =
    wanted === input.target.database
      ? state.databaseExists
      : (await inspectTarget(withDatabase(input.target, wanted), signal)).databaseExists;
  if (!taken) return wanted;
  if (input.as !== undefined || input.exactName === true) {
    throw new JetbackupError(
      'target-exists',
      `a database "${wanted}" is there already (${describeConnection(withDatabase(input.target, wanted))})`,
      {
        hint: 'jetbackup never restores over an existing database. Choose another name with --as, or rename or drop that one first.',
      },
    );
  }
  const stamp = manifest.snapshotInstant.replaceAll(/[-:]/g, '').slice(0, 15).toLowerCase();
  const suffix = `_restored_${stamp}`;
  let stem = wanted;
  while (Buffer.byteLength(stem + suffix) > MAX_NAME_BYTES) stem = stem.slice(0, -1);
  return await finalName({ ...input, as: `${stem}${suffix}` }, manifest, state, signal);
}

/**
 * Restores into a fresh database that gets its name only after everything was loaded and found equal to the backup's
 * fingerprint; until then, and if anything fails, nothing on the server has changed but a staging database, which is
 * dropped. From before it looks at the backup's objects a note in the store keeps that from being pruned. Throws `no-backup`, `damaged`, `not-authentic`, `key-wrong`, the restore, target and storage codes,
 * `check-failed`, `interrupted`, `terminated`.
 */
export async function restore(deps: RestoreDeps, input: RestoreInput, signal: AbortSignal): Promise<RestoreResult> {
  const run = startRun(deps, 'restore', input.database, newId(deps.clock.now()));
  let backup: string | null = null;
  try {
    const manifest = await run.phase('find', 'looking for the backup', () => find(deps, input, signal));
    backup = manifest.id;
    const reading = { database: manifest.database, id: manifest.id, holder: `restore on ${deps.host}` };
    const { plan, ...done } = await whileReading(deps, reading, signal, async (kept) => {
      const located = await run.phase('locate', 'looking at the backup and the target', () => locate(deps, input, manifest, kept));
      return { plan: located.plan, ...(await restoreInto(deps, input, run, located, kept)), rtoSeconds: run.elapsedMs() / 1000 };
    });
    const { rtoSeconds, ...told } = done;
    const rpoSeconds = run.startedAt.since(manifest.snapshotInstant).total('seconds');
    return { ...plan, ...told, run: await run.succeeded({ backup, rtoSeconds, rpoSeconds }) };
  } catch (error) {
    throw await run.failed(error, { backup });
  }
}

async function restoreInto(
  deps: RestoreDeps,
  input: RestoreInput,
  run: Run,
  { plan, state, choices }: Located,
  signal: AbortSignal,
): Promise<{ warnings: string[]; compared: boolean }> {
  const { manifest } = plan;
  const folder = backupPrefix(manifest.database, manifest.id);
  const dump = artifactOf(manifest, 'dump');
  if (dump === undefined) throw new TypeError('locate() has seen the dump');

  const directory = input.bindir === undefined ? {} : { directory: input.bindir };
  const request = { serverVersionNum: state.server.versionNum, purpose: 'restore' as const, dumpedBy: manifest.tools.pgDump, ...directory };
  const tools = await findTools(deps, request, signal).catch((cause: unknown) => {
    // The catalogue's `tools-missing` ends as a failed dump; here it is the restore that cannot begin.
    if (!isJetbackupError(cause, 'tools-missing')) throw cause;
    throw new JetbackupError('restore-failed', cause.message, { cause, ...(cause.hint === undefined ? {} : { hint: cause.hint }) });
  });
  const expected = input.compare ? await readFingerprint(deps, manifest, signal) : undefined;
  await sweep(deps, input.target, signal);
  if (plan.rolesToCreate.length > 0) await createRoles(input.target, plan.rolesToCreate, signal);

  await using staging = await run.phase('provision', `creating the staging database for ${plan.database}`, () =>
    createStagingDatabase(input.target, { source: manifest.source, finalName: plan.database, runId: run.id, ...choices }, signal),
  );
  try {
    const { tables, schemas, jobs } = input;
    await loadDump(deps, run, { settings: staging.settings, folder, dump, tools, choices, jobs, tables, schemas }, signal);
    await run.phase('analyze', 'collecting statistics', () => analyzeDatabase(staging.settings, input.jobs, signal));
    if (expected !== undefined) {
      await run.phase('checks', 'comparing with the backup’s fingerprint', () => compare(deps, staging, expected, input, signal));
    }
    await run.phase('promote', `naming it ${plan.database}`, async () => {
      signal.throwIfAborted();
      await staging.promote(plan.database, { replaceEmpty: plan.replacesEmpty });
    });
  } catch (error) {
    await dropStaging(deps, staging);
    throw error;
  }
  return { warnings: [...tools.warnings, ...staging.warnings], compared: expected !== undefined };
}

/** What cannot be dropped is told, since it is as large as the database; the next restore tries again. */
async function dropStaging(deps: RestoreDeps, staging: Staging): Promise<void> {
  try {
    await staging.drop();
  } catch (error) {
    const hint = isJetbackupError(error) ? error.hint : undefined;
    deps.log({
      type: 'warning',
      text: `the staging database ${staging.name} could not be dropped: ${messageOf(error)}`,
      ...(hint === undefined ? {} : { hint }),
    });
  }
}

async function sweep(deps: RestoreDeps, target: ConnectionSettings, signal: AbortSignal): Promise<void> {
  try {
    const names = await sweepStaging(target, signal);
    if (names.length > 0) deps.log({ type: 'note', text: `dropped what interrupted restores left: ${names.join(', ')}` });
  } catch (error) {
    signal.throwIfAborted();
    deps.log({ type: 'warning', text: `staging databases of interrupted restores could not be dropped: ${messageOf(error)}` });
  }
}

const SHOWN_DIFFERENCES = 20;

async function compare(
  deps: RestoreDeps,
  staging: Staging,
  expected: Fingerprint,
  input: RestoreInput,
  signal: AbortSignal,
): Promise<void> {
  const actual = await takeFingerprint(staging.settings, { mode: expected.mode }, signal);
  const partial = input.tables.length > 0 || input.schemas.length > 0;
  const named = ({ schema, name }: { readonly schema: string; readonly name: string }) =>
    input.schemas.includes(schema) || input.tables.includes(name) || input.tables.includes(`${schema}.${name}`);
  const differences: Difference[] = compareFingerprints(expected, actual, {
    noOwner: input.noOwner,
    noPrivileges: input.noOwner,
    ...(partial ? { tables: expected.tables.filter(named) } : {}),
  });
  for (const text of notes(expected, actual)) deps.log({ type: 'note', text });
  if (differences.length === 0) return;
  const shown = differences.slice(0, SHOWN_DIFFERENCES).map((difference) => `\n  ${difference.message}`);
  const more = differences.length > SHOWN_DIFFERENCES ? `\n  and ${differences.length - SHOWN_DIFFERENCES} more` : '';
  throw new JetbackupError(
    'check-failed',
    `the restored database differs from the backup’s fingerprint in ${differences.length} place(s)${shown.join('')}${more}`,
    {
      hint: 'It was dropped again. Try an older backup (jetbackup list); to have this one all the same, add --no-compare.',
    },
  );
}
