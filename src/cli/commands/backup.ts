import type { Command } from 'commander';
import type { Temporal } from 'temporal-polyfill';
import type { DatabaseConfig } from '../../config/config.ts';
import { DURATION_FORM, parseDuration } from '../../config/duration.ts';
import { catalogue, isJetbackupError, JetbackupError } from '../../core/errors.ts';
import type { BackupInput, BackupResult } from '../../operations/backup.ts';
import { errorBody } from '../json.ts';
import { pruneAfter } from '../prune-run.ts';
import { madeReady } from '../ready.ts';
import { help, type Registry } from '../registry.ts';
import { configuredDatabases, type Outcome, redactorOf, type Session } from '../session.ts';
import { summarize } from '../summary.ts';
import { bytesText, type Colors, counted, durationText, instantText } from '../text.ts';
import { verifyDocument, verifyExitCode, verifyText } from '../verify-result.ts';
import { type Verified, verifyAfter } from '../verify-run.ts';

interface BackupOptions {
  readonly database?: string[];
  readonly tag?: Record<string, string>;
  readonly pin?: string;
  readonly keep?: Temporal.Duration;
  readonly verify?: boolean;
  readonly prune?: boolean;
}

export function registerBackup(program: Command, registry: Registry): void {
  const command = program
    .command('backup')
    .summary('back up now')
    .description(
      'Makes one backup of each database: one snapshot, dumped, compressed and encrypted on the way to the repository. Without a name, every configured database is backed up, one after the other.',
    )
    .argument('[database...]', 'names of configured databases')
    .option('-d, --database <name>', 'the same as naming it', (name: string, before: string[] = []) => [...before, name])
    .option('--tag <key=value>', 'remember this with the backup; may be repeated', parseTag)
    .option('--pin <reason>', 'keep it whatever the retention rules say')
    .option('--keep <duration>', 'keep it at least this long, e.g. 30d', parseKeep)
    .option('--verify', 'then restore it into a sandbox and prove it, as jetbackup verify does')
    .option('--prune', 'after every backup succeeded, delete what retention lets go')
    .action(async (databases: string[], options: BackupOptions) => {
      await registry.session(command, (session) => runBackup(session, [...databases, ...(options.database ?? [])], options));
    });
  help(command, {
    examples: [
      ['jetbackup backup', 'every configured database'],
      ['jetbackup backup --tag deploy=v2.3 --keep 30d', 'before a deployment'],
      ['jetbackup backup --prune', 'what a nightly cron line needs'],
      ['jetbackup backup --verify', 'one that has been restored before it counts'],
      ['jetbackup backup jetadmin --pin "before the migration"', 'one that is never expired'],
    ],
    exits: ['3', '10', '11', '12', '20', '21', '30', '32', '130'],
  });
}

function parseTag(text: string, before: Record<string, string> = {}): Record<string, string> {
  const at = text.indexOf('=');
  const key = text.slice(0, at);
  if (at < 1 || !/^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}$/.test(key) || text.length - at > 257) {
    throw new JetbackupError('usage', `"${text}" is not a tag`, {
      hint: 'Write --tag key=value, e.g. --tag deploy=v2.3; at most 63 and 256 characters.',
    });
  }
  if (Object.hasOwn(before, key)) throw new JetbackupError('usage', `the tag "${key}" is given twice`);
  return { ...before, [key]: text.slice(at + 1) };
}

function parseKeep(text: string): Temporal.Duration {
  const duration = parseDuration(text);
  if (duration === undefined || duration.blank) {
    throw new JetbackupError('usage', `"${text}" is not a duration`, { hint: `Write ${DURATION_FORM}.` });
  }
  return duration;
}

