import { access, constants, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ByteStream, bytesOf } from '../core/bytes.ts';
import { JetbackupError } from '../core/errors.ts';
import type { Clock } from '../platform/clock.ts';
import { ProcessFailed, type ProcessRunner } from '../platform/processes.ts';
import { type ArchiveEntry, readArchiveHead } from './archive.ts';
import { dealRows } from './archive-lanes.ts';
import { withSizes } from './archive-sizes.ts';
import { connect } from './client.ts';
import { classifyFailure } from './client-errors.ts';
import { targetError } from './database-errors.ts';
import { libpqEnvironment } from './libpq-environment.ts';
import { planPasses, type Selection, stagesOf } from './passes.ts';
import { privateDirectory } from './private-directory.ts';
import { restoreSymptoms } from './restore-errors.ts';
import type { ConnectionSettings } from './settings.ts';
import type { RestoreChoices } from './target.ts';
import type { ClientTools } from './tools.ts';

export { analyzeDatabase } from './analyze.ts';
export { saidIn } from './client-errors.ts';
export { createStagingDatabase, type Staging } from './staging.ts';
export type { PromoteOptions } from './staging-promote.ts';
export type { StagingRequest } from './staging-request.ts';
export { sweepStaging } from './staging-sweep.ts';
export { createRoles, inspectTarget, missingPrerequisites, type Problem, type RestoreChoices, type TargetState } from './target.ts';

export type RestorePhase = 'pre-data' | 'data' | 'post-data';

export interface RestoreRequest extends RestoreChoices, Pick<Selection, 'tables' | 'schemas'> {
  /** Of the staging database. */
  readonly settings: ConnectionSettings;
  readonly tools: ClientTools;
  /** The custom-format archive, decrypted and decompressed. Read to its end, or its iterator is returned. */
  readonly archive: ByteStream;
  /** How many connections build indexes and constraints. */
  readonly jobs: number;
  readonly baseEnv: Readonly<Record<string, string | undefined>>;
  /** Where the head of the archive (schema, no rows) may lie for the time of the restore; default: memory-backed /dev/shm, else TMPDIR. */
  readonly temporaryDirectory?: string;
  /** Told after each pass, with its wall time in ms. */
  readonly onPhase?: (phase: RestorePhase, ms: number) => void;
}

/**
 * What makes filling a database of our own faster, and nothing of the target's own settings in the way. A crash loses
 * the last moments of a staging database, which nobody has seen yet and which is dropped then: it need not wait for
 * the disk at each commit.
 */
const SESSION = [
  'synchronous_commit=off',
  'default_transaction_read_only=off',
  'lock_timeout=0',
  'statement_timeout=0',
  'idle_in_transaction_session_timeout=0',
];

/** One pass of pg_restore. */
interface Pass {
  /** Default: none. */
  readonly stdin?: ByteStream;
  /** Settings of its session. */
  readonly options?: readonly string[];
  /** Further arguments. */
  readonly more?: readonly string[];
  /** Default: the whole restore's. */
  readonly within?: AbortSignal | undefined;
}

/** Backends that parse rows at once. One core decrypts and decompresses enough for about as many. */
const MOST_LANES = 4;

/** Memory to build one index with, in MiB; each of `jobs` connections may take it. */
const INDEX_MEMORY_MIB = 256;

/**
 * Fills an empty database from an archive that is read once, front to back, with no scratch file: the objects without
 * their rows out of the archive's head, then the rows out of the stream, then indexes, constraints and rights in
 * parallel out of the head again. Stops at the first error. Resolves only when the archive stream has ended well, too,
 * though pg_restore wants nothing of its end: the reader's last checks happen there.
 *
 * Throws `usage` (a selection that matches nothing), `role-missing`, `extension-missing`, `target-denied`, `target-too-old`, `target-unreachable`, `tools-missing`,
 * `restore-failed`, `damaged`, what the archive stream throws, or the signal's reason.
 */
