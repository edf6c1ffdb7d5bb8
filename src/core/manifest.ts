import canonicalize from 'canonicalize';
import * as z from 'zod';
import { JetbackupError, NewerFormat } from './errors.ts';
import { DatabaseNameSchema, IdSchema } from './ids.ts';

/** Bytes of ciphertext per signed segment. Fixed by format v1; the manifest carries it so that a later version may choose another. */
export const SEGMENT_BYTES = 8 * 1024 * 1024;

const Sha256Schema = z.string().regex(/^[0-9a-f]{64}$/);
const InstantSchema = z.iso.datetime();
const BytesSchema = z.int().nonnegative();
const MeasureSchema = z.strictObject({ bytes: BytesSchema, sha256: Sha256Schema });

export const artifactKinds = ['dump', 'globals', 'files', 'fingerprint'] as const;
export type ArtifactKind = (typeof artifactKinds)[number];

export const codecNames = ['gzip', 'zstd'] as const;
export type CodecName = (typeof codecNames)[number];

/** One artifact: a stream that was compressed, encrypted and stored as one object, or as several in order where it outgrew what one may hold. */
export const ArtifactSchema = z.strictObject({
  kind: z.enum(artifactKinds),
  codec: z.enum(codecNames),
  /** In order; concatenated they are the sealed stream. Keys are relative to the backup's own folder, so that a manifest can never point outside it. */
  objects: z.array(z.strictObject({ name: z.string().regex(/^[a-z][a-z0-9.-]{0,62}$/), bytes: BytesSchema })).min(1),
  plain: MeasureSchema,
  compressed: MeasureSchema,
  sealed: MeasureSchema,
  /** The age recipients (public keys) that it was encrypted to. */
  recipients: z.array(z.string()).min(1),
  segmentBytes: z.int().positive(),
  /** SHA-256 of each `segmentBytes` of the sealed stream, in order. */
  segments: z.array(Sha256Schema).min(1),
});
export type Artifact = z.infer<typeof ArtifactSchema>;

export const fingerprintModes = ['content', 'counts', 'off'] as const;
export type FingerprintMode = (typeof fingerprintModes)[number];

/** What the source database is, so that a restore can make an equal one, and say beforehand what will be missing. */
export const SourceSchema = z.strictObject({
  /** The database's name on its server (the configured name may differ). */
  datname: z.string(),
  owner: z.string(),
  encoding: z.string(),
  collate: z.string(),
  ctype: z.string(),
  /** pg_database.datlocprovider: c (libc), i (ICU), b (builtin, from 17). */
  localeProvider: z.enum(['c', 'i', 'b']),
  locale: z.string().nullable(),
  icuRules: z.string().nullable(),
  collationVersion: z.string().nullable(),
  connectionLimit: z.int(),
  tablespace: z.string(),
  comment: z.string().nullable(),
  /** ALTER DATABASE ... SET and ALTER ROLE ... IN DATABASE ... SET, as `name=value` of pg_db_role_setting. */
  settings: z.array(z.strictObject({ role: z.string().nullable(), setting: z.string() })),
  /** GRANTs on the database itself, as the text of pg_database.datacl's items; null is the built-in default. */
  acl: z.array(z.string()).nullable(),
  extensions: z.array(z.strictObject({ name: z.string(), version: z.string(), schema: z.string() })),
  /** Roles that objects of this database belong to or grant rights to (pg_shdepend). */
  roles: z.array(z.string()),
  tablespaces: z.array(z.string()),
  /** pg_database_size at backup time. */
  sizeBytes: BytesSchema,
});
export type Source = z.infer<typeof SourceSchema>;

export const ServerSchema = z.strictObject({
  /** `server_version`, e.g. `17.6 (Debian 17.6-1)`. */
  version: z.string(),
  /** `server_version_num`, e.g. 170006; the major is this divided by 10000. */
  versionNum: z.int().positive(),
  /** pg_control_system().system_identifier as decimal text; null where the right to read it is missing. */
  systemIdentifier: z.string().nullable(),
  standby: z.boolean(),
});
export type Server = z.infer<typeof ServerSchema>;

