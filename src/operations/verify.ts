import { checkObjects, readArtifact } from '../catalog/artifact-reader.ts';
import { authenticate } from '../catalog/authenticate.ts';
import { readManifest } from '../catalog/catalog.ts';
import { backupPrefix, manifestKey, proofKey } from '../catalog/layout.ts';
import { manifestDigest, writeProof } from '../catalog/proofs.ts';
import { type ByteStream, collect, MiB } from '../core/bytes.ts';
import { isJetbackupError, JetbackupError, messageOf } from '../core/errors.ts';
import type { Fingerprint } from '../core/fingerprint.ts';
import { type DatabaseName, type Id, newId } from '../core/ids.ts';
import { artifactOf, type Manifest, majorOf } from '../core/manifest.ts';
import type { RunRecord } from '../core/run-record.ts';
import type { CheckId, CheckRecord, Profile, SandboxRecord, Verification } from '../core/verification.ts';
import { type PublicKey, type SigningKey, signDocument } from '../crypto/signature.ts';
import type { ConnectionSettings } from '../postgres/connection.ts';
import { type LoadedGlobals, superuserIn } from '../postgres/globals-load.ts';
import type { RestoreChoices, Staging } from '../postgres/restore.ts';
import { allChecks } from '../verify/all.ts';
import type { CheckContext, CheckResult, RestoreCheck, UserQuery } from '../verify/check.ts';
import type { Sandbox, SandboxProvider } from '../verify/sandbox.ts';
import { loadDump, readFingerprint, type StoredBackupDeps } from './load.ts';
import { whileReading } from './reading.ts';
import { recoveryFigures } from './recovery-gap.ts';
import { openRepository } from './repository.ts';
import type { Restorer } from './restorer.ts';
import { CLEANUP_MS, type Run, startRun } from './run.ts';

export interface VerifyDeps extends StoredBackupDeps {
  readonly publicKeys: readonly PublicKey[];
  /** Undefined on a host that has none: then the result stands in the run record alone, and the backup stays unproven. */
  readonly signingKey: SigningKey | undefined;
  readonly sandboxes: SandboxProvider;
  readonly restorer: Restorer;
  /** `user@host`, for the proof. */
  readonly by: string;
  /** Default: all there are. */
  readonly checks?: readonly RestoreCheck[];
}

export interface VerifyInput {
  readonly database: DatabaseName;
  readonly id: Id;
  readonly profile: Profile;
  /** Connections that load rows and build indexes. */
  readonly jobs: number;
  readonly queries: readonly UserQuery[];
  readonly queryTimeoutMs: number;
  readonly amcheckBytes: number;
  readonly bindir?: string;
}

export interface CheckOutcome extends CheckRecord {
  readonly hint: string | undefined;
  readonly findings: readonly string[];
}

export interface VerifyResult {
  readonly database: DatabaseName;
  readonly backup: Id;
  readonly outcome: 'proven' | 'failed';
  readonly sandbox: SandboxRecord | null;
  readonly checks: readonly CheckOutcome[];
  readonly run: RunRecord;
}

/** What is known so far; the run record tells as much, however the verification ends. */
interface Progress {
  manifest: Manifest | undefined;
  sandbox: SandboxRecord | null;
  readonly checks: CheckOutcome[];
  rtoSeconds: number | undefined;
}

/** A check that ends the verification: nothing after it could be looked at. */
class Verdict extends Error {}

/**
 * Restores one backup into a sandbox and runs every check. Resolves for backups that are proven and for those that failed; the
 * result is recorded and, where there is a key, signed and put beside the backup. Whatever keeps it from being told (no sandbox, a
 * sandbox that dies, a store that is away) is thrown, recorded, and never a pass: `sandbox-unavailable`, `unverified`, the storage
 * codes, `key-missing`, `key-wrong`, `no-backup`, `interrupted`, `terminated`. The sandbox is gone afterwards in any case.
 */
