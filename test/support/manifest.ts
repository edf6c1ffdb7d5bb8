import type { Artifact, Manifest, UnsignedManifest } from '../../src/core/manifest.ts';

const zero = '0'.repeat(64);

export function sampleArtifact(over: Partial<Artifact> = {}): Artifact {
  return {
    kind: 'dump',
    codec: 'gzip',
    objects: [{ name: 'dump.pgc.gz.age', bytes: 10 }],
    plain: { bytes: 30, sha256: zero },
    compressed: { bytes: 8, sha256: zero },
    sealed: { bytes: 10, sha256: zero },
    recipients: ['age1example'],
    segmentBytes: 8 * 1024 * 1024,
    segments: [zero],
    ...over,
  };
}

/** A manifest that parses; its signature is of the right form and proves nothing. */
export function sampleManifest(over: Partial<UnsignedManifest> = {}): Manifest {
  return {
    format: 1,
    id: '20261120T020000Z-k3f9qa',
    database: 'jetadmin',
    repository: '4f0c8b3e-5d0a-4c7e-9d55-0b1f8f6f3a11',
    jetbackup: '0.1.0',
    startedAt: '2026-11-20T02:00:00Z',
    finishedAt: '2026-11-20T02:03:00Z',
    snapshotInstant: '2026-11-20T02:00:01.5Z',
    server: { version: '15.8', versionNum: 150008, systemIdentifier: '7300000000000000000', standby: false },
    source: {
      datname: 'jetadmin_production',
      owner: 'jetadmin',
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
      extensions: [{ name: 'plpgsql', version: '1.0', schema: 'pg_catalog' }],
      roles: ['jetadmin'],
      tablespaces: [],
      sizeBytes: 1_000_000,
    },
    tools: { pgDump: 'pg_dump (PostgreSQL) 15.8' },
    artifacts: [sampleArtifact()],
    fingerprint: { mode: 'content', tables: 1, rows: 1, sequences: 0, largeObjects: 0, objects: 1 },
    warnings: [],
    tags: {},
    pin: null,
    keepUntil: null,
    previous: null,
    ...over,
    signature: { algorithm: 'ed25519', keyId: '0123456789abcdef', value: Buffer.alloc(64).toString('base64') },
  };
}