export async function restoreArchive(
  deps: { readonly processes: ProcessRunner; readonly clock: Clock },
  request: RestoreRequest,
  signal?: AbortSignal,
): Promise<void> {
  const { head, rest } = await readArchiveHead(request.archive);
  const held = heldOpen(rest);
  try {
    await using directory = await privateDirectory(request.temporaryDirectory ?? (await memoryDirectory(request.baseEnv)));
    // pg_restore works in parallel only from a file that it can seek in.
    const headFile = join(directory.path, 'head');
    await writeFile(headFile, head.bytes, { mode: 0o600 });
    const noPrivileges = request.noPrivileges ?? request.noOwner;
    const named = request.noOwner ? [...new Set(head.entries.flatMap(({ policyRoles }) => policyRoles ?? []))] : [];
    const { isSuperuser, roles } = await lookAround(request.settings, named, signal);
    const passes = planPasses(head.entries, { ...request, noPrivileges, skipExtensionComments: !isSuperuser });
    if (request.noOwner) assertPolicyRoles(head.entries, passes.postData, roles);
    // Quoted, or a name with a "=" in it would be read as a connection string.
    const conninfo = `dbname='${request.settings.database.replaceAll(/[\\']/g, '\\$&')}'`;
    const pass = async (name: string, ids: readonly number[], { stdin = bytesOf(), options = [], more = [], within = signal }: Pass) => {
      const list = join(directory.path, `${name}.list`);
      await writeFile(list, ids.map((id) => `${id};\n`).join(''), { mode: 0o600 });
      await using libpq = await libpqEnvironment(request.settings, request.baseEnv, {
        applicationName: `jetbackup pg_restore ${name}`,
        options: [...SESSION, ...options].map((option) => `-c ${option}`).join(' '),
      });
      const args = [
        '--exit-on-error',
        '--no-password',
        `--dbname=${conninfo}`,
        `--use-list=${list}`,
        ...flags(request, noPrivileges),
        ...more,
      ];
      try {
        await deps.processes.consume({ program: request.tools.pgRestore, args, env: libpq.env, bulk: true }, stdin, within);
      } catch (error) {
        if (!(error instanceof ProcessFailed)) throw error;
        throw classifyFailure(error, `restoring ${name} into ${request.settings.database} failed`, restoreSymptoms, 'restore-failed');
      }
    };
    const phase = async (name: RestorePhase, work: () => Promise<void>) => {
      const started = deps.clock.monotonicMs();
      await work();
      request.onPhase?.(name, deps.clock.monotonicMs() - started);
    };
    const jobs = Math.max(1, Math.floor(request.jobs));

    await phase('pre-data', () => pass('pre-data', passes.preData, { more: [headFile] }));
    const sizes = new Map<number, number>();
    await phase('data', async () => {
      const shared = tablesToShare(head.entries);
      const dealing = { head: head.bytes, rest: held.stream, shared, onBlock: (id: number, bytes: number) => sizes.set(id, bytes) };
      const lanes = dealRows(dealing, Math.min(jobs, MOST_LANES));
      await together(signal, lanes, (lane, index, within) => {
        // Sequences and large objects are set once.
        const ids = index === 0 ? passes.data : passes.data.filter((id) => shared.has(id));
        return pass(index === 0 ? 'data' : `data-${index + 1}`, ids, { stdin: lane, within });
      });
      await held.drain(signal);
    });
    await phase('post-data', async () => {
      // In place: as long as before, it needs no room that hours of loading may have left none of.
      if (jobs > 1) await writeFile(headFile, withSizes(head, sizes), { flag: 'r+' });
      const options = [`maintenance_work_mem=${INDEX_MEMORY_MIB}MB`];
      for (const { ids, isSerial } of stagesOf(head.entries, passes.postData))
        await pass('post-data', ids, { options, more: [`--jobs=${isSerial ? 1 : jobs}`, headFile] });
    });
  } finally {
    await held.close();
  }
}

/**
 * Rows of tables that this dump makes itself. An extension's own tables (pg_extension_config_dump) have had their keys and triggers
 * since CREATE EXTENSION: their rows must come in pg_dump's order, one table after the other.
 */
function tablesToShare(entries: readonly ArchiveEntry[]): ReadonlySet<number> {
  const tables = new Set(entries.flatMap(({ desc, dumpId }) => (desc === 'TABLE' ? [dumpId] : [])));
  const isShared = ({ desc, dependencies }: ArchiveEntry) => desc === 'TABLE DATA' && dependencies.some((id) => tables.has(id));
  return new Set(entries.filter(isShared).map(({ dumpId }) => dumpId));
}

