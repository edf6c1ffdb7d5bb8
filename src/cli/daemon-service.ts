import { scheduledJobs } from '../config/schedule.ts';
import type { Report } from '../daemon/plan.ts';
import type { Found, Service } from '../daemon/service.ts';
import type { Logger } from '../platform/logger.ts';
import { jobRunner } from './daemon-jobs.ts';
import type { Session } from './session.ts';

/** What the session's configuration makes of the daemon. Keys are looked for now, so that a missing one is told at the start. */
export async function daemonService(session: Session, log: Logger): Promise<Service> {
  const { config, composed, context } = session;
  const { operations } = context;
  const jobs = scheduledJobs(config);
  const names = config.databases.map(({ name }) => name);
  const remembering = composed.remembering();
  // Asked once, so that what is missing is said before the first night.
  const silent = () => {};
  if (jobs.some(({ operation }) => operation === 'backup')) await composed.backupDeps(silent);
  if (jobs.some(({ operation }) => operation === 'verify') || config.verify.afterBackup) {
    await composed.verifyDeps(silent, undefined, undefined);
  }
  const history = operations.createHistory(remembering.store, jobs);
  const alarms = alarmsOf(session, log);
  return {
    scheduler: { jobs, parallel: config.daemon.parallel, runner: jobRunner(session, { log, history }), history },
    graceMs: config.daemon.graceMs,
    note: (event) => {
      if (event.type === 'report') alarms?.note(event.report);
    },
    survey: (signal) =>
      operations.surveyStatus(remembering, { databases: config.databases, retention: composed.retentionInput(names) }, signal),
    alert: alarms?.tell,
    async close() {
      await alarms?.close();
      composed.close();
    },
  };
}

/** Reports of missed due times that are remembered, per job the newest. */
type Missed = Extract<Report, { kind: 'missed' }>;

interface Alarms {
  note(report: Report): void;
  tell(found: Found, signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

/** Undefined where nobody is to be told. */
function alarmsOf({ config, composed, context }: Session, log: Logger): Alarms | undefined {
  const { operations, clock } = context;
  const deps = composed.incidentDeps();
  if (deps.targets.length === 0) return undefined;
  const policy = composed.alertPolicy();
  const rounds = operations.createAlertRounds(deps, { targets: deps.targets, policy, holder: `daemon on ${context.host}` });
  const missed = new Map<string, Missed>();
  return {
    note(report) {
      if (report.kind === 'missed' && !report.caughtUp) missed.set(report.job.id, report);
    },
    async tell({ report, failure, jobs }, signal) {
      const storage = await operations.storageFacts(deps, { report, failure }, signal);
      const facts = operations.factsOf(report, {
        now: clock.now(),
        databases: config.databases,
        schedule: { jobs, missed: [...missed.values()] },
        storage,
      });
      const { deliveries, error, damaged } = await rounds.round(facts, signal);
      if (damaged !== undefined) log('warn', `what was told before could not be read, so what is wrong is told again: ${damaged}`);
      if (error !== undefined) log('warn', `alerts: ${error.message}`, { code: error.code });
      for (const { channel, notice, error: refused } of deliveries) {
        const fields = { channel, rule: notice.rule, database: notice.database ?? undefined };
        if (refused === undefined) log('info', `told ${channel}: ${notice.kind} ${notice.summary}`, fields);
        else log('warn', `${channel} was not told of ${notice.rule}: ${refused.message}`, fields);
      }
    },
    async close() {
      await rounds[Symbol.asyncDispose]();
    },
  };
}
