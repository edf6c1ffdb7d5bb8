import { isJetbackupError, JetbackupError, messageOf } from '../core/errors.ts';
import type { StatusReport } from '../operations/status.ts';
import type { Clock, Instant } from '../platform/clock.ts';
import { within } from '../platform/deadline.ts';
import type { Notifier } from './notifier.ts';
import { createScheduler, type Scheduler, type SchedulerEvent } from './scheduler.ts';
import type { Service } from './service.ts';

/** A report of where things stand is made so often, ms: what an objective misses shows within a minute. */
const SURVEY_EVERY_MS = 30_000;
const ALERT_EVERY_MS = 60_000;
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
  let service = await deps.load();
  let scheduler = schedulerOf(deps, service);
  let newest: { readonly report: StatusReport; readonly at: Instant } | undefined;
  let failure: JetbackupError | undefined;
  const view = (): DaemonView => ({ startedAt, scheduler, report: () => newest });

  const ending = new AbortController();
  const stop = () => ending.abort(signal.reason);
  if (signal.aborted) stop();
  else signal.addEventListener('abort', stop, { once: true });

  await using _served = await deps.serve(view);
  const survey = async (): Promise<void> => {
    try {
      const report = await within(clock, SURVEY_MS, (limit) => service.survey(AbortSignal.any([limit, ending.signal])));
      newest = { report, at: clock.now() };
      failure = undefined;
    } catch (error) {
      failure = isJetbackupError(error) ? error : new JetbackupError('bug', messageOf(error), { cause: error });
      if (!ending.signal.aborted) log('warn', `where things stand could not be told: ${messageOf(error)}`);
    }
  };
  const alert = async (): Promise<void> => {
    const { alert: tell } = service;
    if (tell === undefined) return;
    const found = { report: isFresh(newest, clock.now()) ? newest?.report : undefined, failure, jobs: scheduler.status() };
    try {
      await within(clock, ALERT_MS, (limit) => tell(found, AbortSignal.any([limit, ending.signal])));
    } catch (error) {
      if (!ending.signal.aborted) log('warn', `alerts: ${messageOf(error)}`);
    }
  };

  const beside = [
    every(clock, SURVEY_EVERY_MS, ending.signal, survey),
    every(clock, ALERT_EVERY_MS, ending.signal, alert),
    notifier.watch(() => !scheduler.isStuck(), ending.signal),
  ];
  try {
    await notifier.ready();
    for (;;) {
      const running = scheduler.run(new AbortController().signal);
      const next = await nextService(deps, ending.signal);
      if (next === undefined) {
        await notifier.stopping();
        log('info', `stopping: jobs that run have ${Math.round(service.graceMs / 1000)} s to end`);
        await scheduler.stop(service.graceMs);
        await running;
        return;
      }
      await whileEnding(scheduler, running, service.graceMs, ending.signal);
      const old = service;
      service = next;
      scheduler = schedulerOf(deps, service);
      newest = undefined;
      await old.close();
      if (ending.signal.aborted) return;
      log('info', 'the new configuration is in force');
      await notifier.ready();
    }
  } finally {
    ending.abort(signal.reason);
    signal.removeEventListener('abort', stop);
    await Promise.all(beside);
    await service.close();
  }
}

/** What the next good configuration makes; undefined when the daemon is to end. A bad one is refused, and the old one goes on. */
async function nextService({ reloadWanted, notifier, load, log }: DaemonDeps, signal: AbortSignal): Promise<Service | undefined> {
  for (;;) {
    const why = await reloadWanted(signal).catch(() => undefined);
    if (why === undefined || signal.aborted) return undefined;
    await notifier.reloading();
    log('info', `reading the configuration again: ${why}`);
    try {
      return await load();
    } catch (error) {
      const hint = isJetbackupError(error) && error.hint !== undefined ? `; ${error.hint}` : '';
      log('error', `the new configuration is refused, and the old one stays in force: ${messageOf(error)}${hint}`);
      await notifier.ready();
    }
  }
}

/** The longest that a timer can wait, ms. */
const NO_LIMIT_MS = 2_000_000_000;

/** Lets what runs end; a signal in the middle leaves it its grace only. */
async function whileEnding(scheduler: Scheduler, running: Promise<void>, graceMs: number, signal: AbortSignal): Promise<void> {
  const hurry = () => void scheduler.stop(graceMs);
  signal.addEventListener('abort', hurry, { once: true });
  try {
    await scheduler.stop(signal.aborted ? graceMs : NO_LIMIT_MS);
    await running;
  } finally {
    signal.removeEventListener('abort', hurry);
  }
}

function schedulerOf({ clock, host, onEvent: tell }: DaemonDeps, service: Service): Scheduler {
  const { runner, history, ...options } = service.scheduler;
  const onEvent = (event: SchedulerEvent) => {
    tell(event);
    service.note(event);
  };
  return createScheduler({ clock, host, onEvent, runner, history }, options);
}

/** At once and then again and again; resolves after the signal, when the last one has ended. `work` does not throw. */
async function every(clock: Clock, ms: number, signal: AbortSignal, work: () => Promise<void>): Promise<void> {
  while (!signal.aborted) {
    await work();
    await clock.sleep(ms, signal).catch(() => {});
  }
}

function isFresh(newest: { readonly at: Instant } | undefined, now: Instant): boolean {
  return newest !== undefined && now.epochMilliseconds - newest.at.epochMilliseconds <= SURVEY_MS + SURVEY_EVERY_MS;
}
