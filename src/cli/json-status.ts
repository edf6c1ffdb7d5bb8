import * as z from 'zod';
import { DatabaseNameSchema, IdSchema } from '../core/ids.ts';
import { checkIds, profiles, sandboxKinds } from '../core/verification.ts';
import { objectiveKinds, objectiveStates } from '../operations/objectives.ts';

/* The shapes of json.ts that tell of objectives and verifications; the same promises hold. */

const Instant = z.iso.datetime({ offset: true });
const Bytes = z.int().nonnegative();
const Seconds = z.number().nonnegative();

const Point = z.strictObject({ id: IdSchema, snapshotInstant: Instant, ageSeconds: Seconds });

const Phases = z.array(
  z.strictObject({ phase: z.string(), seconds: Seconds, bytes: Bytes.nullable(), bytesPerSecond: z.number().nonnegative().nullable() }),
);

/** Where and how it was measured: an RTO says little without it. `profile` is null for a server that was provided. */
const setting = { kind: z.enum(sandboxKinds), profile: z.enum(profiles).nullable(), jobs: z.int().positive() };

/** Of the verifications that compare with the newest. */
const Rto = z.strictObject({
  newest: z.strictObject({ run: IdSchema, backup: IdSchema.nullable(), at: Instant, seconds: Seconds, phases: Phases }),
  ...setting,
  medianSeconds: Seconds,
  worstSeconds: Seconds,
  runs: z.int().positive(),
  /** By how much it grows, per month of 30 days; null where that cannot be told. */
  trendSecondsPerMonth: z.number().nullable(),
});

const estimate = { bytes: Bytes, seconds: Seconds, lowerSeconds: Seconds, upperSeconds: Seconds, timesBeyond: z.number().min(1) };

const Forecast = z.strictObject({
  method: z.enum(['fitted', 'scaled']),
  runs: z.int().positive(),
  leftOut: z.int().nonnegative(),
  ...setting,
  smallestBytes: Bytes,
  largestBytes: Bytes,
  now: z.strictObject(estimate),
  /** Null where it cannot be told how the dump grows; then `projected` is empty. */
  bytesPerMonth: z.int().nullable(),
  projected: z.array(z.strictObject({ days: z.int(), ...estimate })),
  /** When the objective is expected to break, and the earliest day on which it may; null for not within two years. */
  breaks: z.strictObject({ expected: Instant.nullable(), earliest: Instant.nullable() }).nullable(),
});

const unread = {
  /** Run records of this instant and before were not read; null where all of 24 months were. */
  unreadBefore: Instant.nullable(),
  /** When the newest run began whose record this user may not read; null where all may be read. */
  deniedAt: Instant.nullable(),
};

const figures = { rto: Rto.nullable(), forecast: Forecast.nullable() };

export const StatusDocument = z.strictObject({
  command: z.literal('status'),
  repository: z.string(),
  at: Instant,
  databases: z.array(
    z.strictObject({
      database: DatabaseNameSchema,
      /** The newest recovery point, the newest that is proven, and the newest that was found bad: three different things. */
      newest: z.strictObject({ ...Point.shape, dumpBytes: Bytes.nullable(), storedBytes: Bytes }).nullable(),
      newestProven: Point.nullable(),
      newestFailed: Point.nullable(),
      backups: z.int().nonnegative(),
      storedBytes: Bytes,
      rpoObjectiveSeconds: Seconds.nullable(),
      rtoObjectiveSeconds: Seconds.nullable(),
      worstGapSeconds: Seconds.nullable(),
      ...figures,
      lastRuns: z.array(
        z.strictObject({
          operation: z.enum(['backup', 'verify', 'restore', 'prune']),
          run: IdSchema,
          startedAt: Instant,
          finishedAt: Instant,
          result: z.enum(['succeeded', 'failed', 'interrupted']),
          /** As the run record has it. */
          error: z.strictObject({ code: z.string(), message: z.string(), hint: z.string().nullable() }).nullable(),
        }),
      ),
      /** What the configuration schedules; `overdue`: it was due at `lastDue`, and nothing has run since. */
      schedule: z.array(
        z.strictObject({
          operation: z.enum(['backup', 'verify']),
          lastDue: Instant.nullable(),
          overdue: z.boolean(),
          next: Instant.nullable(),
        }),
      ),
      frozenBy: IdSchema.nullable(),
      verdicts: z.array(
        z.strictObject({
          objective: z.enum(objectiveKinds),
          state: z.enum(objectiveStates),
          wantedSeconds: Seconds.nullable(),
          why: z.string(),
        }),
      ),
    }),
  ),
  ...unread,
});
export type StatusDocument = z.infer<typeof StatusDocument>;

export const VerificationHistoryDocument = z.strictObject({
  command: z.literal('verify --history'),
  repository: z.string(),
  databases: z.array(
    z.strictObject({
      database: DatabaseNameSchema,
      /** Newest first; at most the last 400 of 24 months. */
      verifications: z.array(
        z.strictObject({
          run: IdSchema,
          at: Instant,
          backup: IdSchema.nullable(),
          /** Null: it could not be told. */
          outcome: z.enum(['proven', 'failed']).nullable(),
          attached: z.boolean(),
          kind: setting.kind.nullable(),
          profile: setting.profile,
          jobs: setting.jobs,
          rtoSeconds: Seconds.nullable(),
          phases: Phases,
          bytes: z.strictObject({ dump: Bytes, stored: Bytes, database: Bytes }).nullable(),
          rpoSeconds: z.number().nullable(),
          worstGapSeconds: Seconds.nullable(),
          failedChecks: z.array(z.enum(checkIds)),
        }),
      ),
      ...figures,
    }),
  ),
  ...unread,
});
export type VerificationHistoryDocument = z.infer<typeof VerificationHistoryDocument>;
