import { type RetentionPolicy, resolvePolicy } from '../../retention/policy.ts';
import { readArtifact } from '../../src/catalog/artifact-reader.ts';
import { authenticate } from '../../src/catalog/authenticate.ts';
import { listCommitted, readManifest } from '../../src/catalog/catalog.ts';
import { backupPrefix } from '../../src/catalog/layout.ts';
import { manifestDigest, writeProof } from '../../src/catalog/proofs.ts';
import { createCodec } from '../../src/compression/all.ts';
import { type ByteStream, collect, MiB } from '../../src/core/bytes.ts';
import { artifactOf, type Manifest } from '../../src/core/manifest.ts';
import type { ProgressEvent } from '../../src/core/progress.ts';
import { createOpener, createSealer } from '../../src/crypto/age.ts';
import { generateIdentity, parseIdentities } from '../../src/crypto/identities.ts';
import { generateSigningKey, loadSigningKey, signDocument } from '../../src/crypto/signature.ts';
import { type BackupInput, type BackupResult, backup } from '../../src/operations/backup.ts';
import type { DatabaseSource } from '../../src/operations/backup-attempt.ts';
import { exportBackup } from '../../src/operations/export.ts';
import { acceptBackup, type MarkInput, markBackup } from '../../src/operations/mark.ts';
import { type PruneInput, type PruneResult, prune } from '../../src/operations/prune.ts';
import { initRepository } from '../../src/operations/repository.ts';
import { type DatabaseSurvey, surveyRetention } from '../../src/operations/retention.ts';
import { type StatusInput, type StatusReport, surveyStatus } from '../../src/operations/status.ts';
import { type VerifyDeps, type VerifyResult, verifyBackup } from '../../src/operations/verify.ts';
import type { Clock } from '../../src/platform/clock.ts';
import { createProcessRunner } from '../../src/platform/processes.ts';
import { parseConnection } from '../../src/postgres/connection.ts';
import type { ObjectStore } from '../../src/storage/store.ts';
import type { RestoreCheck } from '../../src/verify/check.ts';
import { fakeRestorer, fakeSandboxes } from './fake-sandbox.ts';
import { smallDatabase } from './small-archive.ts';

export const DATABASE = 'shop';

export interface SmallOptions {
  readonly store: ObjectStore;
  readonly clock: Clock;
  /** What the database holds; may throw what a dump may. */
  readonly rows: () => readonly string[];
  readonly policy: RetentionPolicy;
  readonly timeZone?: string;
  /** What is different about the database. */
  readonly source?: Partial<DatabaseSource>;
}

/** In place of the comparison, which a database that costs no time has no fingerprint for. */
const comparedEqual: RestoreCheck = { id: 'fingerprint', run: async () => ({ status: 'pass', message: 'equal' }) };