export async function verifyBackup(deps: VerifyDeps, input: VerifyInput, signal: AbortSignal): Promise<VerifyResult> {
  const run = startRun(deps, 'verify', input.database, newId(deps.clock.now()));
  const progress: Progress = { manifest: undefined, sandbox: null, checks: [], rtoSeconds: undefined };
  try {
    const { id: repository } = await openRepository(deps, signal);
    try {
      const reading = { database: input.database, id: input.id, holder: `verify on ${deps.host}` };
      await whileReading(deps, reading, signal, (kept) => examine(deps, input, { run, progress, repository }, kept));
    } catch (error) {
      if (!(error instanceof Verdict)) throw error;
    }
    const { checks, sandbox } = progress;
    const outcome = checks.some(({ status }) => status === 'fail') ? 'failed' : 'proven';
    const attached = await attach(deps, { run, progress, repository, outcome }, signal);
    const record = await conclude(deps, input, { run, progress }, { outcome, attached }, signal);
    return { database: input.database, backup: input.id, outcome, sandbox, checks, run: record };
  } catch (error) {
    const verification = recordOf(input, progress, { outcome: null, attached: false, worstGapSeconds: null });
    throw await run.failed(error, { backup: input.id, verification });
  }
}

interface Examination {
  readonly run: Run;
  readonly progress: Progress;
  readonly repository: string;
}

async function examine(
  deps: VerifyDeps,
  input: VerifyInput,
  { run, progress, repository }: Examination,
  signal: AbortSignal,
): Promise<void> {
  const { restorer, sandboxes } = deps;
  const record = recorder(deps, progress);
  const located = await run.phase('locate', 'looking at the backup', async () => {
    const manifest = await record.verdict('authentic', notAuthentic, async () => {
      const { manifest: read } = await readManifest(deps.store, { database: input.database, id: input.id }, signal);
      authenticate(read, repository, deps.publicKeys);
      return { value: read, message: `the manifest is signed by the key ${read.signature.keyId}` };
    });
    progress.manifest = manifest;
    const folder = backupPrefix(manifest.database, manifest.id);
    await record.verdict('objects', damaged, async () => {
      for (const artifact of manifest.artifacts) await checkObjects(deps.store, folder, artifact, signal);
      const count = manifest.artifacts.flatMap(({ objects }) => objects).length;
      return { value: undefined, message: `all ${count} objects are there in their full length` };
    });
    const dump = artifactOf(manifest, 'dump');
    if (dump === undefined) throw record.fails('objects', 'the backup holds no dump', 'Verify another one: jetbackup list');
    const opened = await record.whole(() => readSmall(deps, manifest, signal));
    return { manifest, folder, dump, ...opened };
  });
  const { manifest, folder, dump, expected, globals } = located;

  const { sandbox, tools } = await run.phase('provision', 'starting a sandbox', async () => {
    for (const text of await sandboxes.sweep(signal)) deps.log({ type: 'note', text: `removed what a killed run left: ${text}` });
    const started = await sandboxes.start(
      {
        ...{ runId: run.id, major: majorOf(manifest.server), source: manifest.source, profile: input.profile },
        superuser: globals === undefined ? 'postgres' : superuserIn(globals),
      },
      signal,
    );
    try {
      return { sandbox: started, ...(await prepare(deps, input, manifest, started, progress, signal)) };
    } catch (error) {
      await dispose(deps, started);
      throw error;
    }
  });
  try {
    const trusting = attribution(sandbox, signal);
    const roles = await run.phase('globals', 'making the roles', () =>
      trusting.neverTheBackup(() => makeRoles(deps, { sandbox, manifest, globals }, record, signal)),
    );
    const choices: RestoreChoices = { noOwner: roles.noOwner, noPrivileges: roles.noOwner, noTablespaces: true };
    const staging = await run.phase('create', 'creating the database', () =>
      trusting.neverTheBackup(() =>
        restorer.createStagingDatabase(
          sandbox.settings,
          { source: manifest.source, finalName: manifest.source.datname, runId: run.id, ...choices },
          signal,
        ),
      ),
    );
    try {
      await load(deps, input, { run, record, trusting, staging, folder, dump, tools, choices }, signal);
      const settings = await nameIt(deps, { run, trusting, staging, sandbox, manifest, record }, signal);
      await check(deps, input, { run, record, trusting, settings, sandbox, manifest, expected, globals: roles.globals, choices }, signal);
      const { firstQuery } = await trusting.neverTheBackup(() => restorer.measureDatabase(settings, signal));
      await run.phase('first-query', 'asking as an application would', () => trusting.neverTheBackup(firstQuery));
      progress.rtoSeconds = run.elapsedMs() / 1000;
    } finally {
      // A server of our own goes as a whole, which is quicker.
      if (!sandbox.isOurs) await staging.drop().catch((error: unknown) => tellLeftover(deps, error));
      await staging[Symbol.asyncDispose]();
    }
  } finally {
    await dispose(deps, sandbox);
  }
}

