import { catalogue, isJetbackupError, JetbackupError, lineOf, messageOf } from '../core/errors.ts';
import type { Start } from '../daemon/plan.ts';
import { nextDue } from '../daemon/schedule.ts';
import type { History, JobOutcome, JobRunner } from '../daemon/scheduler.ts';
import type { Logger } from '../platform/logger.ts';
import { backupInput } from './commands/backup.ts';
import type { Output } from './output.ts';
import { lineProgress } from './progress.ts';
import { pruneDatabases } from './prune-run.ts';
import { madeReady } from './ready.ts';
import { configuredDatabase, redactorOf, type Session } from './session.ts';
import { type Verified, verifyAfter, verifyEach } from './verify-run.ts';

const SUCCEEDED: JobOutcome = { result: 'succeeded', retryable: false };
const ELSEWHERE: JobOutcome = { result: 'failed', retryable: true, elsewhere: true };

/**
 * Does what is due with the same use cases as the command line, under a lease: of several daemons one does it, and the others, which
 * find it done once they get the lease, do nothing.
 */
export function jobRunner(session: Session, { log, history }: { readonly log: Logger; readonly history: History }): JobRunner {
  return {
    async run(start, signal) {
      const { job } = start;
      const fields = { job: job.id, operation: job.operation, database: job.database ?? undefined };
      const say: Logger = (level, text, more = {}) => log(level, text, { ...fields, ...more });
      const own = sessionOf(session, say, signal);
      try {
        return await exclusively(own, start, async (kept) => {
          const mine = { ...own, context: { ...own.context, signal: kept } };
          if (await isDone(mine, history, start)) {
            say('info', 'another instance has done this');
            return SUCCEEDED;
          }
          // Heartbeats hear of whoever does it alone, or one instance would tell them of a failure while another one works.
          return await beating(mine, start, () => work(mine, start)).catch((error: unknown) => outcomeOf(error, say, signal));
        });
      } catch (error) {
        if (isJetbackupError(error, 'locked') && !signal.aborted) return ELSEWHERE;
        return outcomeOf(error, say, signal);
      }
    },
  };
}

/** The session of one job: its own end, and lines that say whose they are. */
function sessionOf(session: Session, say: Logger, signal: AbortSignal): Session {
  const { context, output } = session;
  const progress = lineProgress({ log: say, clock: context.clock });
  const failure = (of: string, error: unknown) => {
    say('error', `${of}${lineOf(error)}`, { code: isJetbackupError(error) ? error.code : 'bug' });
  };
  const own: Output = {
    ...output,
    options: { json: false, quiet: false, verbose: false },
    progress,
    useRedactor: () => {},
    result: () => {},
    notice: (text) => say('info', text),
    error: (error) => failure('', error),
    failure,
  };
  return { ...session, context: { ...context, signal }, output: own, ask: undefined };
}

function exclusively<T>(
  { context, composed, output }: Session,
  { job, dueAt }: Start,
  work: (kept: AbortSignal) => Promise<T>,
): Promise<T> {
  const following = nextDue(job.cron, job.zone, dueAt);
  const periodMs = following === undefined ? Number.POSITIVE_INFINITY : following.epochMilliseconds - dueAt.epochMilliseconds;
  const deps = composed.exclusiveDeps(output.progress.report);
  // A prune takes `prune` itself, for those by hand too; what the schedule starts is kept apart before that.
  const operation = job.operation === 'prune' ? 'scheduled-prune' : job.operation;
  return context.operations.exclusively(deps, { operation, database: job.database, periodMs }, context.signal, work);
}

/** Whether somebody else's run stands for this due time: asked under the lease, so that it cannot be under way. */
async function isDone({ context, composed, output }: Session, history: History, { job, dueAt }: Start): Promise<boolean> {
  const { signal } = context;
  try {
    const runs = (await history.read(context.clock.now(), signal)).of(job);
    if (runs.some(({ result, startedAt }) => result === 'succeeded' && startedAt.epochMilliseconds >= dueAt.epochMilliseconds)) return true;
    if (job.operation !== 'backup' || job.database === null) return false;
    // One that was killed between its commit and its record has left a whole backup.
    return await context.operations.isBackedUpSince(composed.listDeps(), { database: job.database, since: dueAt }, signal);
  } catch (error) {
    signal.throwIfAborted();
    // This only saves a run that somebody else made: one that is made twice is better than none.
    output.progress.report({ type: 'warning', text: `whether another instance has done this could not be told: ${messageOf(error)}` });
    return false;
  }
}