async function runBackup(session: Session, names: readonly string[], options: BackupOptions): Promise<Outcome> {
  const { config, context, composed, output } = session;
  const databases = configuredDatabases(config, names);
  const run = { operation: 'backup', databases: databases.map(({ name }) => name) } as const;
  const deps = await madeReady(session, run, () => composed.backupDeps(output.progress.report));
  const done: BackupResult[] = [];
  const failed: { database: string; error: unknown }[] = [];
  for (const database of databases) {
    if (databases.length > 1) output.notice(`backing up ${database.name}`);
    try {
      done.push(await context.operations.backup(deps, backupInput(session, database, options), context.signal));
    } catch (error) {
      // The others still get their backup; only an interruption ends the row.
      if (databases.length === 1 || context.signal.aborted) throw error;
      failed.push({ database: database.name, error });
      output.failure(`${database.name}: `, error);
    }
  }
  const wanted = options.verify === true || config.verify.afterBackup;
  const verified = wanted
    ? await verifyAfter(
        session,
        done.map(({ manifest }) => manifest),
      )
    : undefined;
  const pruned = options.prune === true ? await pruneAfter(session, databases, failed.length) : undefined;
  return {
    kind: 'done',
    document: {
      command: 'backup',
      backups: done.map(({ manifest, run }) => ({ ...summarize(manifest), seconds: secondsOf(run), phases: run.phases })),
      failed: failed.map(({ database, error }) => ({ database, error: errorBody(error, redactorOf(config)) })),
      pruned: pruned?.summary ?? null,
      pruneError: pruned?.error === undefined ? null : errorBody(pruned.error, redactorOf(config)),
      verification: verified === undefined ? null : verifyDocument(verified, redactorOf(config)),
    },
    text: [
      ...done.map((result) => backupText(result, config.timeZone, output.colors)),
      ...(verified === undefined
        ? []
        : [verifyText(verified, { timeZone: config.timeZone, colors: output.colors, redact: redactorOf(config) })]),
      ...(pruned?.text === undefined ? [] : [pruned.text]),
    ].join('\n'),
    exitCode: exitCodeOf(failed, verified, done, pruned?.error),
  };
}

/** A database without a backup is never "in part": the first that failed says how it ends; then what the verification found. */
function exitCodeOf(
  failed: readonly { readonly error: unknown }[],
  verified: readonly Verified[] | undefined,
  done: readonly BackupResult[],
  pruneError: unknown,
): number {
  const [first] = failed;
  if (first !== undefined) return exitOf(first.error);
  const found = verifyExitCode(verified ?? []);
  if (found !== 0) return found;
  return done.some(({ partial }) => partial) || pruneError !== undefined ? catalogue['done-in-part'].exit : 0;
}

function exitOf(error: unknown): number {
  return isJetbackupError(error) ? error.exitCode : catalogue.bug.exit;
}

/** What is configured for a database, with what the command line adds. */
export function backupInput(
  { config, composed, context }: Session,
  database: DatabaseConfig,
  options: Pick<BackupOptions, 'tag' | 'pin' | 'keep'>,
): BackupInput {
  // In the configured zone: 30 days are 30 calendar days, also over a change of the clocks.
  const keepUntil =
    options.keep === undefined ? undefined : context.clock.now().toZonedDateTimeISO(config.timeZone).add(options.keep).toInstant();
  return {
    database: database.name,
    connection: composed.connection(database),
    fingerprint: database.fingerprint,
    values: database.values,
    ...(database.canary === undefined ? {} : { canary: database.canary }),
    files: database.files,
    rolePasswords: database.rolePasswords,
    lockTimeoutMs: database.lockTimeoutMs,
    lockRetries: database.lockRetries,
    tags: { ...database.tags, ...options.tag },
    ...(database.bindir === undefined ? {} : { bindir: database.bindir }),
    ...(options.pin === undefined ? {} : { pin: { reason: options.pin } }),
    ...(keepUntil === undefined ? {} : { keepUntil }),
  };
}

function secondsOf(run: BackupResult['run']): number {
  return run.phases.reduce((sum, { ms }) => sum + ms, 0) / 1000;
}

function backupText({ manifest, run, partial }: BackupResult, timeZone: string, colors: Colors): string {
  const { database, id, snapshotInstant, dumpBytes, storedBytes, fingerprint } = summarize(manifest);
  const rows = fingerprint.mode === 'off' ? '' : `, ${counted(fingerprint.rows, 'row')} in ${counted(fingerprint.tables, 'table')}`;
  const head = partial ? colors.yellow('backed up in part') : colors.green('backed up');
  return [
    `${head} ${database}: ${colors.bold(id)}`,
    `  as of ${instantText(snapshotInstant, timeZone)}${rows}`,
    `  ${bytesText(dumpBytes)} dumped, ${bytesText(storedBytes)} stored, in ${durationText(secondsOf(run) * 1000)}`,
  ].join('\n');
}
