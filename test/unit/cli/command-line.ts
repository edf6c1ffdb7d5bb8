import { PassThrough } from 'node:stream';
import { Temporal } from 'temporal-polyfill';
import type { CliContext, Composed, Operations } from '../../../src/cli/context.ts';
import { run } from '../../../src/cli/run.ts';
import { type LoadOptions, loadConfig } from '../../../src/config/load.ts';
import { retentionInput } from '../../../src/config/retention.ts';
import { Secret } from '../../../src/config/secret.ts';
import type { Manifest } from '../../../src/core/manifest.ts';
import type { RunRecord } from '../../../src/core/run-record.ts';

const SHA = 'a'.repeat(64);
export const ID = '20261120T020000Z-k3f9qa';

export function manifest(changes: Partial<Manifest> = {}): Manifest {
  const measure = { bytes: 5_000_000, sha256: SHA };
  return {
    format: 1,
    id: ID,
    database: 'shop',
    repository: '7c9a8f0e-2f4b-4a53-9c86-4b7d1f3f2a10',
    jetbackup: '0.1.0',
    startedAt: '2026-11-20T02:00:00Z',
    finishedAt: '2026-11-20T02:00:09Z',
    snapshotInstant: '2026-11-20T02:00:01.123456Z',
    server: { version: '17.6', versionNum: 170_006, systemIdentifier: '1', standby: false },
    source: {
      datname: 'shop',
      owner: 'app',
      encoding: 'UTF8',
      collate: 'C.UTF-8',
      ctype: 'C.UTF-8',
      localeProvider: 'c',
      locale: null,
      icuRules: null,
      collationVersion: null,
      connectionLimit: -1,
      tablespace: 'pg_default',
      comment: null,
      settings: [],
      acl: null,
      extensions: [{ name: 'citext', version: '1.6', schema: 'public' }],
      roles: ['app'],
      tablespaces: [],
      sizeBytes: 12_000_000,
    },
    tools: { pgDump: 'pg_dump (PostgreSQL) 17.6' },
    artifacts: [
      {
        kind: 'dump',
        codec: 'gzip',
        objects: [{ name: 'dump.pgc.gz.age', bytes: 1_000_000 }],
        plain: measure,
        compressed: { bytes: 999_000, sha256: SHA },
        sealed: { bytes: 1_000_000, sha256: SHA },
        recipients: ['age1x'],
        segmentBytes: 8_388_608,
        segments: [SHA],
      },
    ],
    fingerprint: { mode: 'content', tables: 3, rows: 1234, sequences: 1, largeObjects: 0, objects: 9 },
    warnings: [],
    tags: { deploy: 'v2.3' },
    pin: null,
    keepUntil: null,
    previous: null,
    signature: { algorithm: 'ed25519', keyId: '0123456789abcdef', value: 'AAAA' },
    ...changes,
  };
}

export function runRecord(operation: RunRecord['operation']): RunRecord {
  return {
    format: 1,
    id: '20261120T020000Z-aaaaaa',
    operation,
    database: 'shop',
    backup: ID,
    jetbackup: '0.1.0',
    host: 'h',
    startedAt: '2026-11-20T02:00:00Z',
    finishedAt: '2026-11-20T02:00:09Z',
    result: 'succeeded',
    error: null,
    phases: [{ phase: 'dump', ms: 8000, bytes: 5_000_000 }],
    rtoSeconds: operation === 'restore' ? 9.5 : null,
    rpoSeconds: operation === 'restore' ? 3600 : null,
  };
}

const unexpected = (name: string) => () => {
  throw new Error(`${name} was not expected`);
};

const idle: Operations = {
  backup: unexpected('backup'),
  recordFailedStart: unexpected('recordFailedStart'),
  planRestore: unexpected('planRestore'),
  restore: unexpected('restore'),
  exportBackup: unexpected('exportBackup'),
  listBackups: unexpected('listBackups'),
  showBackup: unexpected('showBackup'),
  surveyRetention: unexpected('surveyRetention'),
  prune: unexpected('prune'),
  surveyStatus: unexpected('surveyStatus'),
  markBackup: unexpected('markBackup'),
  acceptBackup: unexpected('acceptBackup'),
  chooseBackups: unexpected('chooseBackups'),
  exclusively: unexpected('exclusively'),
  heartbeatsFor: unexpected('heartbeatsFor'),
  createAlertRounds: unexpected('createAlertRounds'),
  factsOf: unexpected('factsOf'),
  storageFacts: unexpected('storageFacts'),
  createHistory: unexpected('createHistory'),
  isBackedUpSince: unexpected('isBackedUpSince'),
  verifyBackup: unexpected('verifyBackup'),
  testAlerts: unexpected('testAlerts'),
  listIncidents: unexpected('listIncidents'),
  acknowledgeIncidents: unexpected('acknowledgeIncidents'),
};