/** Runs them side by side; the first that fails stops the others, and its error is the one that is told. */
async function together<T>(
  signal: AbortSignal | undefined,
  items: readonly T[],
  run: (item: T, index: number, within: AbortSignal) => Promise<void>,
): Promise<void> {
  const stop = new AbortController();
  const within = signal === undefined ? stop.signal : AbortSignal.any([signal, stop.signal]);
  let failure: { readonly error: unknown } | undefined;
  await Promise.all(
    items.map(async (item, index) => {
      try {
        await run(item, index, within);
      } catch (error) {
        failure ??= { error };
        stop.abort(error);
      }
    }),
  );
  if (failure !== undefined) throw failure.error;
}

function flags({ noOwner, noTablespaces }: RestoreRequest, noPrivileges: boolean): string[] {
  return [
    ...(noOwner ? ['--no-owner'] : []),
    ...(noPrivileges ? ['--no-privileges'] : []),
    ...(noTablespaces === true ? ['--no-tablespaces'] : []),
  ];
}

/** Policies come with the indexes, hours after the rows: what they will fail for is told at once. Throws `role-missing`. */
function assertPolicyRoles(entries: readonly ArchiveEntry[], wanted: readonly number[], existing: ReadonlySet<string>): void {
  const ids = new Set(wanted);
  const named = entries.flatMap(({ dumpId, policyRoles }) => (ids.has(dumpId) ? (policyRoles ?? []) : []));
  const missing = [...new Set(named)].filter((role) => !existing.has(role));
  if (missing.length === 0) return;
  const list = missing.map((role) => `"${role}"`).join(', ');
  throw new JetbackupError(
    'role-missing',
    `the target lacks ${missing.length === 1 ? 'the role' : 'the roles'} ${list}, which row-level security policies are for`,
    {
      hint: `--no-owner leaves owners and rights out, but a policy needs its roles: restore with --create-roles (without login and password), or create ${missing.length === 1 ? 'it' : 'them'} first.`,
    },
  );
}

/** Whether we are a superuser there, and which of the named roles exist. Never all roles: names of others may not be text in this database's encoding. */
async function lookAround(
  settings: ConnectionSettings,
  named: readonly string[],
  signal?: AbortSignal,
): Promise<{ isSuperuser: boolean; roles: Set<string> }> {
  try {
    const { client } = await connect(settings, { applicationName: 'jetbackup restore', ...(signal === undefined ? {} : { signal }) });
    try {
      const { rows } = await client.query<{ rolsuper: boolean }>('SELECT rolsuper FROM pg_roles WHERE rolname = current_user');
      const isSuperuser = rows[0]?.rolsuper === true;
      if (named.length === 0) return { isSuperuser, roles: new Set() };
      const found = await client.query<{ rolname: string }>('SELECT rolname FROM pg_roles WHERE rolname = ANY ($1)', [named]);
      return { isSuperuser, roles: new Set(found.rows.map(({ rolname }) => rolname)) };
    } finally {
      await client.end().catch(() => {});
    }
  } catch (error) {
    signal?.throwIfAborted();
    throw targetError(error, settings);
  }
}

async function memoryDirectory(env: RestoreRequest['baseEnv']): Promise<string> {
  return await access('/dev/shm', constants.W_OK | constants.X_OK).then(
    () => '/dev/shm',
    () => env['TMPDIR'] ?? tmpdir(),
  );
}

/**
 * A stream that outlives its first reader: pg_restore may close its end after the last row it wants, and what follows
 * is still to be read by `drain`.
 */
function heldOpen(stream: ByteStream): { stream: ByteStream; drain(signal?: AbortSignal): Promise<void>; close(): Promise<void> } {
  const source = stream[Symbol.asyncIterator]();
  let ended = false;
  let failed: { readonly error: unknown } | undefined;
  const next = async () => {
    try {
      const step = await source.next();
      if (step.done === true) ended = true;
      return step;
    } catch (error) {
      // The first reader may have left while it waited, and never hear of it; asked again, the source only says that it is done.
      failed = { error };
      throw error;
    }
  };
  return {
    stream: { [Symbol.asyncIterator]: () => ({ next }) },
    async drain(signal) {
      while (!ended && failed === undefined) {
        signal?.throwIfAborted();
        await next();
      }
      if (failed !== undefined) throw failed.error;
    },
    async close() {
      if (!ended && failed === undefined) await source.return?.();
    },
  };
}
