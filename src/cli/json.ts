import * as z from 'zod';
import type { Problem } from '../config/problems.ts';
import { catalogue, isJetbackupError, type JetbackupError, messageOf } from '../core/errors.ts';
import { DatabaseNameSchema, IdSchema } from '../core/ids.ts';
import { artifactKinds, codecNames, FingerprintSummarySchema, ManifestSchema } from '../core/manifest.ts';
import { PhaseSchema } from '../core/run-record.ts';
import { AlertsAckDocument, AlertsListDocument } from './incident-document.ts';
import { ErrorBody } from './json-error.ts';
import {
  AcceptDocument,
  PinDocument,
  Promises,
  PruneDocument,
  PruneSummary,
  RetentionFields,
  SimulateDocument,
  UnpinDocument,
} from './json-retention.ts';
import { StatusDocument, VerificationHistoryDocument } from './json-status.ts';
import { VerifyDocument } from './json-verify.ts';

/*
 * What `--json` prints: exactly one document on standard output, of one of these shapes (docs/JSON.md). Fields are
 * added, never renamed or taken away, within a major version; readers must pass over fields that they do not know.
 */

const Instant = z.iso.datetime({ offset: true });
const Bytes = z.int().nonnegative();
export const ErrorDocument = z.strictObject({ error: ErrorBody });
export type ErrorDocument = z.infer<typeof ErrorDocument>;

/** A backup as `backup` and `list` show it. */
export const BackupSummary = z.strictObject({
  database: DatabaseNameSchema,
  id: IdSchema,
  snapshotInstant: Instant,
  startedAt: Instant,
  finishedAt: Instant,
  serverVersion: z.string(),
  /** The live database's size, the dump before compression, and what lies in the repository. */
  databaseBytes: Bytes,
  dumpBytes: Bytes,
  storedBytes: Bytes,
  codec: z.enum(codecNames),
  artifacts: z.array(z.strictObject({ kind: z.enum(artifactKinds), plainBytes: Bytes, storedBytes: Bytes })),
  fingerprint: FingerprintSummarySchema,
  tags: z.record(z.string(), z.string()),
  pin: z.strictObject({ reason: z.string() }).nullable(),
  keepUntil: Instant.nullable(),
  warnings: z.array(z.string()),
});
export type BackupSummary = z.infer<typeof BackupSummary>;

/** `unchecked`: this host has no public key to check against. */
export const Authentic = z.enum(['yes', 'no', 'unchecked']);
export type Authentic = z.infer<typeof Authentic>;

export const InitDocument = z.strictObject({
  command: z.literal('init'),
  directory: z.string(),
  repository: z.strictObject({ id: z.string(), location: z.string() }),
  database: z.string(),
  recipient: z.string(),
  signingPublicKey: z.string(),
  /** Written files; those with `secret` go into escrow or stay where they are, never into version control. */
  files: z.array(z.strictObject({ path: z.string(), purpose: z.string(), secret: z.boolean() })),
});

export const BackupDocument = z.strictObject({
  command: z.literal('backup'),
  backups: z.array(z.strictObject({ ...BackupSummary.shape, seconds: z.number().nonnegative(), phases: z.array(PhaseSchema) })),
  /** Of several databases, those that failed, in their order; the exit status is that of the first. */
  failed: z.array(z.strictObject({ database: DatabaseNameSchema, error: ErrorBody })),
  /** What --prune did after it: null without it, or where not every backup succeeded. */
  pruned: PruneSummary.nullable(),
  /** Why --prune failed; then the exit status is 3. */
  pruneError: ErrorBody.nullable(),
  /** What --verify (or verify.afterBackup) found: null without it. */
  verification: VerifyDocument.nullable(),
});

export const ListDocument = z.strictObject({
  command: z.literal('list'),
  repository: z.string(),
  backups: z.array(z.strictObject({ ...BackupSummary.shape, ...Promises.shape, authentic: Authentic, ...RetentionFields.shape })),
  /** Backups whose manifest cannot be read or trusted. They are never restored from. */
  unusable: z.array(z.strictObject({ database: DatabaseNameSchema, id: IdSchema, error: ErrorBody })),
});

