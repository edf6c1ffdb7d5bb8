import { scheduledJobs } from '../config/schedule.ts';
import type { Service } from '../daemon/service.ts';
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
  const alertDeps = composed.alertDeps();
  const hasAlerts = alertDeps.targets.length > 0;
  return {
    scheduler: { jobs, parallel: config.daemon.parallel, runner: jobRunner(session, { log, history }), history },
    graceMs: config.daemon.graceMs,
    survey: (signal) =>
      operations.surveyStatus(remembering, { databases: config.databases, retention: composed.retentionInput(names) }, signal),
    alert: hasAlerts ? async () => {} : undefined,
    async close() {
      composed.close();
    },
  };
}