/** What belongs to the backup beside the dump, and is small: read before there is a sandbox, since damage in it needs none to be seen. */
async function readSmall(
  deps: VerifyDeps,
  manifest: Manifest,
  signal: AbortSignal,
): Promise<{ expected: Fingerprint | undefined; globals: string | undefined }> {
  const expected = await readFingerprint(deps, manifest, signal);
  const artifact = artifactOf(manifest, 'globals');
  if (artifact === undefined) return { expected, globals: undefined };
  const folder = backupPrefix(manifest.database, manifest.id);
  const bytes = await collect(readArtifact(deps, { folder, artifact }, signal), GLOBALS_MAX_BYTES);
  const files = artifactOf(manifest, 'files');
  // Nothing is done with them but to see that they open.
  if (files !== undefined) for await (const _ of readArtifact(deps, { folder, artifact: files }, signal));
  return { expected, globals: Buffer.from(bytes).toString('utf8') };
}

/** As `postgres/globals.ts` writes at most. */
const GLOBALS_MAX_BYTES = 64 * MiB;

/** Tools and prerequisites, before anything is loaded. What the sandbox lacks is never the backup's fault. */
async function prepare(
  deps: VerifyDeps,
  input: VerifyInput,
  manifest: Manifest,
  sandbox: Sandbox,
  progress: Progress,
  signal: AbortSignal,
): Promise<{ tools: Awaited<ReturnType<Restorer['findTools']>> }> {
  const { restorer } = deps;
  try {
    if (!sandbox.isOurs) await restorer.sweepStaging(sandbox.settings, signal).catch(() => []);
    const state = await restorer.inspectTarget(sandbox.settings, signal);
    const { kind, description, profile } = sandbox;
    progress.sandbox = { kind, description, versionNum: state.server.versionNum, profile };
    // Roles are made next, and looked at by a check of their own.
    const withRoles = { ...state, roles: new Set([...state.roles, ...manifest.source.roles]) };
    const problems = restorer.missingPrerequisites(manifest.source, manifest.server, withRoles, { noOwner: false, noTablespaces: true });
    if (problems.length > 0) {
      throw new JetbackupError(
        'unverified',
        `the sandbox (${description}) cannot take this backup: ${problems.map(({ message }) => message).join('; ')}`,
        {
          hint: [...new Set(problems.map(({ hint }) => hint)), imageHint(sandbox)].join(' '),
        },
      );
    }
    const directory = input.bindir === undefined ? {} : { directory: input.bindir };
    const wanted = {
      serverVersionNum: state.server.versionNum,
      purpose: 'restore' as const,
      dumpedBy: manifest.tools.pgDump,
      ...directory,
    };
    return { tools: await restorer.findTools(deps, wanted, signal) };
  } catch (error) {
    signal.throwIfAborted();
    throw await asUnverified(error, sandbox, signal);
  }
}

function imageHint({ kind }: Sandbox): string {
  if (kind === 'container') return 'Name an image that has it: verify.image (JETBACKUP_SANDBOX_IMAGE).';
  return kind === 'local' ? 'Or verify in a container: --sandbox container.' : 'Or verify on another server, or in a container.';
}

interface Roles {
  readonly globals: LoadedGlobals | undefined;
  readonly noOwner: boolean;
}

