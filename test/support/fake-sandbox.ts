import { collect, MiB } from '../../src/core/bytes.ts';
import { JetbackupError } from '../../src/core/errors.ts';
import type { Restorer } from '../../src/operations/restorer.ts';
import { parseConnection } from '../../src/postgres/connection.ts';
import { noFingerprint } from '../../src/postgres/fingerprint.ts';
import type { Sandbox, SandboxProvider } from '../../src/verify/sandbox.ts';
import { sampleManifest } from './manifest.ts';

const settings = parseConnection({ url: 'postgres://nobody@127.0.0.1:1/postgres', env: {} });

export interface FakeSandboxes extends SandboxProvider {
  /** Of every sandbox that was started, whether it is gone again. */
  readonly started: { gone: boolean }[];
}

/** Sandboxes without a server. `trouble` is what each says of itself; `refuse` keeps them from starting. */
export function fakeSandboxes(
  options: { readonly trouble?: string; readonly refuse?: string; readonly isOurs?: boolean; readonly leaves?: string } = {},
): FakeSandboxes {
  const started: { gone: boolean }[] = [];
  return {
    kind: 'local',
    started,
    fetch: async (_, signal) => signal.throwIfAborted(),
    async start({ profile }, signal): Promise<Sandbox> {
      signal.throwIfAborted();
      if (options.refuse !== undefined) throw new JetbackupError('sandbox-unavailable', options.refuse, { hint: 'Install it.' });
      const state = { gone: false };
      started.push(state);
      return {
        ...{ kind: 'local', description: 'PostgreSQL 15.8 of nowhere', profile, isOurs: options.isOurs ?? true, settings },
        trouble: async () => options.trouble,
        [Symbol.asyncDispose]: async () => {
          state.gone = true;
          if (options.leaves !== undefined) throw new Error(options.leaves);
        },
      };
    },
    sweep: async () => [],
  };
}

/** A server that takes every archive that can be read to its end. What is given stands in place of a step. */
export function fakeRestorer(change: Partial<Restorer> = {}): Restorer {
  const { server, source } = sampleManifest();
  const tools = {
    ...{ major: 15, minor: 8, version: 'pg_dump (PostgreSQL) 15.8', directory: '', pgDump: '', pgRestore: '', pgDumpall: '' },
    warnings: [],
  };
  return {
    findTools: async () => tools,
    inspectTarget: async () => ({
      ...{
        server,
        databaseExists: false,
        isEmpty: true,
        canPutAside: false,
        canCreateDatabase: true,
        canCreateRole: true,
        isSuperuser: true,
      },
      ...{ roles: new Set(source.roles), availableExtensions: new Map(), superuserExtensions: new Set(), tablespaces: new Set() },
    }),
    missingPrerequisites: () => [],
    loadGlobals: async () => ({ roles: 2, leftOut: 0, failures: [] }),
    createRoles: async () => [],
    sweepStaging: async () => [],
    createStagingDatabase: async () => ({
      ...{ name: 'staging', settings, warnings: [] },
      drop: async () => {},
      promote: async () => {},
      [Symbol.asyncDispose]: async () => {},
    }),
    async restoreArchive(_, { archive, onPhase }) {
      onPhase?.('pre-data', 1);
      await collect(archive, 64 * MiB);
      onPhase?.('data', 2);
      onPhase?.('post-data', 3);
    },
    analyzeDatabase: async () => {},
    takeFingerprint: async () => noFingerprint,
    measureDatabase: async () => ({ bytes: { tables: 1000, indexes: 500, total: 2000 }, firstQuery: async () => {} }),
    ...change,
  };
}
