import { checkObjects, readArtifact } from '../catalog/artifact-reader.ts';
import { authenticate } from '../catalog/authenticate.ts';
import { readManifest } from '../catalog/catalog.ts';
import { backupPrefix } from '../catalog/layout.ts';
import { type ByteStream, collect, MiB } from '../core/bytes.ts';
import { isJetbackupError, JetbackupError } from '../core/errors.ts';
import type { Fingerprint } from '../core/fingerprint.ts';
import { newId } from '../core/ids.ts';
import { artifactOf, type Manifest, majorOf } from '../core/manifest.ts';
import { isSignedBy, type PublicKey } from '../crypto/signature.ts';
import { limitTo, within } from '../platform/deadline.ts';
import type { ConnectionSettings } from '../postgres/connection.ts';
import { type LoadedGlobals, superuserIn } from '../postgres/globals-load.ts';
import type { RestoreChoices, Staging } from '../postgres/restore.ts';
import { allChecks } from '../verify/all.ts';
import type { CheckContext } from '../verify/check.ts';
import type { Sandbox } from '../verify/sandbox.ts';
import { loadDump, readFingerprint } from './load.ts';
import { whileReading } from './reading.ts';
import { openRepository } from './repository.ts';
import type { Restorer } from './restorer.ts';
import { CLEANUP_MS, type Run, startRun } from './run.ts';
import { type Attribution, attribution } from './verify-attribution.ts';
import type { VerifyDeps, VerifyInput, VerifyResult } from './verify-deps.ts';
import { attach, conclude } from './verify-proof.ts';
import { damaged, type Found, notAuthentic, type Recorder, recorder, recordOf, Verdict } from './verify-record.ts';
import { dispose, makeRoles, prepare, tellLeftover } from './verify-sandbox.ts';

export type { VerifyDeps, VerifyInput, VerifyResult } from './verify-deps.ts';
export type { CheckOutcome } from './verify-record.ts';

/**
 * Restores one backup into a sandbox and runs every check. Resolves for backups that are proven and for those that failed; the
 * result is recorded and, where there is a key, signed and put beside the backup. Whatever keeps it from being told (no sandbox, a
 * sandbox that dies, a store that is away) is thrown, recorded, and never a pass: `sandbox-unavailable`, `unverified`, the storage
 * codes, `key-missing`, `key-wrong`, `no-backup`, `interrupted`, `terminated`. The sandbox is gone afterwards in any case.
 */
export async function verifyBackup(deps: VerifyDeps, input: VerifyInput, signal: AbortSignal): Promise<VerifyResult> {
  const run = startRun(deps, 'verify', input.database, newId(deps.clock.now()));
  const found: Found = { manifest: undefined, sandbox: null, checks: [], rtoSeconds: undefined, asideMs: 0 };
  try {
    const { id: repository } = await openRepository(deps, signal);
    try {
      const reading = { database: input.database, id: input.id, holder: `verify on ${deps.host}` };
      // A function of the database may never end, and a server may hang: then nothing is known, and what waits behind goes on.
      using limit = limitTo(deps.clock, input.timeoutMs, { signal, late: () => tookTooLong(input.timeoutMs) });
      await whileReading(deps, reading, limit.signal, (kept) => examine(deps, input, { run, found, repository }, kept));
    } catch (error) {
      if (!(error instanceof Verdict)) throw error;
    }
    const { checks, sandbox } = found;
    const outcome = checks.some(({ status }) => status === 'fail') ? 'failed' : 'proven';
    if (outcome === 'proven') assertCompared(found);
    const attached = await attach(deps, { run, found, repository, outcome }, signal);
    const record = await conclude(deps, input, { run, found }, { outcome, attached }, signal);
    return { database: input.database, backup: input.id, outcome, sandbox, checks, run: record };
  } catch (error) {
    const verification = recordOf(input.jobs, found, { outcome: null, attached: false, worstGapSeconds: null });
    const rto = found.rtoSeconds === undefined ? {} : { rtoSeconds: found.rtoSeconds };
    throw await run.failed(error, { backup: input.id, ...rto, verification });
  }
}

function tookTooLong(timeoutMs: number): JetbackupError {
  return new JetbackupError('unverified', `the verification took longer than ${Math.round(timeoutMs / 60_000)} minutes, and was stopped`, {
    hint: 'See in its run record which phase took so long. Raise verify.timeout if the database needs it.',
  });
}

/** A restore without an error proves that there was something to restore, and not that it is what was there. */
function assertCompared({ checks }: Found): void {
  if (checks.some(({ id, status }) => id === 'fingerprint' && status === 'pass')) return;
  throw new JetbackupError(
    'unverified',
    'it was restored without an error, and there is nothing to compare it with: the backup has no fingerprint',
    {
      hint: 'Set fingerprint to content (or counts) in the database’s configuration; the backups from then on can be proven. The warnings of this one say why it has none: jetbackup show ID',
    },
  );
}

interface Examination {
  readonly run: Run;
  readonly found: Found;
  readonly repository: string;
}