export const ShowDocument = z.strictObject({
  command: z.literal('show'),
  authentic: Authentic,
  manifest: ManifestSchema,
  ...Promises.shape,
  ...RetentionFields.shape,
});

export const RestoreDocument = z.strictObject({
  command: z.literal('restore'),
  dryRun: z.boolean(),
  database: DatabaseNameSchema,
  backup: IdSchema,
  snapshotInstant: Instant,
  /** `jetadmin on db:5432 as app`: where it went, or would go. */
  target: z.string(),
  /** Name of the restored database on the target server. */
  restoredDatabase: z.string(),
  rolesToCreate: z.array(z.string()),
  /** An empty database had the name that --to gives; it is renamed and kept. */
  replacesEmpty: z.boolean(),
  dumpBytes: Bytes,
  /** What was done; null in a dry run. */
  result: z
    .strictObject({
      run: IdSchema,
      compared: z.boolean(),
      warnings: z.array(z.string()),
      rtoSeconds: z.number().nonnegative().nullable(),
      rpoSeconds: z.number().nullable(),
      phases: z.array(PhaseSchema),
    })
    .nullable(),
});

export const ExportDocument = z.strictObject({
  command: z.literal('export'),
  database: DatabaseNameSchema,
  backup: IdSchema,
  snapshotInstant: Instant,
  artifact: z.enum(artifactKinds),
  file: z.string(),
  bytes: Bytes,
  sha256: z.string(),
});

export const AlertsTestDocument = z.strictObject({
  command: z.literal('alerts test'),
  channels: z.array(
    z.strictObject({
      channel: z.string(),
      kind: z.enum(['channel', 'heartbeat']),
      /** Whether the receiver said that it has it. */
      delivered: z.boolean(),
      ms: z.int().nonnegative(),
      error: ErrorBody.nullable(),
    }),
  ),
});

export const DaemonDocument = z.strictObject({
  command: z.literal('daemon'),
  dryRun: z.boolean(),
  /** What is scheduled, and the next times of each. */
  jobs: z.array(
    z.strictObject({
      id: z.string(),
      operation: z.enum(['backup', 'verify', 'prune']),
      database: DatabaseNameSchema.nullable(),
      schedule: z.string(),
      timeZone: z.string(),
      next: z.array(Instant),
    }),
  ),
});

export const documents = {
  init: InitDocument,
  backup: BackupDocument,
  list: ListDocument,
  show: ShowDocument,
  restore: RestoreDocument,
  verify: VerifyDocument,
  export: ExportDocument,
  daemon: DaemonDocument,
  pin: PinDocument,
  unpin: UnpinDocument,
  prune: PruneDocument,
  'prune --simulate': SimulateDocument,
  'prune --accept': AcceptDocument,
  'alerts list': AlertsListDocument,
  'alerts ack': AlertsAckDocument,
  'alerts test': AlertsTestDocument,
  status: StatusDocument,
  'verify --history': VerificationHistoryDocument,
};
export type ResultDocument = { [K in keyof typeof documents]: z.infer<(typeof documents)[K]> }[keyof typeof documents];

/** Whatever was thrown, as the catalogue's error; `bug` for what is not in it. */
export function errorBody(error: unknown, redact: (text: string) => string, problems: readonly Problem[] = []): ErrorDocument['error'] {
  const known: JetbackupError | undefined = isJetbackupError(error) ? error : undefined;
  return {
    code: known?.code ?? 'bug',
    message: redact(messageOf(error)),
    hint: known?.hint === undefined ? null : redact(known.hint),
    exitCode: known?.exitCode ?? catalogue.bug.exit,
    ...(problems.length === 0
      ? {}
      : {
          problems: problems.map(({ source, line, column, message, remedy }) => ({
            source,
            line: line ?? null,
            column: column ?? null,
            message: redact(message),
            remedy: remedy === undefined ? null : redact(remedy),
          })),
        }),
  };
}
