import { isJetbackupError, JetbackupError, lineOf, messageOf } from '../core/errors.ts';
import type { StatusReport } from '../operations/status.ts';
import type { Clock, Instant } from '../platform/clock.ts';
import { within } from '../platform/deadline.ts';
import type { Notifier } from './notifier.ts';
import { createScheduler, type Scheduler, type SchedulerEvent } from './scheduler.ts';
import { REPORT_OLD_MS, type Service } from './service.ts';

/** A report of where things stand is made so often, ms: what an objective misses shows within a minute. */
const SURVEY_EVERY_MS = 30_000;
const ALERT_EVERY_MS = 60_000;
/** What takes long is done less often: it pauses for so many times as long, but ends again, if it takes as long again, so long before a report is old, ms. */
const PAUSE_SHARE = 2;
const MARGIN_MS = 15_000;
/** One report, and one round of alerts, may take so long; a store that hangs must not keep the next from being tried. */
const SURVEY_MS = 120_000;
const ALERT_MS = 300_000;

/** Where things stand, for whoever asks from outside. */
export interface DaemonView {
  readonly startedAt: Instant;
  readonly scheduler: Pick<Scheduler, 'status' | 'lastTick' | 'isStuck'>;
  report(): { readonly report: StatusReport; readonly at: Instant } | undefined;
}

export interface DaemonDeps {
  readonly clock: Clock;
  readonly host: string;
  readonly log: (level: 'info' | 'warn' | 'error', text: string) => void;
  readonly onEvent: (event: SchedulerEvent) => void;
  /** Reads the configuration and builds what it says. Throws `config-invalid`, `key-missing` and their like; nothing is begun then. */
  load(): Promise<Service>;
  /** Resolves when the configuration is to be read again, with why: SIGHUP, or the file has changed. Rejects with the signal's reason. */
  reloadWanted(signal: AbortSignal): Promise<string>;
  readonly notifier: Notifier;
  /** Serves /health and /metrics from here on; `view` is asked for each answer. */
  serve(view: () => DaemonView): Promise<AsyncDisposable>;
}

/**
 * Runs what is scheduled until the signal, and resolves when everything has ended. A first configuration that is bad is thrown; a
 * later one is refused, and the old one stays. On a reload nothing new is started until the jobs that run have ended: they end under
 * the configuration that they began with. On the signal jobs have their grace, and are then aborted and clean up.
 */
export async function runDaemon(deps: DaemonDeps, signal: AbortSignal): Promise<void> {
  const { clock, log, notifier } = deps;
  const startedAt = clock.now();
  let current = inForce(deps, await deps.load());
  const view = (): DaemonView => {
    const { scheduler, report } = current;
    return { startedAt, scheduler, report };
  };
  const ending = new AbortController();
  const stop = () => ending.abort(signal.reason);
  if (signal.aborted) stop();
  else signal.addEventListener('abort', stop, { once: true });
  try {
    await using _served = await deps.serve(view);
    const watching = notifier.watch(() => !current.scheduler.isStuck(), ending.signal);
    try {
      for (;;) {
        await notifier.ready();
        const next = await runUntilReload(deps, current, ending.signal);
        if (next === undefined) return;
        const old = current.service;
        current = inForce(deps, next);
        await old.close();
        log('info', 'the new configuration is in force');
      }
    } finally {
      ending.abort(signal.reason);
      await watching;
    }
  } finally {
    signal.removeEventListener('abort', stop);
    await current.service.close();
  }
}

/** One configuration at work. */
interface InForce {
  readonly service: Service;
  readonly scheduler: Scheduler;
  report(): ReturnType<DaemonView['report']>;
  survey(signal: AbortSignal): Promise<void>;
  alert(signal: AbortSignal): Promise<void>;
}