/** A heartbeat hears of a failure, and not why: what goes out of the house names nothing. */
function beating(session: Session, { job }: Start, work: () => Promise<JobOutcome>): Promise<JobOutcome> {
  const { context, composed, output } = session;
  const { clock, heartbeats } = composed.alertDeps();
  const onFailure = (heartbeat: string, error: unknown) =>
    output.progress.report({ type: 'warning', text: `the heartbeat "${heartbeat}" was not told: ${messageOf(error)}` });
  const redact = redactorOf(session.config);
  const failureOf = ({ result }: JobOutcome) => (result === 'succeeded' ? undefined : `${result}; the log and the run record say why`);
  return context.operations.heartbeatsFor({ clock, heartbeats, redact, onFailure }, job)(work, context.signal, failureOf);
}

async function work(session: Session, { job }: Start): Promise<JobOutcome> {
  if (job.operation === 'prune') return await prune(session);
  const database = job.database ?? '';
  return job.operation === 'backup' ? await backup(session, database) : await verify(session, database);
}

async function backup(session: Session, database: string): Promise<JobOutcome> {
  const { config, context, composed, output } = session;
  const configured = configuredDatabase(config, database);
  const run = { operation: 'backup', databases: [database] } as const;
  const deps = await madeReady(session, run, () => composed.backupDeps(output.progress.report));
  const { manifest } = await context.operations.backup(deps, backupInput(session, configured, {}), context.signal);
  output.notice(`backed up ${manifest.id}`);
  // The backup is there, whatever becomes of the rest: each of these has a record of its own, and alarms of its own.
  if (config.verify.afterBackup) await verifyAfter(session, [manifest]);
  if (config.daemon.prune === 'after-backup') {
    try {
      await pruneInTurn(session, [database]);
    } catch (error) {
      if (context.signal.aborted) throw error;
      output.failure('pruning after the backup: ', error);
    }
  }
  return SUCCEEDED;
}

/** How long a prune waits for another one of this repository, and how often it looks, ms. */
const PRUNE_WAITS_MS = 15 * 60_000;
const PRUNE_LOOKS_MS = 15_000;

/** Two databases that are backed up at the same time are pruned one after the other. */
async function pruneInTurn(session: Session, databases: readonly string[]): Promise<void> {
  const { clock, signal } = session.context;
  const started = clock.monotonicMs();
  for (;;) {
    try {
      await pruneDatabases(session, databases, false);
      return;
    } catch (error) {
      if (!isJetbackupError(error, 'locked') || clock.monotonicMs() - started > PRUNE_WAITS_MS) throw error;
      await clock.sleep(PRUNE_LOOKS_MS, signal);
    }
  }
}

async function verify(session: Session, database: string): Promise<JobOutcome> {
  const { config, context, composed, output } = session;
  const run = { operation: 'verify', databases: [database] } as const;
  const deps = await madeReady(session, run, () => composed.verifyDeps(output.progress.report, undefined, undefined));
  const how = { databases: [database], profile: config.verify.profile, jobs: config.restore.jobs ?? context.defaultJobs };
  const done: Verified[] = [...(await verifyEach(session, deps, { ...how, choice: { kind: 'moment', moment: { kind: 'latest' } } }))];
  const { sample } = config.daemon;
  if (sample > 0) done.push(...(await verifyEach(session, deps, { ...how, choice: { kind: 'sample', count: sample } })));
  if (done.some((one) => one.kind === 'told' && one.result.outcome === 'failed')) return { result: 'failed', retryable: false };
  const untold = done.find((one) => one.kind === 'untold');
  if (untold === undefined) return SUCCEEDED;
  return { result: 'failed', retryable: isJetbackupError(untold.error) && untold.error.retryable };
}

async function prune(session: Session): Promise<JobOutcome> {
  await pruneInTurn(
    session,
    session.config.databases.map(({ name }) => name),
  );
  return SUCCEEDED;
}

function outcomeOf(error: unknown, say: Logger, signal: AbortSignal): JobOutcome {
  const known = isJetbackupError(error) ? error : new JetbackupError('bug', messageOf(error), { cause: error });
  if (signal.aborted) return { result: 'interrupted', retryable: false };
  // Somebody else is at the database, or at a prune: that is how it should be.
  say(known.code === 'locked' ? 'info' : 'error', lineOf(known), { code: known.code });
  return { result: 'failed', retryable: catalogue[known.code].retryable };
}