async function makeRoles(
  deps: VerifyDeps,
  { sandbox, manifest, globals: sql }: { readonly sandbox: Sandbox; readonly manifest: Manifest; readonly globals: string | undefined },
  record: Recorder,
  signal: AbortSignal,
): Promise<Roles> {
  const { restorer } = deps;
  const missing = async () => {
    const { roles } = await restorer.inspectTarget(sandbox.settings, signal);
    return manifest.source.roles.filter((role) => !roles.has(role));
  };
  if (!sandbox.isOurs) {
    const gone = await missing();
    const how = gone.length === 0 ? 'the server has the roles of its own' : 'the server lacks some roles: everything belongs to its user';
    record.add('roles', { status: 'skip', message: `roles are not made on a server that is not ours; ${how}` });
    return { globals: undefined, noOwner: gone.length > 0 };
  }
  const started = deps.clock.monotonicMs();
  const loaded = sql === undefined ? undefined : await restorer.loadGlobals(sandbox.settings, sql, signal);
  const gone = await missing();
  // So that the rest can be looked at all the same.
  if (gone.length > 0) await restorer.createRoles(sandbox.settings, gone, signal);
  const ms = deps.clock.monotonicMs() - started;
  if (loaded === undefined) {
    record.add('roles', { status: 'skip', message: 'the backup holds no globals' }, ms);
  } else if (gone.length > 0 || loaded.failures.length > 0) {
    record.add(
      'roles',
      {
        status: 'fail',
        message: `${gone.length} roles that the database needs are not in the globals, and ${loaded.failures.length} statements of the globals failed`,
        findings: [
          ...gone.map((role) => `the role "${role}" owns objects or has rights, and the globals do not make it`),
          ...loaded.failures.map(({ statement, message }) => `${statement}: ${message}`),
        ],
        hint: 'The backup user must be allowed to read all roles (pg_dumpall --globals-only); see the warnings of the backup: jetbackup show ID',
      },
      ms,
    );
  } else {
    const more = loaded.leftOut === 0 ? '' : `; ${loaded.leftOut} statements about tablespaces left out`;
    record.add('roles', { status: 'pass', message: `${loaded.roles} roles made from the globals${more}` }, ms);
  }
  return { globals: loaded, noOwner: false };
}

interface Loaded {
  readonly run: Run;
  readonly record: Recorder;
  readonly trusting: Attribution;
  readonly staging: Staging;
  readonly folder: string;
  readonly dump: Manifest['artifacts'][number];
  readonly tools: Awaited<ReturnType<Restorer['findTools']>>;
  readonly choices: RestoreChoices;
}

/** The archive is good when its stream ended well, and the restore when pg_restore had nothing to complain of. */
async function load(deps: VerifyDeps, input: VerifyInput, loaded: Loaded, signal: AbortSignal): Promise<void> {
  const { run, record, trusting, staging, folder, dump, tools, choices } = loaded;
  const { restorer } = deps;
  let ended = false;
  async function* through(archive: ByteStream): AsyncGenerator<Uint8Array> {
    yield* archive;
    ended = true;
  }
  const started = deps.clock.monotonicMs();
  try {
    const loading = { settings: staging.settings, folder, dump, tools, choices, jobs: input.jobs, through };
    await loadDump({ ...deps, restoreArchive: restorer.restoreArchive }, run, loading, signal);
  } catch (error) {
    const told = await trusting.verdictOn(error);
    const ms = deps.clock.monotonicMs() - started;
    const { message, hint = 'Verify another backup: jetbackup list' } = told;
    const [first = '', ...more] = message.split('\n');
    if (ended) record.add('archive', { status: 'pass', message: 'the archive was read to its end' });
    // What pg_restore says names objects; what the stream fails of does not.
    const id = isJetbackupError(error, 'damaged', 'not-authentic', 'storage-not-found') ? 'archive' : 'restore';
    const short = id === 'archive' ? 'the archive cannot be read to its end as it was written' : 'pg_restore failed';
    record.add(id, { status: 'fail', message: short, findings: [first, ...more], hint }, ms);
    throw new Verdict();
  }
  const ms = deps.clock.monotonicMs() - started;
  record.add('archive', { status: 'pass', message: `${dump.plain.bytes} bytes decrypted and decompressed, each segment as signed` });
  record.add('restore', { status: 'pass', message: 'pg_restore ended without an error' }, ms);
  await run.phase('analyze', 'collecting statistics', () =>
    trusting.neverTheBackup(() => restorer.analyzeDatabase(staging.settings, input.jobs, signal)),
  );
  const { bytes } = await trusting.neverTheBackup(() => restorer.measureDatabase(staging.settings, signal));
  run.moved('post-data', bytes.indexes);
  run.moved('analyze', bytes.tables);
}

