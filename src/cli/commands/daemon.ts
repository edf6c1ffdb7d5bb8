import type { Command } from 'commander';
import { readHttpSettings } from '../../config/http.ts';
import { scheduledJobs } from '../../config/schedule.ts';
import { nextDue } from '../../daemon/schedule.ts';
import type { SchedulerEvent } from '../../daemon/scheduler.ts';
import { createLogger, type Logger } from '../../platform/logger.ts';
import { watchForReload } from '../daemon-reload.ts';
import { daemonService } from '../daemon-service.ts';
import { reportText } from '../daemon-words.ts';
import { lineProgress } from '../progress.ts';
import { help, type Registry } from '../registry.ts';
import { type Outcome, openSession, redactorOf, type Session } from '../session.ts';
import { colorsFor, instantText, tableText } from '../text.ts';

export function registerDaemon(program: Command, registry: Registry): void {
  const command = program
    .command('daemon')
    .summary('back up, verify and prune by itself')
    .description(
      'Runs until it is stopped: backs up each database when its schedule says so, verifies, prunes, serves /health and /metrics, and sends alerts. What was missed while it was down is caught up. SIGHUP, or a change of the file, reads the configuration again; a bad one is refused. SIGTERM lets running jobs end for daemon.grace, then aborts them; they clean up.',
    )
    .option('--dry-run', 'show what would run, and when, and end')
    .action(async (options: { dryRun?: boolean }) => {
      await registry.session(command, (session) => (options.dryRun === true ? showSchedule(session) : runService(session)));
    });
  help(command, {
    examples: [
      ['jetbackup daemon --dry-run', 'the next times of each job'],
      ['jetbackup daemon', 'under systemd, in a container, or in a terminal'],
    ],
    exits: ['10', '11', '21', '130'],
  });
}

const SHOWN = 3;

async function showSchedule({ config, context, output }: Session): Promise<Outcome> {
  const now = context.clock.now();
  const jobs = scheduledJobs(config).map(({ id, operation, database, cron, zone }) => {
    const times: string[] = [];
    for (let next = nextDue(cron, zone, now); next !== undefined && times.length < SHOWN; next = nextDue(cron, zone, next)) {
      times.push(next.toString());
    }
    return { id, operation, database, schedule: cron.text, timeZone: zone, next: times };
  });
  const rows = jobs.map(({ id, schedule, next }) => [id, schedule, ...next.map((time) => instantText(time, config.timeZone))]);
  const columns = [{ title: 'JOB' }, { title: 'SCHEDULE' }, { title: 'NEXT' }, { title: 'THEN' }, { title: 'AND THEN' }];
  return {
    kind: 'report',
    document: { command: 'daemon', dryRun: true, jobs },
    text: jobs.length === 0 ? 'nothing is scheduled' : tableText(columns, rows, output.colors),
  };
}

async function runService(first: Session): Promise<Outcome> {
  const { context, output } = first;
  const { clock, streams, env } = context;
  output.progress.end();
  const isTerminal = streams.stderr.isTTY === true && env['JETBACKUP_LOG'] !== 'json';
  // Jobs of an old configuration may still run, and a refused one may be quoted: what was a secret once stays one.
  const secrets = new Set<string>();
  const redactorWith = (config: Session['config']) => {
    const redactor = redactorOf(config, [...secrets]);
    for (const secret of config.secrets) secrets.add(secret.reveal());
    return redactor;
  };
  let redact = redactorWith(first.config);
  const log: Logger = createLogger({
    level: 'info',
    format: isTerminal ? 'text' : 'json',
    color: isTerminal && colorsFor(streams.stderr, env).isColorSupported,
    redact: (line) => redact(line),
    write: (line) => void streams.stderr.write(line),
  });
  let session: Session | undefined = first;
  const { runDaemon, systemdNotifier, serveHttp, createRunCounter } = await context.loadDaemon();
  const counter = createRunCounter();
  const { http } = first.config;
  let current = first.config;
  // Whoever reads the log by machine reads each line as JSON.
  using _telling = context.tellOfSignalBy((signal) => log('info', `${signal}: stopping and cleaning up; once more to end at once`));
  using reload = await watchForReload(context, first.config.path);
  log('info', `jetbackup ${context.version} watches the schedules of ${first.config.databases.length} database(s)`);
  await runDaemon(
    {
      clock,
      host: context.host,
      log: (level, text) => log(level, text),
      onEvent(event) {
        counter.note(event);
        tell(event, log, first.config.timeZone);
      },
      async load() {
        // The first one has been read already, and what is wrong with it was told as of any command.
        const opened = session ?? (await openSession(context, output, first.file));
        session = undefined;
        if (opened !== first) redact = redactorWith(opened.config);
        try {
          const service = await daemonService(opened, log);
          warnOfHttp(http, opened.config.http, log);
          current = opened.config;
          return service;
        } catch (error) {
          if (opened !== first) opened.composed.close();
          throw error;
        }
      },
      reloadWanted: (signal) => reload.wanted(signal),
      notifier: systemdNotifier({ processes: context.processes, clock, onFailure: (text) => log('warn', text) }, env),
      async serve(view) {
        if (http === undefined) return { [Symbol.asyncDispose]: async () => {} };
        const source = () => ({ ...view(), version: context.version, runs: counter.counts });
        const served = await serveHttp({ ...readHttpSettings(http), ...tokenOf(http, () => current.http) }, source, {
          clock,
          log: lineProgress({ log, clock }).report,
        });
        log('info', `/health and /metrics on ${served.address.host}:${served.address.port}`);
        return served;
      },
    },
    context.signal,
  );
  log('info', 'stopped');
  return { kind: 'silent', document: { command: 'daemon', dryRun: false, jobs: [] }, text: '' };
}

type Http = Session['config']['http'];

/** Of the configuration in force: a token that was replaced is no longer taken. */
function tokenOf(first: NonNullable<Http>, current: () => Http) {
  const { token } = first;
  return token === undefined ? {} : { token: () => (current()?.token ?? token).reveal() };
}

/** A socket that listens is not moved. */
function warnOfHttp(first: Http, next: Http, log: Logger): void {
  const place = (http: Http) => JSON.stringify(http === undefined ? null : [http.host, http.port, http.tls, http.token === undefined]);
  if (place(first) === place(next)) return;
  log('warn', 'of the section http only another token is taken in a running daemon: restart it for the rest');
}

function tell(event: SchedulerEvent, log: Logger, timeZone: string): void {
  switch (event.type) {
    case 'started':
      log('info', `${event.start.job.id} begins (${event.start.why}, due at ${instantText(event.start.dueAt.toString(), timeZone)})`, {
        job: event.start.job.id,
        attempt: event.start.attempt,
      });
      break;
    case 'finished':
      log(event.outcome.result === 'failed' ? 'warn' : 'info', `${event.start.job.id} ${event.outcome.result}`, {
        job: event.start.job.id,
        ms: Math.round(event.ms),
      });
      break;
    case 'elsewhere':
      log('info', `${event.start.job.id} is being done by another instance`, { job: event.start.job.id });
      break;
    case 'report':
      log('warn', reportText(event.report, timeZone), { job: event.report.job.id });
      break;
    case 'clock-moved':
      log('warn', `the clock moved by ${Math.round(event.ms / 1000)} s against the time that passed`);
      break;
    case 'history-unreadable':
      log('warn', `run records cannot be read: ${event.text}`);
      break;
  }
}
