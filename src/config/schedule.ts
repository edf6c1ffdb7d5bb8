import * as z from 'zod';
import { type Cron, parseCron } from '../core/cron.ts';
import { DURATION_FORM, parseMilliseconds } from './duration.ts';
import { whole } from './scalars.ts';
import { milliseconds } from './verify.ts';

/* When the daemon does what. All times are wall-clock times of `timezone`. */

/** Every problem of an expression is one of the configuration. */
function readCron(text: string, context: z.core.$RefinementCtx): Cron {
  const cron = parseCron(text);
  if (!('problems' in cron)) return cron;
  for (const message of cron.problems) context.addIssue({ code: 'custom', message, params: { remedy } });
  return z.NEVER;
}
const remedy = 'Five fields as in a crontab, 0 2 * * * or "*/15 * * * *"; or "@daily" and its like; or off.';

/** An expression, or `off`. */
const cron = z.string().transform((text, context) => (text === 'off' ? undefined : readCron(text, context)));

const AFTER_BACKUP = 'after-backup';
const pruneCron = z.string().transform((text, context): Cron | typeof AFTER_BACKUP | undefined => {
  if (text === AFTER_BACKUP) return text;
  return text === 'off' ? undefined : readCron(text, context);
});

/** `schedule:` of a database, and at the top for those that have none of their own. */
export const scheduleField = { schedule: cron.optional() };
/** `verify:` */
export const verifyScheduleField = { schedule: cron.prefault('0 4 1 * *'), sample: whole(0, 1000).default(1) };
/** `prune:` */
export const pruneScheduleField = { schedule: pruneCron.prefault(AFTER_BACKUP) };

/** `drill:`. No drill runs by itself in this version; its time can be written down already, and a warning says so. */
export const DrillSchema = z.strictObject({ schedule: cron.prefault('0 5 1 1,4,7,10 *') });

/** A warning to whoever wrote one down. */
export const noDrillsYet = {
  text: '"drill" is set, and this version of jetbackup runs no drills yet',
  hint: 'Its schedule is read and does nothing. What restores a backup regularly is verify.schedule.',
};

/** No retry comes sooner: what is away for a moment is away for a minute. */
const LEAST_BACKOFF_MS = 60_000;

/** `daemon:` */
export const DaemonSchema = z.strictObject({
  parallel: whole(1, 64).default(2),
  /** How long running jobs have when the daemon is stopped. */
  grace: milliseconds.default(60_000),
  jitter: milliseconds.default(0),
  catchUp: z
    .string()
    .refine(
      (text) => text === 'off' || parseMilliseconds(text) !== undefined,
      `must be off, or a duration: ${DURATION_FORM.replace(', 13mo, 1y', '')}`,
    )
    .transform((text) => (text === 'off' ? undefined : parseMilliseconds(text)))
    .prefault('10m'),
  retry: z
    .strictObject({
      attempts: whole(0, 20).default(3),
      backoff: milliseconds.refine((ms) => ms >= LEAST_BACKOFF_MS, 'must be 1m or more').default(5 * 60_000),
      window: milliseconds.default(6 * 3_600_000),
    })
    .prefault({}),
});

export interface DaemonConfig {
  /** Jobs at once. */
  readonly parallel: number;
  readonly graceMs: number;
  readonly jitterMs: number;
  /** Undefined: what was missed is left. */
  readonly catchUpMs: number | undefined;
  readonly retry: { readonly attempts: number; readonly backoffMs: number; readonly windowMs: number };
  readonly verify: Cron | undefined;
  /** Older backups that a scheduled verification looks at besides the newest. */
  readonly sample: number;
  readonly prune: Cron | typeof AFTER_BACKUP | undefined;
  /** Nothing runs at these times in this version. */
  readonly drill: Cron | undefined;
}

interface Parsed {
  readonly daemon: z.output<typeof DaemonSchema>;
  readonly verify: { readonly schedule: Cron | undefined; readonly sample: number };
  readonly prune: { readonly schedule: Cron | typeof AFTER_BACKUP | undefined };
  readonly drill: z.output<typeof DrillSchema>;
}

export function daemonOf({ daemon, verify, prune, drill }: Parsed): DaemonConfig {
  const { parallel, grace, jitter, catchUp, retry } = daemon;
  return {
    parallel,
    graceMs: grace,
    jitterMs: jitter,
    catchUpMs: catchUp,
    retry: { attempts: retry.attempts, backoffMs: retry.backoff, windowMs: retry.window },
    verify: verify.schedule,
    sample: verify.sample,
    prune: prune.schedule,
    drill: drill.schedule,
  };
}

type Written = { readonly schedule?: Cron | undefined };

/** A database's own, which may be `off`, before that of all; every night at two where nobody says anything. */
export function scheduleOf(own: Written, common: Written): Cron | undefined {
  if ('schedule' in own) return own.schedule;
  return 'schedule' in common ? common.schedule : nightly;
}
const nightly = cron.parse('0 2 * * *');

/** What a daemon does by itself, in the form that daemon/plan.ts takes. */
export interface ScheduledJob {
  readonly id: string;
  readonly operation: 'backup' | 'verify' | 'prune';
  /** null: of all databases together. */
  readonly database: string | null;
  readonly cron: Cron;
  readonly zone: string;
  readonly retry: DaemonConfig['retry'];
  readonly jitterMs: number;
  readonly catchUpMs: number | undefined;
}

/** A backup and a verification of each database, and a prune where that has a time of its own. Drills are not among them yet. */
export function scheduledJobs(config: {
  readonly timeZone: string;
  readonly databases: readonly { readonly name: string; readonly schedule: Cron | undefined }[];
  readonly daemon: DaemonConfig;
}): ScheduledJob[] {
  const { retry, jitterMs, catchUpMs, verify, prune } = config.daemon;
  const job = (operation: ScheduledJob['operation'], database: string | null, when: Cron | undefined): ScheduledJob[] => {
    const id = database === null ? operation : `${operation}:${database}`;
    return when === undefined ? [] : [{ id, operation, database, cron: when, zone: config.timeZone, retry, jitterMs, catchUpMs }];
  };
  return [
    ...config.databases.flatMap(({ name, schedule }) => [...job('backup', name, schedule), ...job('verify', name, verify)]),
    ...job('prune', null, prune === AFTER_BACKUP ? undefined : prune),
  ];
}
