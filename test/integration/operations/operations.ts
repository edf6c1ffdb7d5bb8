import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createCodec } from '../../../src/compression/all.ts';
import type { ProgressEvent } from '../../../src/core/progress.ts';
import { createOpener, createSealer } from '../../../src/crypto/age.ts';
import { generateIdentity, parseIdentities } from '../../../src/crypto/identities.ts';
import { generateSigningKey, loadSigningKey } from '../../../src/crypto/signature.ts';
import { type BackupDeps, type BackupInput, type BackupResult, backup, postgres } from '../../../src/operations/backup.ts';
import type { DatabaseSource } from '../../../src/operations/backup-attempt.ts';
import { initRepository } from '../../../src/operations/repository.ts';
import { type RestoreDeps, type RestoreInput, restore } from '../../../src/operations/restore.ts';
import { type Clock, systemClock } from '../../../src/platform/clock.ts';
import { createProcessRunner } from '../../../src/platform/processes.ts';
import { parseConnection } from '../../../src/postgres/connection.ts';
import type { ObjectStore } from '../../../src/storage/store.ts';
import { clientTools } from '../../support/client-tools.ts';
import type { PostgresServer } from '../../support/postgres.ts';

export interface BackupChange {
  readonly input?: Partial<BackupInput>;
  readonly clock?: Clock;
  readonly source?: DatabaseSource;
  readonly signal?: AbortSignal;
}

/** The use cases over real parts, with a store and a clock of the test's choice. */
export interface Workshop extends AsyncDisposable {
  /** Warnings and notes so far. */
  readonly log: readonly ProgressEvent[];
  /** Where the client programs put their temporary files. */
  readonly temporary: string;
  init(store: ObjectStore): Promise<void>;
  backup(store: ObjectStore, change?: BackupChange): Promise<BackupResult>;
  /** Restores as `restored`. */
  restore(store: ObjectStore, change?: Partial<RestoreInput>, signal?: AbortSignal): ReturnType<typeof restore>;
  readonly backupDeps: Omit<BackupDeps, 'store'>;
  readonly restoreDeps: Omit<RestoreDeps, 'store'>;
}

export async function openWorkshop(server: Pick<PostgresServer, 'major' | 'url'>, database: string): Promise<Workshop> {
  const temporary = await mkdtemp(join(tmpdir(), 'jetbackup-operations-'));
  const { directory: bindir } = await clientTools(server.major);
  const { identity, recipient } = await generateIdentity();
  const signingKey = loadSigningKey(generateSigningKey().privatePem, 'the test');
  const log: ProgressEvent[] = [];
  const common = {
    clock: systemClock,
    processes: createProcessRunner(),
    host: 'test',
    version: '0.0.0',
    redact: (text: string) => text,
    env: { PATH: process.env['PATH'] ?? '', TMPDIR: temporary },
    log: (event: ProgressEvent) => {
      if (event.type === 'note' || event.type === 'warning') log.push(event);
    },
  };
  const backupDeps = {
    ...common,
    source: postgres,
    sealer: createSealer([recipient]),
    codec: createCodec('gzip', { level: 1 }),
    signingKey,
  };
  const restoreDeps = {
    ...common,
    opener: createOpener(parseIdentities(identity, 'the test')),
    codec: (name: 'gzip' | 'zstd') => createCodec(name),
    publicKeys: [signingKey.publicKey],
  };
  const connection = parseConnection({ url: server.url(database), env: {} });
  const never = new AbortController().signal;
  return {
    log,
    temporary,
    backupDeps,
    restoreDeps,
    init: async (store) => void (await initRepository({ store, clock: systemClock }, { recoveryText: '' }, never)),
    backup(store, { input = {}, clock = systemClock, source = postgres, signal = never } = {}) {
      const whole: BackupInput = {
        ...{ database, connection, bindir, fingerprint: 'content', files: [], rolePasswords: true, tags: {} },
        ...{ lockTimeoutMs: 5_000, lockRetries: 0, ...input },
      };
      return backup({ ...backupDeps, clock, source, store }, whole, signal);
    },
    restore(store, change = {}, signal = never) {
      const whole: RestoreInput = {
        ...{ database, moment: { kind: 'latest' }, target: connection, as: 'restored', bindir, jobs: 2 },
        ...{ noOwner: false, noTablespaces: false, createRoles: false, compare: true, tables: [], schemas: [], ...change },
      };
      return restore({ ...restoreDeps, store }, whole, signal);
    },
    [Symbol.asyncDispose]: () => rm(temporary, { recursive: true, force: true }),
  };
}

/** Sessions and databases of ours that are left on the server. */
export async function leftOn(server: PostgresServer): Promise<unknown[]> {
  return await server.query(
    `SELECT application_name AS what FROM pg_stat_activity WHERE application_name LIKE 'jetbackup%'
      UNION ALL SELECT datname FROM pg_database WHERE datname LIKE '%jetbackup%' OR datname = 'restored'`,
  );
}