/** On a server of our own the database gets its owner, rights and name, as a restore would give them. */
async function nameIt(
  deps: VerifyDeps,
  named: {
    readonly run: Run;
    readonly record: Recorder;
    readonly trusting: Attribution;
    readonly staging: Staging;
    readonly sandbox: Sandbox;
    readonly manifest: Manifest;
  },
  signal: AbortSignal,
): Promise<ConnectionSettings> {
  const { run, trusting, staging, sandbox, manifest } = named;
  if (!sandbox.isOurs) return staging.settings;
  const { datname } = manifest.source;
  const name = datname === sandbox.settings.database ? `${datname.slice(0, 40)}_verified` : datname;
  await run.phase('promote', `naming it ${name}`, async () => {
    signal.throwIfAborted();
    await trusting.neverTheBackup(() => staging.promote(name));
  });
  for (const text of staging.warnings) deps.log({ type: 'warning', text });
  return { ...staging.settings, database: name };
}

interface Checking {
  readonly run: Run;
  readonly record: Recorder;
  readonly trusting: Attribution;
  readonly settings: ConnectionSettings;
  readonly sandbox: Sandbox;
  readonly manifest: Manifest;
  readonly expected: Fingerprint | undefined;
  readonly globals: LoadedGlobals | undefined;
  readonly choices: RestoreChoices;
}

async function check(deps: VerifyDeps, input: VerifyInput, checking: Checking, signal: AbortSignal): Promise<void> {
  const { run, record, trusting, settings, sandbox, manifest, expected, choices } = checking;
  let taken: Promise<Fingerprint> | undefined;
  const context: CheckContext = {
    ...{ manifest, expected, settings, sandbox, noOwner: choices.noOwner },
    actual() {
      taken ??= deps.restorer.takeFingerprint(settings, { mode: expected?.mode ?? 'off' }, signal);
      return taken;
    },
    ...{ queries: input.queries, queryTimeoutMs: input.queryTimeoutMs, amcheckBytes: input.amcheckBytes },
  };
  await run.phase('checks', 'checking', async () => {
    for (const one of deps.checks ?? allChecks) {
      const started = deps.clock.monotonicMs();
      const result = await trusting.neverTheBackup(() => one.run(context, signal));
      record.add(one.id, result, deps.clock.monotonicMs() - started);
    }
  });
}

interface Recorder {
  add(id: CheckId, result: CheckResult, ms?: number): void;
  /** Records the failure; to be thrown. */
  fails(id: CheckId, message: string, hint: string): Verdict;
  /** A step that passes with its message, or fails with what it throws where that is the backup's fault. */
  verdict<T>(
    id: CheckId,
    isItsFault: (error: unknown) => error is JetbackupError,
    work: () => Promise<{ value: T; message: string }>,
  ): Promise<T>;
  /** A part of the backup that has to open. */
  whole<T>(work: () => Promise<T>): Promise<T>;
}

const notAuthentic = (error: unknown): error is JetbackupError => isJetbackupError(error, 'damaged', 'not-authentic');
const damaged = (error: unknown): error is JetbackupError => isJetbackupError(error, 'damaged', 'storage-not-found');