export const FingerprintSummarySchema = z.strictObject({
  mode: z.enum(fingerprintModes),
  tables: z.int().nonnegative(),
  rows: z.int().nonnegative(),
  sequences: z.int().nonnegative(),
  largeObjects: z.int().nonnegative(),
  /** Objects in the inventory. */
  objects: z.int().nonnegative(),
});
export type FingerprintSummary = z.infer<typeof FingerprintSummarySchema>;

/** Everything in the manifest that the signature covers. */
export const UnsignedManifestSchema = z.strictObject({
  format: z.literal(1),
  id: IdSchema,
  database: DatabaseNameSchema,
  /** Id of the repository that it was made for (jetbackup.json). */
  repository: z.string(),
  jetbackup: z.string(),
  startedAt: InstantSchema,
  finishedAt: InstantSchema,
  /** The moment that the dump shows: everything committed before it is in. */
  snapshotInstant: InstantSchema,
  server: ServerSchema,
  source: SourceSchema,
  tools: z.strictObject({ pgDump: z.string() }),
  artifacts: z.array(ArtifactSchema).min(1),
  fingerprint: FingerprintSummarySchema,
  warnings: z.array(z.string()),
  tags: z.record(z.string(), z.string()),
  pin: z.strictObject({ reason: z.string() }).nullable(),
  keepUntil: InstantSchema.nullable(),
  /** The backup of the same database before this one, by the SHA-256 of its manifest.json as stored; null for the first. */
  previous: z.strictObject({ id: IdSchema, manifestSha256: Sha256Schema }).nullable(),
});
export type UnsignedManifest = z.infer<typeof UnsignedManifestSchema>;

export const SignatureSchema = z.strictObject({
  algorithm: z.literal('ed25519'),
  /** First 16 hex digits of the SHA-256 of the raw public key: which key, not a proof of anything. */
  keyId: z.string().regex(/^[0-9a-f]{16}$/),
  /** base64 of the 64 bytes. */
  value: z.base64(),
});
export type Signature = z.infer<typeof SignatureSchema>;

export const ManifestSchema = z.strictObject({ ...UnsignedManifestSchema.shape, signature: SignatureSchema });
export type Manifest = z.infer<typeof ManifestSchema>;

/** A manifest larger than this is not one: 8 MiB segments give 9 bytes of manifest per MiB, so this is well past 1 TiB. */
export const MANIFEST_MAX_BYTES = 64 * 1024 * 1024;

/** The bytes that are signed: RFC 8785 (JCS) of a document without its `signature`. `jq -cjS 'del(.signature)'` gives the same for the values that occur. */
export function canonicalBytes(document: object): Uint8Array {
  const { signature: _, ...unsigned } = document as { signature?: unknown };
  const text = canonicalize(unsigned);
  if (text === undefined) throw new TypeError('what is signed is always an object');
  return Buffer.from(text, 'utf8');
}

const otherManifest =
  'Restore another backup: jetbackup list. If the store keeps versions, an earlier version of the manifest may be whole.';

/**
 * Parses bytes from storage. They are untrusted: the caller checks the signature before it uses more than the id.
 * Throws `damaged`.
 */
export function parseManifest(bytes: Uint8Array, where: string): Manifest {
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new JetbackupError('damaged', `${where} is not JSON`, { cause, hint: otherManifest });
  }
  const parsed = ManifestSchema.safeParse(json);
  if (parsed.success) return parsed.data;
  const format = typeof json === 'object' && json !== null && 'format' in json ? json.format : undefined;
  if (typeof format === 'number' && format > 1) {
    throw new JetbackupError('damaged', `${where} is of format ${format}, this jetbackup reads format 1`, {
      cause: new NewerFormat(),
      hint: 'Use a newer jetbackup.',
    });
  }
  const issue = parsed.error.issues[0];
  throw new JetbackupError('damaged', `${where} is not a manifest: ${issue?.path.join('.') ?? ''}: ${issue?.message ?? ''}`, {
    cause: parsed.error,
    hint: otherManifest,
  });
}

export function encodeManifest(manifest: Manifest): Uint8Array {
  return Buffer.from(`${JSON.stringify(manifest, null, 1)}\n`, 'utf8');
}

export function artifactOf(manifest: UnsignedManifest, kind: ArtifactKind): Artifact | undefined {
  return manifest.artifacts.find((artifact) => artifact.kind === kind);
}

export function majorOf(server: Server): number {
  return Math.floor(server.versionNum / 10_000);
}
