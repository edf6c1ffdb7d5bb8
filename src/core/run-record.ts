import * as z from 'zod';
import { catalogue, type ErrorCode } from './errors.ts';
import { DatabaseNameSchema, IdSchema } from './ids.ts';
import { VerificationSchema } from './verification.ts';

const codes = Object.keys(catalogue) as [ErrorCode, ...ErrorCode[]];

/** One step of a run: wall time in ms, and bytes where it moved any. */
export const PhaseSchema = z.strictObject({ phase: z.string(), ms: z.int().nonnegative(), bytes: z.int().nonnegative().optional() });
export type Phase = z.infer<typeof PhaseSchema>;

/** What a prune decided and did, for whoever asks later where a backup went. */
export const PrunedSchema = z.strictObject({
  kept: z.int().nonnegative(),
  /** Each backup that was deleted, with every rule by which it could have stayed and did not. */
  deleted: z.array(
    z.strictObject({ id: IdSchema, snapshotInstant: z.iso.datetime(), bytes: z.int().nonnegative(), reasons: z.array(z.string()) }),
  ),
  /** Backups that were to go and that the store refuses to delete yet: until when, or `legal-hold`. */
  locked: z.array(z.strictObject({ id: IdSchema, until: z.string() })),
  /** Backups that were to go and that somebody was reading: who, and until when at least. */
  inUse: z.array(z.strictObject({ id: IdSchema, by: z.array(z.string()), until: z.iso.datetime() })).default([]),
});
export type Pruned = z.infer<typeof PrunedSchema>;

/** What every backup, restore, verification and prune leaves under runs/<yyyy>/<mm>/<id>.json, whether it went well or not. It never holds a secret. */
export const RunRecordSchema = z.strictObject({
  format: z.literal(1),
  id: IdSchema,
  operation: z.enum(['backup', 'restore', 'verify', 'prune']),
  database: DatabaseNameSchema,
  /** The backup that was made, restored or verified; null when the run failed before there was one. */
  backup: IdSchema.nullable(),
  jetbackup: z.string(),
  host: z.string(),
  startedAt: z.iso.datetime(),
  finishedAt: z.iso.datetime(),
  result: z.enum(['succeeded', 'failed', 'interrupted']),
  error: z.strictObject({ code: z.enum(codes), message: z.string(), hint: z.string().nullable() }).nullable(),
  phases: z.array(PhaseSchema),
  /**
   * Restores and verifications. `rtoSeconds`: from the request until the restored database is checked and has its name, or when verifying,
   * until it has answered its first query after every check. `rpoSeconds`: incident instant minus snapshot instant of the backup that was
   * restored, or when verifying, the age of the newest there was, counted from the start of its run.
   */
  rtoSeconds: z.number().nonnegative().nullable(),
  rpoSeconds: z.number().nullable(),
  /** Prunes only. */
  pruned: PrunedSchema.optional(),
  /** Verifications only. */
  verification: VerificationSchema.optional(),
});
export type RunRecord = z.infer<typeof RunRecordSchema>;
