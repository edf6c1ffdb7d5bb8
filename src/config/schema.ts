import * as z from 'zod';
import { DatabaseNameSchema } from '../core/ids.ts';
import { codecNames, fingerprintModes } from '../core/manifest.ts';
import { AlertPolicySchema, AlertsSchema, unknownDatabases } from './alerts-schema.ts';
import { isTimeZone } from './duration.ts';
import { HttpSchema } from './http.ts';
import { RetentionSchema } from './retention.ts';
import { flag, whole } from './scalars.ts';
import { DaemonSchema, DrillSchema, pruneScheduleField, scheduleField, verifyScheduleField } from './schedule.ts';
import { databaseVerifyFields, milliseconds, VerifySchema } from './verify.ts';

/*
 * The configuration as it is written. YAML is read with every scalar as text, and the environment is text
 * anyway, so each field says here how its text is read; nothing depends on YAML's own guesses (`no`, `012`).
 * Every object is strict: what this version does not act on is refused, so that nobody believes in a setting
 * that does nothing.
 */

const text = z.string();

/** One value where there is one, a list where there are several. */
const oneOrMore = z.union([text.transform((value) => [value]), z.array(text)]);

const noRepeats = <T extends z.ZodType<string[]>>(schema: T, what: string) =>
  schema.superRefine((values, context) => {
    values.forEach((value, index) => {
      if (values.indexOf(value) !== index) context.addIssue({ code: 'custom', path: [index], message: `this ${what} is listed twice` });
    });
  });

const databaseFields = {
  fingerprint: z.enum(fingerprintModes).default('content'),
  files: noRepeats(oneOrMore, 'path').default([]),
  rolePasswords: flag.default(true),
  // Long enough for ordinary DDL to finish, short enough that what queues behind the dump's lock request does not notice.
  lockTimeout: milliseconds.default(10_000),
  lockRetries: whole(0, 100).default(6),
  bindir: text.optional(),
  retention: RetentionSchema.optional(),
  ...scheduleField,
  ...databaseVerifyFields,
};

export const DatabaseSchema = z.strictObject({
  name: DatabaseNameSchema,
  url: text.optional(),
  passfile: text.optional(),
  tags: z.record(z.string(), text).default({}),
  ...databaseFields,
});

export const ConfigSchema = z
  .strictObject({
    timezone: z
      .string()
      .refine(isTimeZone, { message: 'is not a time zone that is known here', params: { remedy: 'Use an IANA name: Europe/Berlin, UTC.' } })
      .default('UTC'),
    repository: text,
    databases: z.array(DatabaseSchema).default([]),
    /** Of databases that have none of their own. */
    retention: RetentionSchema.optional(),
    /** Of databases that have none of their own. */
    objectives: databaseVerifyFields.objectives,
    /** Of databases that have none of their own. */
    ...scheduleField,
    verify: VerifySchema.extend(verifyScheduleField).prefault({}),
    prune: z.strictObject({ profile: text.optional(), ...pruneScheduleField }).prefault({}),
    drill: DrillSchema.prefault({}),
    daemon: DaemonSchema.prefault({}),
    http: HttpSchema.prefault({}),
    encryption: z
      .strictObject({
        recipients: noRepeats(oneOrMore, 'recipient').default([]),
        identityFile: text.optional(),
        passphrase: text.optional(),
      })
      .prefault({}),
    signing: z
      .strictObject({
        publicKey: noRepeats(oneOrMore, 'key').default([]),
        keyFile: text.optional(),
      })
      .prefault({}),
    compression: z
      .strictObject({
        codec: z.enum(codecNames).default('gzip'),
        level: whole(1, 19).optional(),
        parallel: whole(1, 64).optional(),
      })
      .superRefine(({ codec, level }, context) => {
        if (codec === 'gzip' && level !== undefined && level > 9) {
          context.addIssue({ code: 'custom', path: ['level'], message: 'gzip has the levels 1 to 9' });
        }
      })
      .prefault({}),
    restore: z
      .strictObject({
        jobs: whole(1, 64).optional(),
        noOwner: flag.default(false),
        createRoles: flag.default(false),
      })
      .prefault({}),
    alerts: AlertsSchema,
    alertPolicy: AlertPolicySchema,
  })
  .superRefine(unknownDatabases);
export type ParsedConfig = z.output<typeof ConfigSchema>;

/** The keys that are known at a path of the configuration, for "did you mean". */
export function knownKeys(path: readonly PropertyKey[]): readonly string[] {
  let schema: unknown = ConfigSchema;
  for (const step of path) {
    schema = bare(schema);
    if (schema instanceof z.ZodObject) schema = schema.shape[String(step)];
    else if (schema instanceof z.ZodArray) schema = schema.element;
    else return [];
  }
  schema = bare(schema);
  return schema instanceof z.ZodObject ? Object.keys(schema.shape) : [];
}

function bare(schema: unknown): unknown {
  let inner = schema;
  while (inner instanceof z.ZodOptional || inner instanceof z.ZodDefault || inner instanceof z.ZodPrefault) inner = inner.unwrap();
  return inner;
}
