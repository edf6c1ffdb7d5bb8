import * as z from 'zod';

/** Where a backup is restored into to be proven: a container, a cluster of this machine's own programs, a server that somebody provides. */
export const sandboxKinds = ['container', 'local', 'server'] as const;
export type SandboxKind = (typeof sandboxKinds)[number];

/** `fast` leaves out what only a crash of the sandbox would need; `durable` has settings as in production, for an honest RTO. */
export const profiles = ['fast', 'durable'] as const;
export type Profile = (typeof profiles)[number];

/** In the order in which they run. */
export const checkIds = [
  'authentic',
  'objects',
  'roles',
  'archive',
  'restore',
  'encoding',
  'fingerprint',
  'inventory',
  'constraints',
  'indexes',
  'amcheck',
  'values',
  'canary',
  'queries',
] as const;
export type CheckId = (typeof checkIds)[number];

/** What a check found, as it is recorded: nothing in `message` names an object of the database, which is not the store's business. */
export const CheckRecordSchema = z.strictObject({
  id: z.enum(checkIds),
  status: z.enum(['pass', 'fail', 'skip']),
  message: z.string(),
  ms: z.int().nonnegative(),
});
export type CheckRecord = z.infer<typeof CheckRecordSchema>;

export const SandboxRecordSchema = z.strictObject({
  kind: z.enum(sandboxKinds),
  /** For a person: `postgres:17 in a container`. */
  description: z.string(),
  /** `server_version_num` of the server that it was restored into. */
  versionNum: z.int().positive(),
  /** Stands beside every RTO: what was measured with `fast` is not what an incident will take. Null for a server that was provided. */
  profile: z.enum(profiles).nullable(),
});
export type SandboxRecord = z.infer<typeof SandboxRecordSchema>;

/** What a verification leaves in its run record. */
export const VerificationSchema = z.strictObject({
  /** Null: it could not be told, because the verification itself did not get to its end. Never a pass. */
  outcome: z.enum(['proven', 'failed']).nullable(),
  /** Null: there was none. */
  sandbox: SandboxRecordSchema.nullable(),
  checks: z.array(CheckRecordSchema),
  snapshotInstant: z.iso.datetime().nullable(),
  /** The dump before compression, what lies in the store for it, and the live database at backup time. */
  bytes: z.strictObject({ dump: z.int().nonnegative(), stored: z.int().nonnegative(), database: z.int().nonnegative() }).nullable(),
  /** Connections that loaded rows and built indexes: an RTO says little without it. */
  jobs: z.int().positive(),
  /** The longest time without a new recovery point of this database, up to now, of those that reach into the last 30 days; null where that cannot be told. */
  worstGapSeconds: z.number().nonnegative().nullable(),
  /** Whether a signed proof was put beside the backup. */
  attached: z.boolean(),
});
export type Verification = z.infer<typeof VerificationSchema>;
