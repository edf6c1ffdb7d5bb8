import type { UnsignedManifest } from '../../src/core/manifest.ts';

const sha256 = 'a'.repeat(64);

/** A manifest in which every field has a value, and each text something that is awkward to write as JSON. */
export function sampleManifest(change: Partial<UnsignedManifest> = {}): UnsignedManifest {
  return {
    format: 1,
    id: '20261120T020000Z-k3f9qa',
    database: 'jetadmin',
    repository: 'b3b1c5f2',
    jetbackup: '0.1.0',
    startedAt: '2026-11-20T02:00:00Z',
    finishedAt: '2026-11-20T02:03:04.567Z',
    snapshotInstant: '2026-11-20T02:00:01.123456Z',
    server: { version: '17.6 (Debian 17.6-1)', versionNum: 170006, systemIdentifier: '7412345678901234567', standby: false },
    source: {
      datname: 'jet "admin"\\ база 数据 🐘',
      owner: 'owner\tof\u0001it',
      encoding: 'UTF8',
      collate: 'de_DE.UTF-8',
      ctype: 'de_DE.UTF-8',
      localeProvider: 'i',
      locale: 'und-u-ks-level2',
      icuRules: "& V << w <<< W / '</script>'",
      collationVersion: null,
      connectionLimit: -1,
      tablespace: 'pg_default',
      comment: 'line one\nline two \u2028 é e\u0301 \ufeff',
      settings: [{ role: null, setting: 'search_path="$user", public' }],
      acl: ['=Tc/postgres'],
      extensions: [{ name: 'citext', version: '1.6', schema: 'public' }],
      roles: ['app', 'Ärger'],
      tablespaces: [],
      sizeBytes: Number.MAX_SAFE_INTEGER,
    },
    tools: { pgDump: '17.6' },
    artifacts: [
      {
        kind: 'dump',
        codec: 'gzip',
        objects: [{ name: 'dump.pgc.gz.age', bytes: 123 }],
        plain: { bytes: 1_000_000_000_000, sha256 },
        compressed: { bytes: 100, sha256 },
        sealed: { bytes: 123, sha256 },
        recipients: ['age1example'],
        segmentBytes: 8_388_608,
        segments: [sha256],
      },
    ],
    fingerprint: { mode: 'content', tables: 1, rows: 10, sequences: 0, largeObjects: 0, objects: 3 },
    warnings: ['a "quoted" warning / with a slash'],
    tags: { deploy: 'v2.3', Ünïcode: 'ok', 'a-b': '1', a_b: '2', B: '3' },
    pin: { reason: 'before the upgrade' },
    keepUntil: null,
    previous: { id: '20261119T020000Z-000000', manifestSha256: sha256 },
    ...change,
  };
}