function recorder(deps: VerifyDeps, progress: Progress): Recorder {
  const { clock, log } = deps;
  const recorded: Recorder = {
    add(id, result, ms = 0) {
      const outcome: CheckOutcome = {
        ...{ id, status: result.status, message: result.message, ms: Math.round(ms) },
        hint: result.status === 'fail' ? result.hint : undefined,
        findings: result.findings ?? [],
      };
      progress.checks.push(outcome);
      log({ type: 'note', text: `${id}: ${result.status === 'pass' ? '' : `${result.status}: `}${result.message}` });
    },
    fails(id, message, hint) {
      recorded.add(id, { status: 'fail', message, hint, findings: [] });
      return new Verdict();
    },
    async verdict(id, isItsFault, work) {
      const started = clock.monotonicMs();
      try {
        const { value, message } = await work();
        recorded.add(id, { status: 'pass', message }, clock.monotonicMs() - started);
        return value;
      } catch (error) {
        if (!isItsFault(error)) throw error;
        const hint = error.hint ?? 'Verify another backup: jetbackup list';
        recorded.add(id, { status: 'fail', message: error.message, hint, findings: [] }, clock.monotonicMs() - started);
        throw new Verdict();
      }
    },
    async whole(work) {
      try {
        return await work();
      } catch (error) {
        if (!notAuthentic(error)) throw error;
        throw recorded.fails('objects', error.message, error.hint ?? 'Verify another backup: jetbackup list');
      }
    },
  };
  return recorded;
}

/** Tells whose fault a failure is. */
interface Attribution {
  /** What fails in here fails because of the sandbox, or of ourselves. */
  neverTheBackup<T>(work: () => Promise<T>): Promise<T>;
  /** The error, where the backup is to blame; throws it, as `unverified` where it is none of ours, otherwise. */
  verdictOn(error: unknown): Promise<JetbackupError>;
}

function attribution(sandbox: Sandbox, signal: AbortSignal): Attribution {
  return {
    async neverTheBackup(work) {
      try {
        return await work();
      } catch (error) {
        signal.throwIfAborted();
        throw await asUnverified(error, sandbox, signal);
      }
    },
    async verdictOn(error) {
      signal.throwIfAborted();
      if (!isJetbackupError(error, 'damaged', 'not-authentic', 'restore-failed', 'role-missing'))
        throw await asUnverified(error, sandbox, signal);
      const isOfTheStream = isJetbackupError(error, 'damaged', 'not-authentic');
      if (!isOfTheStream && (isOfTheSandbox(error) || (await sandbox.trouble(signal)) !== undefined))
        throw await asUnverified(error, sandbox, signal);
      return error;
    },
  };
}

/** What PostgreSQL says when it, its disk or its machine is at its end, or lacks what is not in a database: no word about the backup. */
const sandboxSymptoms =
  /No space left on device|could not (?:extend|write|open|fsync|resize)[^:]*: |out of (?:shared )?memory|server closed the connection|terminating connection|the database system is|could not create locale|could not connect|Cannot allocate memory|Disk quota exceeded/i;

function isOfTheSandbox(error: JetbackupError): boolean {
  return sandboxSymptoms.test(error.message) || (error.cause !== undefined && sandboxSymptoms.test(messageOf(error.cause)));
}

const ownCodes =
  /^(?:storage-|repository-|key-|config-|usage$|locked$|interrupted$|terminated$|unverified$|sandbox-unavailable$|no-backup$|bug$)/;

async function asUnverified(error: unknown, sandbox: Sandbox, signal: AbortSignal): Promise<unknown> {
  if (isJetbackupError(error) && ownCodes.test(error.code)) return error;
  const trouble = await sandbox.trouble(signal).catch((cause: unknown) => messageOf(cause));
  const hint =
    isJetbackupError(error) && error.hint !== undefined ? error.hint : 'The backup is neither proven nor found bad. Verify it again.';
  const why = trouble === undefined ? '' : ` (${trouble})`;
  return new JetbackupError(
    'unverified',
    `the verification could not go on in the sandbox, ${sandbox.description}${why}: ${messageOf(error)}`,
    {
      cause: error,
      hint,
    },
  );
}

/** What cannot be removed is told, and changes nothing about what was found. */
async function dispose(deps: VerifyDeps, sandbox: Sandbox): Promise<void> {
  try {
    await sandbox[Symbol.asyncDispose]();
  } catch (error) {
    tellLeftover(deps, error);
  }
}