function inForce(deps: DaemonDeps, service: Service): InForce {
  const { clock, log } = deps;
  const scheduler = schedulerOf(deps, service);
  let newest: ReturnType<DaemonView['report']>;
  let failure: JetbackupError | undefined;
  const told = async (what: string, signal: AbortSignal, work: () => Promise<void>): Promise<void> => {
    try {
      await work();
    } catch (error) {
      if (!signal.aborted) log('warn', `${what}${messageOf(error)}`);
    }
  };
  return {
    service,
    scheduler,
    report: () => newest,
    survey: (signal) =>
      told('where things stand could not be told: ', signal, async () => {
        try {
          const report = await within(clock, SURVEY_MS, (limit) => service.survey(limit), { signal });
          newest = { report, at: clock.now() };
          failure = undefined;
        } catch (error) {
          failure = isJetbackupError(error) ? error : new JetbackupError('bug', messageOf(error), { cause: error });
          throw error;
        }
      }),
    alert: (signal) =>
      told('alerts: ', signal, async () => {
        const found = {
          report: isFresh(newest, clock.now()) ? newest?.report : undefined,
          last: newest?.report,
          failure,
          jobs: scheduler.status(),
        };
        await within(clock, ALERT_MS, async (limit) => service.alert?.(found, limit), { signal });
      }),
  };
}

/** What the next good configuration makes, when nothing of this one runs any more; undefined when the daemon is to end. */
async function runUntilReload(deps: DaemonDeps, current: InForce, signal: AbortSignal): Promise<Service | undefined> {
  const { clock } = deps;
  const { service, scheduler } = current;
  const over = new AbortController();
  const either = AbortSignal.any([signal, over.signal]);
  const beside = [every(clock, SURVEY_EVERY_MS, either, current.survey)];
  if (service.alert !== undefined) beside.push(every(clock, ALERT_EVERY_MS, either, current.alert));
  const running = scheduler.run(new AbortController().signal);
  let stopping: Promise<void> | undefined;
  const stop = () => {
    stopping ??= stopJobs(deps, current);
  };
  try {
    // The scheduler ends by itself only where it fails, which then ends the daemon.
    const next = await Promise.race([nextService(deps, signal), running.then(() => undefined)]);
    signal.addEventListener('abort', stop, { once: true });
    if (next === undefined || signal.aborted) stop();
    else await scheduler.stop(NO_LIMIT_MS);
    await running;
    await stopping;
    if (next === undefined || !signal.aborted) return next;
    await next.close();
    return undefined;
  } finally {
    signal.removeEventListener('abort', stop);
    over.abort();
    await Promise.all(beside);
  }
}

async function stopJobs({ log, notifier }: DaemonDeps, { scheduler, service: { graceMs } }: InForce): Promise<void> {
  // First, so that nothing begins while the service manager is told.
  const stopped = scheduler.stop(graceMs);
  log('info', `stopping: jobs that run have ${Math.round(graceMs / 1000)} s to end`);
  await notifier.stopping();
  await stopped;
}

/** What the next good configuration makes; undefined when the daemon is to end. A bad one is refused, and the old one goes on. */
async function nextService({ reloadWanted, notifier, load, log }: DaemonDeps, signal: AbortSignal): Promise<Service | undefined> {
  for (;;) {
    let why: string;
    try {
      why = await reloadWanted(signal);
    } catch (error) {
      if (signal.aborted) return undefined;
      throw error;
    }
    if (signal.aborted) return undefined;
    await notifier.reloading();
    log('info', `reading the configuration again: ${why}`);
    try {
      return await load();
    } catch (error) {
      log('error', `the new configuration is refused, and the old one stays in force: ${lineOf(error)}`);
      await notifier.ready();
    }
  }
}

/** The longest that a timer can wait, ms. */
const NO_LIMIT_MS = 2_000_000_000;

function schedulerOf({ clock, host, onEvent: tell }: DaemonDeps, service: Service): Scheduler {
  const { runner, history, ...options } = service.scheduler;
  const onEvent = (event: SchedulerEvent) => {
    tell(event);
    service.note(event);
  };
  return createScheduler({ clock, host, onEvent, runner, history }, options);
}

/** At once and then again and again; resolves after the signal, when the last one has ended. `work` does not throw. */
async function every(clock: Clock, ms: number, signal: AbortSignal, work: (signal: AbortSignal) => Promise<void>): Promise<void> {
  while (!signal.aborted) {
    const started = clock.monotonicMs();
    await work(signal);
    // Of a large repository over a slow line one looks less often, and does not spend the day with looking.
    const took = clock.monotonicMs() - started;
    const pause = Math.min(PAUSE_SHARE * took, REPORT_OLD_MS - MARGIN_MS - took);
    await clock.sleep(Math.max(ms, pause), signal).catch(() => {});
  }
}

function isFresh(newest: { readonly at: Instant } | undefined, now: Instant): boolean {
  return newest !== undefined && now.epochMilliseconds - newest.at.epochMilliseconds <= REPORT_OLD_MS;
}
