import * as z from 'zod';
import { tiers } from '../../retention/calendar.ts';
import { DatabaseNameSchema, IdSchema } from '../core/ids.ts';

/* The shapes of json.ts that retention has a part in; the same promises hold. */

const Instant = z.iso.datetime({ offset: true });
const Bytes = z.int().nonnegative();

/** What retention says of a backup: see retention/README.md. */
export const RetentionFields = z.strictObject({
  /** The slots that it stands for; `place` 1 is the tier's newest. */
  tiers: z.array(z.strictObject({ tier: z.enum(tiers), slot: z.string(), place: z.int(), of: z.int() })),
  /** One line for each rule by which it stays, or for each by which it could have and does not; empty where nothing can be said. */
  reasons: z.array(z.string()),
  /** The day of the configured zone on which it is expected to go; null where it outlasts the next 13 months, or nothing can be said. */
  goesOn: z.iso.date().nullable(),
  /** What its newest verification found; null where nothing can be said. */
  proof: z.enum(['proven', 'failed', 'unproven']).nullable(),
});
export type RetentionFields = z.infer<typeof RetentionFields>;

/** As the mark says, or where there is none the manifest. */
export const Promises = z.strictObject({
  pin: z.strictObject({ reason: z.string(), until: Instant.nullable() }).nullable(),
  keepUntil: Instant.nullable(),
});

/** What a prune did, or with `dryRun` would do, by database. */
const PrunedDatabases = z.array(
  z.strictObject({
    database: DatabaseNameSchema,
    /** False where no policy lets anything go. */
    limited: z.boolean(),
    /** The backup whose collapse has frozen deletion. */
    frozenBy: IdSchema.nullable(),
    notes: z.array(z.string()),
    /** Every backup, by time. `deleted` is whether it is gone now. */
    backups: z.array(
      z.strictObject({
        id: IdSchema,
        snapshotInstant: Instant.nullable(),
        storedBytes: Bytes,
        stays: z.boolean(),
        reasons: z.array(z.string()),
        deleted: z.boolean(),
      }),
    ),
    /** Bytes of what was deleted; in a dry run, of what would be. */
    freedBytes: Bytes,
    /** Were to go, but the store refuses: until an instant, or `legal-hold`. */
    locked: z.array(z.strictObject({ id: IdSchema, until: z.union([Instant, z.literal('legal-hold')]) })),
    /** Were to go, but are being read: by whom, and until when if none of them gives a further sign of life. */
    inUse: z.array(z.strictObject({ id: IdSchema, by: z.array(z.string()), until: Instant })),
    /** Were to go, but somebody decided something about them meanwhile. */
    spared: z.array(IdSchema),
    /** Folders of dead runs that were removed. */
    orphans: z.array(IdSchema),
    run: IdSchema.nullable(),
  }),
);

export const PruneSummary = z.strictObject({
  databases: PrunedDatabases,
  /** Run records and unfinished uploads that were removed for their age. */
  runRecords: z.int().nonnegative(),
  uploads: z.int().nonnegative(),
});
export type PruneSummary = z.infer<typeof PruneSummary>;

export const PruneDocument = z.strictObject({ command: z.literal('prune'), dryRun: z.boolean(), ...PruneSummary.shape });

const Slots = z.strictObject({ hourly: z.int(), daily: z.int(), weekly: z.int(), monthly: z.int(), yearly: z.int() });

export const SimulateDocument = z.strictObject({
  command: z.literal('prune --simulate'),
  from: Instant,
  until: Instant,
  timeZone: z.string(),
  databases: z.array(
    z.strictObject({
      database: DatabaseNameSchema,
      limited: z.boolean(),
      /** In words, and what each coming backup is taken to occupy. */
      assumed: z.strictObject({ schedule: z.string(), bytesPerBackup: Bytes }),
      /** How many slots each tier of the policy has, 0 for none. */
      slots: Slots,
      /** Per tier of the policy the first day at whose end all its slots are filled; null where that is later. */
      completeFrom: z.partialRecord(z.enum(tiers), z.iso.date().nullable()),
      /** Each day's end; a backup to come is called `simulated-000001` and so on. */
      days: z.array(
        z.strictObject({
          date: z.iso.date(),
          kept: z.array(z.string()),
          tiers: Slots,
          bytes: Bytes,
          appeared: z.array(z.string()),
          gone: z.array(z.string()),
        }),
      ),
    }),
  ),
});
export type SimulateDocument = z.infer<typeof SimulateDocument>;

export const AcceptDocument = z.strictObject({
  command: z.literal('prune --accept'),
  database: DatabaseNameSchema,
  backup: IdSchema,
  reason: z.string(),
  acceptedAt: Instant,
});

const marked = { database: DatabaseNameSchema, backup: IdSchema, snapshotInstant: Instant, ...Promises.shape };
export const PinDocument = z.strictObject({ command: z.literal('pin'), ...marked });
export const UnpinDocument = z.strictObject({ command: z.literal('unpin'), ...marked });