function tellLeftover({ log }: VerifyDeps, error: unknown): void {
  const hint = isJetbackupError(error) && error.hint !== undefined ? { hint: error.hint } : {};
  log({ type: 'warning', text: `something of the sandbox is left: ${messageOf(error)}`, ...hint });
}

interface Concluded {
  readonly run: Run;
  readonly progress: Progress;
}

/** Signs the result and puts it beside the backup. Returns whether it lies there. */
async function attach(
  deps: VerifyDeps,
  { run, progress, repository, outcome }: Concluded & { readonly repository: string; readonly outcome: 'proven' | 'failed' },
  signal: AbortSignal,
): Promise<boolean> {
  const { manifest, sandbox, checks, rtoSeconds } = progress;
  // What is not authentic is nobody's backup: there is nothing to attach a proof to.
  if (manifest === undefined) return false;
  if (deps.signingKey === undefined) {
    deps.log({
      type: 'warning',
      text: 'there is no signing key here: the result stands in the run record only, and the backup does not count as proven',
      hint: 'Give this host a signing key of its own (signing.keyFile), and add its public key to signing.publicKey wherever backups are listed or pruned.',
    });
    return false;
  }
  const proof = signDocument(
    {
      ...{ format: 1 as const, kind: 'proof' as const, repository, database: manifest.database, backup: manifest.id },
      manifestSha256: manifestDigest(manifest),
      run: run.id,
      startedAt: run.startedAt.toString({ smallestUnit: 'millisecond' }),
      madeAt: deps.clock.now().toString({ smallestUnit: 'millisecond' }),
      by: deps.by,
      jetbackup: deps.version,
      ...{ outcome, sandbox, checks: checks.map(recordOfCheck), phases: [...run.phases()], rtoSeconds: rtoSeconds ?? null },
    },
    deps.signingKey,
  );
  await writeProof(deps.store, proof, signal);
  // A prune may have been deleting it meanwhile: then a proof would be all that is left of it.
  if ((await deps.store.stat(manifestKey(manifest.database, manifest.id), signal)) !== undefined) return true;
  await deps.store.delete(proofKey(manifest.database, manifest.id), AbortSignal.timeout(CLEANUP_MS));
  return false;
}

async function conclude(
  deps: VerifyDeps,
  input: VerifyInput,
  { run, progress }: Concluded,
  { outcome, attached }: { readonly outcome: 'proven' | 'failed'; readonly attached: boolean },
  signal: AbortSignal,
): Promise<RunRecord> {
  const figures = await recoveryFigures(deps.store, { database: input.database, now: run.startedAt }, signal);
  const verification = recordOf(input, progress, { outcome, attached, worstGapSeconds: figures.worstGapSeconds });
  const rpo = figures.newest === undefined ? {} : { rpoSeconds: run.startedAt.since(figures.newest).total('seconds') };
  const rto = progress.rtoSeconds === undefined ? {} : { rtoSeconds: progress.rtoSeconds };
  const recorded = { backup: input.id, ...rpo, ...rto, verification };
  if (outcome === 'proven') return await run.succeeded(recorded);
  const failed = progress.checks.filter(({ status }) => status === 'fail').map(({ id }) => id);
  return await run.found(new JetbackupError('check-failed', `failed: ${failed.join(', ')}`), recorded);
}

function recordOfCheck({ id, status, message, ms }: CheckOutcome): CheckRecord {
  return { id, status, message, ms };
}

function recordOf(
  { jobs }: VerifyInput,
  { manifest, sandbox, checks }: Progress,
  told: { readonly outcome: Verification['outcome']; readonly attached: boolean; readonly worstGapSeconds: number | null },
): Verification {
  const dump = manifest === undefined ? undefined : artifactOf(manifest, 'dump');
  return {
    ...told,
    ...{ sandbox, jobs, checks: checks.map(recordOfCheck) },
    snapshotInstant: manifest?.snapshotInstant ?? null,
    bytes:
      manifest === undefined || dump === undefined
        ? null
        : { dump: dump.plain.bytes, stored: dump.sealed.bytes, database: manifest.source.sizeBytes },
  };
}
