import type { Fingerprint, InventoryEntry, TableFingerprint } from '../../../src/core/fingerprint.ts';
import type { CheckContext } from '../../../src/verify/check.ts';
import { sampleManifest } from '../../support/manifest.ts';

export const table = (name: string, over: Partial<TableFingerprint> = {}): TableFingerprint => ({
  ...{ schema: 'public', name, kind: 'table', rows: 3, digest: '17' },
  ...over,
});
export const index = (identity: string, definition = 'aa'): InventoryEntry => ({ kind: 'index', identity, definition });
export const extension = (version: string): InventoryEntry => ({
  kind: 'extension',
  identity: 'postgis',
  definition: 'aa',
  deparsed: version,
});

export function print(over: Partial<Fingerprint> = {}): Fingerprint {
  return {
    ...{ version: 1, mode: 'content', server: { versionNum: 170_006, encoding: 'UTF8', probe: '1' } },
    ...{
      tables: [table('a'), table('b')],
      sequences: [],
      largeObjects: { count: 0, bytes: 0, digest: '0' },
      inventory: [index('public.i')],
    },
    ...over,
  };
}

/** A context in which nothing but the two fingerprints can be asked: whoever opens a connection fails. */
export function contextOf(expected: Fingerprint | undefined, actual: Fingerprint, over: Partial<CheckContext> = {}): CheckContext {
  return {
    ...{ manifest: sampleManifest(), expected, actual: async () => actual },
    settings: {
      ...{ hosts: [{ host: '192.0.2.1', port: 1 }], port: 1, user: 'nobody', database: 'none', connectTimeoutSeconds: 1 },
      ...{ ssl: { mode: 'disable' as const }, targetSessionAttributes: 'any' as const, libpqOnly: {} },
    },
    ...{
      sandbox: { kind: 'container', isOurs: true, description: 'a test' },
      noOwner: false,
      queries: [],
      queryTimeoutMs: 1,
      amcheckBytes: 0,
    },
    ...over,
  };
}