function stream(isTTY: boolean): PassThrough & { isTTY: boolean; columns: number } {
  return Object.assign(new PassThrough(), { isTTY, columns: 100 });
}

export interface Typed {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface World {
  readonly operations?: Partial<Operations>;
  readonly composed?: Partial<Composed>;
  readonly env?: Readonly<Record<string, string>>;
  readonly checks?: LoadOptions['checks'];
  readonly terminal?: boolean;
  readonly signal?: AbortSignal;
  readonly init?: Partial<CliContext['init']>;
  readonly loadDaemon?: CliContext['loadDaemon'];
  readonly cwd?: string;
}

export const oneDatabase = { JETBACKUP_REPOSITORY: 'file:///backups', DATABASE_URL: 'postgres://app@db/shop' };

/** What happens when somebody types `jetbackup <line>`: the real command line over operations that answer as told. */
export async function type(line: string | readonly string[], world: World = {}): Promise<Typed> {
  const streams = {
    stdin: stream(world.terminal ?? false),
    stdout: stream(world.terminal ?? false),
    stderr: stream(world.terminal ?? false),
  };
  const written = { stdout: '', stderr: '' };
  streams.stdout.on('data', (chunk: Buffer) => {
    written.stdout += chunk.toString();
  });
  streams.stderr.on('data', (chunk: Buffer) => {
    written.stderr += chunk.toString();
  });
  const env: Readonly<Record<string, string>> = world.env ?? oneDatabase;
  const cwd = world.cwd ?? '/nowhere';
  // What no fake looks into.
  const opaque = Object.freeze({}) as never;
  const exitCode = await run(typeof line === 'string' ? line.split(' ').filter((word) => word !== '') : line, {
    streams,
    env,
    cwd,
    clock: { now: () => Temporal.Instant.from('2026-11-20T12:00:00Z'), monotonicMs: () => 0, sleep: async () => {} },
    signal: world.signal ?? new AbortController().signal,
    onHangup: () => ({ [Symbol.dispose]: () => {} }),
    tellOfSignalBy: () => ({ [Symbol.dispose]: () => {} }),
    processes: opaque,
    host: 'h',
    version: '0.1.0',
    systemTimeZone: () => 'Europe/Berlin',
    defaultJobs: 2,
    load: async () => ({
      operations: { ...idle, ...world.operations },
      loadConfig: (file) => loadConfig({ file, env, cwd, search: [], ...(world.checks === undefined ? {} : { checks: world.checks }) }),
      compose: async (config) => ({
        location: 'file:///backups',
        runDeps: () => opaque,
        backupDeps: async () => opaque,
        restoreDeps: async () => opaque,
        exportDeps: async () => opaque,
        verifyDeps: async () => opaque,
        exclusiveDeps: () => opaque,
        remembering: () => opaque,
        listDeps: () => opaque,
        statusDeps: () => opaque,
        pruneDeps: async () => opaque,
        markDeps: async () => opaque,
        alertDeps: () => opaque,
        incidentDeps: () => opaque,
        alertPolicy: () => opaque,
        retentionInput: (names) => retentionInput(config, names),
        connection: () => opaque,
        target: () => ({ settings: opaque, namesDatabase: true }),
        moment: (text) => (text === 'latest' ? { kind: 'latest' } : { kind: 'id', id: text }),
        databasesInRepository: async () => ['shop'],
        close: () => {},
        ...world.composed,
      }),
      loadDaemon: world.loadDaemon ?? unexpected('loadDaemon'),
      init: {
        newKeys: async () => ({
          identity: new Secret('AGE-SECRET-KEY-1TEST'),
          recipient: 'age1recipient',
          signingKeyPem: new Secret('-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----\n'),
          signingPublicKey: 'ed25519:AAAA',
        }),
        variable: (name) => (env[name] === undefined ? undefined : new Secret(env[name] ?? '')),
        source: () => ({
          url: 'postgres://app@db:5432/shop',
          database: 'shop',
          user: 'app',
          passfile: () => new Secret('db:5432:*:app:t0psecret\n'),
        }),
        checkRepository: () => {},
        createRepository: async () => ({ id: 'repository-id', location: 'file:///backups' }),
        ...world.init,
      },
    }),
  });
  await new Promise((resolve) => setImmediate(resolve));
  return { exitCode, ...written };
}
