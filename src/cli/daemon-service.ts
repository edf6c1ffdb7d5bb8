import { scheduledJobs } from '../config/schedule.ts';
import type { Report } from '../daemon/plan.ts';
import type { SchedulerEvent } from '../daemon/scheduler.ts';
import type { Found, Service } from '../daemon/service.ts';
import type { StatusReport } from '../operations/status.ts';
import type { Logger } from '../platform/logger.ts';
import { jobRunner } from './daemon-jobs.ts';
import type { Session } from './session.ts';
import { deniedText } from './status-text.ts';

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
  /** Which run record that may not be read was told of. */
  let toldDenied: string | undefined;
  return {
    scheduler: { jobs, parallel: config.daemon.parallel, runner: jobRunner(session, { log, history }), history },
    graceMs: config.daemon.graceMs,
    note: (event) => alarms?.note(event),
    async survey(signal) {
      const retention = composed.retentionInput(names);
      const report = await operations.surveyStatus(remembering, { databases: config.databases, retention }, signal);
      const denied = report.deniedAt?.toString();
      if (denied !== undefined && denied !== toldDenied) log('warn', deniedText(denied, config));
      toldDenied = denied;
      return report;
    },
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
  note(event: SchedulerEvent): void;
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
    note(event) {
      if (event.type === 'report' && event.report.kind === 'missed' && !event.report.caughtUp)
        missed.set(event.report.job.id, event.report);
      if (event.type === 'finished' && event.outcome.result === 'succeeded') missed.delete(event.start.job.id);
    },
    async tell({ report, last, failure, jobs }, signal) {
      const storage = await operations.storageFacts(deps, { report, failure }, signal);
      let facts = operations.factsOf(report, {
        now: clock.now(),
        databases: config.databases,
        schedule: { jobs, missed: [...missed.values()] },
        storage,
      });
      // No newer one can be seen, but what was the newest grows no younger: an outage must not keep its age from being told.
      if (report === undefined && last !== undefined) facts = { ...facts, databases: facts.databases.map((one) => ageing(one, last)) };
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

type DatabaseFacts = ReturnType<Session['context']['operations']['factsOf']>['databases'][number];

/** The newest recovery points of an earlier report, where they are older than what is promised: only that can be told by it. */
function ageing(facts: DatabaseFacts, { databases }: StatusReport): DatabaseFacts {
  const at = databases.find(({ database }) => database === facts.name)?.newest?.at;
  return at === undefined || facts.newestPoint !== undefined ? facts : { ...facts, newestPoint: at };
}
