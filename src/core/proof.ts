import * as z from 'zod';
import { DatabaseNameSchema, IdSchema } from './ids.ts';
import { SignatureSchema } from './manifest.ts';
import { PhaseSchema } from './run-record.ts';
import { CheckRecordSchema, SandboxRecordSchema } from './verification.ts';

/**
 * What the newest verification of a backup found, put beside its manifest. A backup counts as proven by this document alone,
 * and only while its signature holds and it speaks of the very manifest that lies there.
 */
export const UnsignedProofSchema = z.strictObject({
  format: z.literal(1),
  /** No other signed document has this kind: what was signed as the one can never pass for the other. */
  kind: z.literal('proof'),
  repository: z.string(),
  database: DatabaseNameSchema,
  backup: IdSchema,
  /** SHA-256 of the bytes that the manifest's signature covers (`canonicalBytes`). */
  manifestSha256: z.string().regex(/^[0-9a-f]{64}$/),
  /** The verification's run record. */
  run: IdSchema,
  startedAt: z.iso.datetime(),
  madeAt: z.iso.datetime(),
  /** Who verified: `user@host`, and with which version. */
  by: z.string(),
  jetbackup: z.string(),
  outcome: z.enum(['proven', 'failed']),
  /** Null where it failed before there was one. */
  sandbox: SandboxRecordSchema.nullable(),
  checks: z.array(CheckRecordSchema).min(1),
  phases: z.array(PhaseSchema),
  rtoSeconds: z.number().nonnegative().nullable(),
});
export type UnsignedProof = z.infer<typeof UnsignedProofSchema>;

export const ProofSchema = z.strictObject({ ...UnsignedProofSchema.shape, signature: SignatureSchema });
export type Proof = z.infer<typeof ProofSchema>;