/** The real use cases over a store and a clock of the test's choice, and a database that costs no time. */
export async function openSmallInstallation({ store, clock, rows, policy, timeZone = 'UTC', source = {} }: SmallOptions) {
  const never = new AbortController().signal;
  const { id: repository } = await initRepository({ store, clock }, { recoveryText: '' }, never);
  const { identity, recipient } = await generateIdentity();
  const signingKey = loadSigningKey(generateSigningKey().privatePem, 'the test');
  const publicKeys = [signingKey.publicKey];
  const warnings: string[] = [];
  const log = (event: ProgressEvent) => {
    if (event.type === 'warning') warnings.push(event.text);
  };
  const common = { clock, log, host: 'test', version: '0.0.0', redact: (text: string) => text, publicKeys };
  const backupDeps = {
    ...{ source: { ...smallDatabase(clock, rows), ...source }, processes: createProcessRunner(), env: {} },
    ...{ codec: createCodec('gzip', { level: 1, parallel: 1 }), sealer: createSealer([recipient]), signingKey },
  };
  const opener = createOpener(parseIdentities(identity, 'the test'));
  const input: BackupInput = {
    ...{ database: DATABASE, connection: parseConnection({ url: 'postgres://nobody@127.0.0.1:1/shop', env: {} }), fingerprint: 'off' },
    ...{ files: [], rolePasswords: false, lockTimeoutMs: 1_000, lockRetries: 0, tags: {} },
  };
  const retention: PruneInput = {
    databases: [{ database: DATABASE, policy: resolvePolicy(policy), collapseRatio: 0.5 }],
    timeZone,
    dryRun: false,
  };
  // A manifest is never changed, so each is looked at once.
  const known = new Map<string, Manifest>();
  const authenticated = async (id: string): Promise<Manifest> => {
    const seen = known.get(id);
    if (seen !== undefined) return seen;
    const { manifest } = await readManifest(store, { database: DATABASE, id });
    authenticate(manifest, repository, publicKeys);
    known.set(id, manifest);
    return manifest;
  };
  return {
    warnings,
    async backup(change: Partial<BackupInput> = {}, over: ObjectStore = store): Promise<Manifest> {
      return (await backup({ ...common, ...backupDeps, store: over }, { ...input, ...change }, never)).manifest;
    },
    /** The same, with whether it was done in part. */
    backedUp(change: Partial<BackupInput>): Promise<BackupResult> {
      return backup({ ...common, ...backupDeps, store }, { ...input, ...change }, never);
    },
    prune(change: Partial<PruneInput> = {}, over: ObjectStore = store, by: Clock = clock): Promise<PruneResult> {
      return prune({ ...common, store: over, clock: by }, { ...retention, ...change }, never);
    },
    /** As `jetbackup export`, of the dump. */
    async export(id: string, output: (plain: ByteStream) => Promise<void>, over: ObjectStore = store): Promise<Manifest> {
      const deps = { ...common, store: over, opener, codec: createCodec };
      return await exportBackup(deps, { database: DATABASE, moment: { kind: 'id', id }, artifact: 'dump', output }, never);
    },
    async verify(id: string, change: Partial<VerifyDeps> = {}): Promise<VerifyResult> {
      const deps: VerifyDeps = {
        ...{ ...common, store, signingKey, opener, codec: createCodec, processes: backupDeps.processes, env: {} },
        ...{ sandboxes: fakeSandboxes(), restorer: fakeRestorer(), checks: [comparedEqual], by: 'test@test' },
        ...change,
      };
      const how = { profile: 'fast' as const, jobs: 1, queries: [], queryTimeoutMs: 1_000, timeoutMs: 18_000_000, amcheckBytes: 0 };
      return await verifyBackup(deps, { database: DATABASE, id, ...how }, never);
    },
    /** What retention makes of all backups. */
    async survey(): Promise<DatabaseSurvey> {
      const [survey] = (await surveyRetention({ ...common, store }, retention, never)).databases;
      if (survey === undefined) throw new Error('there is one database');
      return survey;
    },
    mark(id: string, change: MarkInput['change']) {
      return markBackup({ ...common, store, signingKey }, { database: DATABASE, moment: { kind: 'id', id }, change }, never);
    },
    accept(id: string, reason: string) {
      return acceptBackup({ ...common, store, signingKey }, { database: DATABASE, id, reason }, never);
    },
    status(objectives: StatusInput['databases'][number]['objectives'], over: ObjectStore = store): Promise<StatusReport> {
      return surveyStatus({ store: over, clock, publicKeys }, { databases: [{ name: DATABASE, objectives }], retention }, never);
    },
    /** Leaves what a verification of this backup leaves beside it. */
    async attachProof(id: string, outcome: 'proven' | 'failed', key = signingKey): Promise<void> {
      const madeAt = clock.now().toString({ smallestUnit: 'millisecond' });
      const proof = signDocument(
        {
          ...{ format: 1 as const, kind: 'proof' as const, repository, database: DATABASE, backup: id },
          ...{
            manifestSha256: manifestDigest(await authenticated(id)),
            run: id,
            startedAt: madeAt,
            madeAt,
            by: 'test@test',
            jetbackup: '0.0.0',
          },
          ...{ outcome, sandbox: null, phases: [], rtoSeconds: 1 },
          checks: [{ id: 'restore' as const, status: outcome === 'proven' ? ('pass' as const) : ('fail' as const), message: '', ms: 1 }],
        },
        key,
      );
      await writeProof(store, proof, never);
    },
    /** Ids of the committed backups, oldest first. Throws unless each is authentic and has all its objects, in their full size. */
    async committed(): Promise<string[]> {
      const sizes = new Map<string, number>();
      for await (const { key, size } of store.list(`${DATABASE}/`)) sizes.set(key, size);
      const ids: string[] = [];
      for (const key of sizes.keys()) {
        const id = /^[^/]+\/([^/]+)\/manifest\.json$/.exec(key)?.[1];
        if (id === undefined) continue;
        const { artifacts } = await authenticated(id);
        for (const { name, bytes } of artifacts.flatMap(({ objects }) => objects)) {
          if (sizes.get(`${DATABASE}/${id}/${name}`) !== bytes) throw new Error(`${id} lacks ${name}`);
        }
        ids.push(id);
      }
      return ids;
    },
    async snapshotInstant(id: string): Promise<string> {
      return (await authenticated(id)).snapshotInstant;
    },
    /** The archive as it comes back, decrypted, decompressed and checked. */
    async dump(id: string): Promise<Uint8Array> {
      const artifact = artifactOf(await authenticated(id), 'dump');
      if (artifact === undefined) throw new Error(`${id} holds no dump`);
      return await collect(
        readArtifact({ store, opener, codec: createCodec }, { folder: backupPrefix(DATABASE, id), artifact }, never),
        64 * MiB,
      );
    },
    /** Keys below the database's folder that belong to no committed backup. */
    async strays(): Promise<string[]> {
      const ids = new Set<string>();
      for await (const { id } of listCommitted(store, DATABASE)) ids.add(id);
      const keys: string[] = [];
      for await (const { key } of store.list(`${DATABASE}/`)) if (!ids.has(key.split('/')[1] ?? '')) keys.push(key);
      return keys.filter((key) => !key.endsWith('/accepted.json'));
    },
  };
}
