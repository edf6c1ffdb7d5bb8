import * as z from 'zod';
import { fingerprintModes } from './manifest.ts';

const Rows = z.int().nonnegative();
/** Sum of 64-bit row hashes as decimal text (it outgrows 64 bits); null in mode `counts`. */
const Digest = z
  .string()
  .regex(/^-?\d+$/)
  .nullable();

export const relationKinds = ['table', 'partition', 'materialized-view'] as const;

/**
 * What a database held, seen in one snapshot: exact row counts and order-independent content digests.
 * Stored as the `fingerprint` artifact (compressed and encrypted: names and counts are the owner's business).
 */
export const FingerprintSchema = z.strictObject({
  /** Version of the digest's definition; two fingerprints compare only when it is the same. */
  version: z.literal(1),
  mode: z.enum(fingerprintModes),
  tables: z.array(
    z.strictObject({
      schema: z.string(),
      name: z.string(),
      kind: z.enum(relationKinds),
      rows: Rows,
      digest: Digest,
      /** Materialized views only: whether its content equalled its query's. A stale one is refreshed by a restore, so it is recorded and not compared. */
      fresh: z.boolean().optional(),
    }),
  ),
  sequences: z.array(z.strictObject({ schema: z.string(), name: z.string(), lastValue: z.string(), isCalled: z.boolean() })),
  largeObjects: z.strictObject({ count: Rows, bytes: z.int().nonnegative(), digest: Digest }),
  /** Every object that a restore must bring back: kind, identity, and the SHA-256 of its normalised definition (null where the name says all). */
  inventory: z.array(z.strictObject({ kind: z.string(), identity: z.string(), definition: z.string().nullable() })),
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
