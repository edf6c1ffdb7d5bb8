import * as z from 'zod';
import { DatabaseNameSchema, IdSchema } from './ids.ts';
import { SignatureSchema } from './manifest.ts';

const InstantSchema = z.iso.datetime();

/**
 * What an operator decided about a backup after it was made. The manifest is never changed; this stands beside it and, where it
 * is there, counts instead of the manifest's own pin and keepUntil.
 */
export const UnsignedMarkSchema = z.strictObject({
  format: z.literal(1),
  /** No manifest has this field: what was signed as the one can never pass for the other. */
  kind: z.literal('mark'),
  repository: z.string(),
  database: DatabaseNameSchema,
  backup: IdSchema,
  madeAt: InstantSchema,
  pin: z.strictObject({ reason: z.string(), until: InstantSchema.nullable() }).nullable(),
  keepUntil: InstantSchema.nullable(),
});
export type UnsignedMark = z.infer<typeof UnsignedMarkSchema>;

export const MarkSchema = z.strictObject({ ...UnsignedMarkSchema.shape, signature: SignatureSchema });
export type Mark = z.infer<typeof MarkSchema>;

/**
 * An operator looked at a backup whose size or row count had collapsed, and found it right: deletion is no longer frozen
 * because of it or of any before it. There is one for each database, and it outlives the backup that it names.
 */
export const UnsignedAcceptanceSchema = z.strictObject({
  format: z.literal(1),
  kind: z.literal('acceptance'),
  repository: z.string(),
  database: DatabaseNameSchema,
  backup: IdSchema,
  madeAt: InstantSchema,
  reason: z.string(),
});
export type UnsignedAcceptance = z.infer<typeof UnsignedAcceptanceSchema>;

export const AcceptanceSchema = z.strictObject({ ...UnsignedAcceptanceSchema.shape, signature: SignatureSchema });
export type Acceptance = z.infer<typeof AcceptanceSchema>;
