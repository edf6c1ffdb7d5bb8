import * as z from 'zod';
import { catalogue, type ErrorCode } from './errors.ts';
import { DatabaseNameSchema, IdSchema } from './ids.ts';

const codes = Object.keys(catalogue) as [ErrorCode, ...ErrorCode[]];

/** One step of a run: wall time in ms, and bytes where it moved any. */
export const PhaseSchema = z.strictObject({ phase: z.string(), ms: z.int().nonnegative(), bytes: z.int().nonnegative().optional() });
export type Phase = z.infer<typeof PhaseSchema>;

/** What every backup and restore leaves under runs/<yyyy>/<mm>/<id>.json, whether it went well or not. It never holds a secret. */
export const RunRecordSchema = z.strictObject({
  format: z.literal(1),
  id: IdSchema,
  operation: z.enum(['backup', 'restore']),
  database: DatabaseNameSchema,
  /** The backup that was made or restored; null when the run failed before there was one. */
  backup: IdSchema.nullable(),
  jetbackup: z.string(),
  host: z.string(),
  startedAt: z.iso.datetime(),
  finishedAt: z.iso.datetime(),
  result: z.enum(['succeeded', 'failed', 'interrupted']),
  error: z.strictObject({ code: z.enum(codes), message: z.string(), hint: z.string().nullable() }).nullable(),
  phases: z.array(PhaseSchema),
  /** Restores only: seconds from request to the last check passed, and incident instant minus snapshot instant. */
  rtoSeconds: z.number().nonnegative().nullable(),
  rpoSeconds: z.number().nullable(),
});
export type RunRecord = z.infer<typeof RunRecordSchema>;
