import * as z from 'zod';
import { fingerprintModes } from './manifest.ts';

const Rows = z.int().nonnegative();
/** Sum of 64-bit row hashes as decimal text (it outgrows 64 bits); null in mode `counts`. */
const Digest = z
  .string()
  .regex(/^-?\d+$/)
  .nullable();

/** `extension` is a table that belongs to an extension which marked some of its rows as the user's own (pg_extension_config_dump): only those count. */
export const relationKinds = ['table', 'partition', 'materialized-view', 'extension'] as const;

export const TableFingerprintSchema = z.strictObject({
  schema: z.string(),
  name: z.string(),
  kind: z.enum(relationKinds),
  rows: Rows,
  digest: Digest,
});
export type TableFingerprint = z.infer<typeof TableFingerprintSchema>;

export const SequenceFingerprintSchema = z.strictObject({
  schema: z.string(),
  name: z.string(),
  lastValue: z.string(),
  isCalled: z.boolean(),
  /** Negative: it counts down. Sequences are outside every snapshot, so a dump may rightly hold a later value than this, never an earlier one. */
  increment: z.string(),
  cycle: z.boolean(),
});
export type SequenceFingerprint = z.infer<typeof SequenceFingerprintSchema>;

export const InventoryEntrySchema = z.strictObject({
  /** e.g. `index`, `column`, `function`: a word for people, and a part of the key. */
  kind: z.string(),
  /** Schema-qualified and quoted; no OID in it. `kind` and `identity` together are unique. */
  identity: z.string(),
  /** First 16 hex digits of the SHA-256 over those parts of the definition that read the same on every major; null where the name says all. */
  definition: z.string().nullable(),
  /** The same over parts that the server deparses (expressions, queries): their text changes from major to major, so it compares within one only. Of an extension, its version as it is. */
  deparsed: z.string().optional(),
  owner: z.string().optional(),
  /** `grantee=letters` of aclitem, sorted, the owner as `<owner>`, nobody in particular as `PUBLIC`; absent where privileges are the built-in default. */
  privileges: z.array(z.string()).optional(),
});
export type InventoryEntry = z.infer<typeof InventoryEntrySchema>;

/**
 * What a database held, seen in one snapshot: exact row counts and order-independent content digests.
 * Stored as the `fingerprint` artifact (compressed and encrypted: names and counts are the owner's business).
 */
export const FingerprintSchema = z.strictObject({
  /** Version of the digest's definition; two fingerprints compare only when it is the same. */
  version: z.literal(1),
  mode: z.enum(fingerprintModes),
  /** Absent in mode `off`. */
  server: z
    .strictObject({
      versionNum: z.int().positive(),
      encoding: z.string(),
      /** The digest of a fixed row on this server. Where two servers disagree on it (another byte order), their digests say nothing about each other. */
      probe: z.string(),
    })
    .optional(),
  tables: z.array(TableFingerprintSchema),
  /** Tables whose rows neither the fingerprint nor the dump can see, e.g. unlogged tables on a standby. */
  unread: z.array(z.strictObject({ schema: z.string(), name: z.string(), reason: z.string() })).optional(),
  sequences: z.array(SequenceFingerprintSchema),
  largeObjects: z.strictObject({
    count: Rows,
    bytes: z.int().nonnegative(),
    digest: Digest,
    /** Digest over owners and privileges; absent in mode `off`. */
    owners: Digest.optional(),
  }),
  /** Scalars that the user named, each as its query gave it in the dump's own snapshot; `value` is text, null where it is NULL. */
  values: z.array(z.strictObject({ name: z.string(), sql: z.string(), value: z.string().nullable() })).optional(),
  /** The row that the backup wrote before its snapshot, so that recency is proven from inside the data. */
  canary: z.strictObject({ schema: z.string(), table: z.string(), backup: z.string(), writtenAt: z.iso.datetime() }).optional(),
  /** Every object that a restore must bring back. */
  inventory: z.array(InventoryEntrySchema),
});
export type Fingerprint = z.infer<typeof FingerprintSchema>;

/** One difference between two fingerprints, in words that a person on call understands. */
export interface Difference {
  readonly kind:
    | 'table-missing'
    | 'table-extra'
    | 'rows'
    | 'content'
    | 'sequence'
    | 'large-objects'
    | 'object-missing'
    | 'object-extra'
    | 'object-changed';
  /** Quoted identity, e.g. `public."tblTenants"`. */
  readonly object: string;
  readonly message: string;
}