async function examine(deps: VerifyDeps, input: VerifyInput, { run, found, repository }: Examination, signal: AbortSignal): Promise<void> {
  const { restorer, sandboxes } = deps;
  const record = recorder(deps, found);
  // The repository was opened, and a note left that keeps the backup: a restore does both.
  run.add({ phase: 'find', ms: run.elapsedMs() });
  // Neither is part of what a restore would take.
  await aside(deps, found, async () => {
    for (const text of await sandboxes.sweep(signal)) deps.log({ type: 'note', text: `removed what a killed run left: ${text}` });
  });
  const located = await run.phase('locate', 'looking at the backup', async () => {
    const manifest = await record.verdict('authentic', notAuthentic, async () => {
      const { manifest: read } = await readManifest(deps.store, { database: input.database, id: input.id }, signal);
      assertKnownKey(read, deps.publicKeys);
      authenticate(read, repository, deps.publicKeys);
      return { value: read, message: `the manifest is signed by the key ${read.signature.keyId}` };
    });
    found.manifest = manifest;
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

  await aside(deps, found, () => sandboxes.fetch({ major: majorOf(manifest.server) }, signal));
  const { sandbox, tools } = await run.phase('provision', 'starting a sandbox', async () => {
    const started = await sandboxes.start(
      {
        ...{ runId: run.id, major: majorOf(manifest.server), source: manifest.source, profile: input.profile },
        superuser: globals === undefined ? 'postgres' : superuserIn(globals),
      },
      signal,
    );
    try {
      return { sandbox: started, ...(await prepare(deps, input, manifest, started, found, signal)) };
    } catch (error) {
      await dispose(deps, started);
      throw error;
    }
  });
  try {
    const isOlder = (found.sandbox?.versionNum ?? 0) < manifest.server.versionNum;
    const trusting = attribution({ sandbox, isOlder }, signal);
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
      await run.phase('first-query', 'asking as an application would', () =>
        trusting.neverTheBackup(async () => (await restorer.measureDatabase(settings, signal)).firstQuery()),
      );
      found.rtoSeconds = (run.elapsedMs() - found.asideMs) / 1000;
    } finally {
      // A server of our own goes as a whole, which is quicker.
      if (!sandbox.isOurs) await within(deps.clock, CLEANUP_MS, () => staging.drop()).catch((error: unknown) => tellLeftover(deps, error));
      await staging[Symbol.asyncDispose]();
    }
  } finally {
    await dispose(deps, sandbox);
  }
}

/** Time that is no part of the RTO. */
async function aside(deps: VerifyDeps, found: Found, work: () => Promise<void>): Promise<void> {
  const started = deps.clock.monotonicMs();
  await work();
  found.asideMs += deps.clock.monotonicMs() - started;
}

/**
 * A manifest that a key signed which is not trusted here says nothing about the backup: the key may be missing in the configuration.
 * One that a trusted key did sign, and only names another, was changed.
 */
function assertKnownKey(manifest: Manifest, publicKeys: readonly PublicKey[]): void {
  const { keyId } = manifest.signature;
  if (publicKeys.length === 0 || publicKeys.some((known) => known.keyId === keyId)) return;
  const signedBy = publicKeys.some((known) => isSignedBy(manifest, known));
  if (signedBy) return;
  throw new JetbackupError('key-missing', `the manifest of ${manifest.id} is signed by the key ${keyId}, which is not trusted here`, {
    hint: 'If it is a key of yours, add its public key to signing.publicKey, and verify again. If not, somebody else wrote this backup.',
  });
}

/** What belongs to the backup beside the dump, and is small: read before there is a sandbox, since damage in it needs none to be seen. */
async function readSmall(
  deps: VerifyDeps,
  manifest: Manifest,
  signal: AbortSignal,
): Promise<{ expected: Fingerprint | undefined; globals: string | undefined }> {
  const expected = await readFingerprint(deps, manifest, signal);
  const folder = backupPrefix(manifest.database, manifest.id);
  const files = artifactOf(manifest, 'files');
  // Nothing is done with them but to see that they open.
  if (files !== undefined) for await (const _ of readArtifact(deps, { folder, artifact: files }, signal));
  const artifact = artifactOf(manifest, 'globals');
  if (artifact === undefined) return { expected, globals: undefined };
  const bytes = await collect(readArtifact(deps, { folder, artifact }, signal), GLOBALS_MAX_BYTES);
  return { expected, globals: Buffer.from(bytes).toString('utf8') };
}

/** As `postgres/globals.ts` writes at most. */
const GLOBALS_MAX_BYTES = 64 * MiB;

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

const loadingPhases: ReadonlySet<string> = new Set(['pre-data', 'data', 'post-data']);

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
  // Before tables are made, the head of the archive is fetched and opened: with a large first segment and a slow store, seconds.
  const passes = run.phases().reduce((sum, phase) => sum + (loadingPhases.has(phase.phase) ? phase.ms : 0), 0);
  run.add({ phase: 'open', ms: Math.max(0, ms - passes) });
  record.add('archive', { status: 'pass', message: `${dump.plain.bytes} bytes decrypted and decompressed, each segment as signed` });
  record.add('restore', { status: 'pass', message: 'pg_restore ended without an error' }, ms);
  const { bytes } = await run.phase('analyze', 'collecting statistics', () =>
    trusting.neverTheBackup(async () => {
      await restorer.analyzeDatabase(staging.settings, input.jobs, signal);
      return await restorer.measureDatabase(staging.settings, signal);
    }),
  );
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
