import * as z from 'zod';
import { DatabaseNameSchema, IdSchema } from '../core/ids.ts';
import { PhaseSchema } from '../core/run-record.ts';
import { CheckRecordSchema, SandboxRecordSchema } from '../core/verification.ts';
import { ErrorBody } from './json-error.ts';

/** A backup that was restored and looked at. */
const Verified = z.strictObject({
  database: DatabaseNameSchema,
  backup: IdSchema,
  outcome: z.enum(['proven', 'failed']),
  /** Of the verification's run record. */
  run: IdSchema,
  snapshotInstant: z.iso.datetime({ offset: true }).nullable(),
  sandbox: SandboxRecordSchema.nullable(),
  /** `findings` name what differs; they are in no record. */
  checks: z.array(z.strictObject({ ...CheckRecordSchema.shape, hint: z.string().nullable(), findings: z.array(z.string()) })),
  /** From the request to the first query's answer; null where it did not get so far. The phases before it add up to it. */
  rtoSeconds: z.number().nonnegative().nullable(),
  rpoSeconds: z.number().nullable(),
  worstGapSeconds: z.number().nonnegative().nullable(),
  phases: z.array(PhaseSchema),
  /** Whether a signed proof lies beside the backup now. */
  attached: z.boolean(),
});

export const VerifyDocument = z.strictObject({
  command: z.literal('verify'),
  verified: z.array(Verified),
  /** Backups of which nothing can be said: never a pass. */
  unverified: z.array(z.strictObject({ database: DatabaseNameSchema, backup: IdSchema.nullable(), error: ErrorBody })),
});
