import { JetbackupError } from '../../../src/core/errors.ts';
import { type DaemonDeps, type DaemonView, runDaemon } from '../../../src/daemon/daemon.ts';
import type { Job } from '../../../src/daemon/plan.ts';
import type { JobOutcome, SchedulerEvent } from '../../../src/daemon/scheduler.ts';
import type { Service } from '../../../src/daemon/service.ts';
import type { StatusReport } from '../../../src/operations/status.ts';
import { orAborted } from '../../../src/platform/deadline.ts';
import { createFakeTime } from '../../support/fake-time.ts';
import { jobOf, MINUTE_MS, records, runAt, succeeded } from './jobs.ts';

export const START = '2026-11-25T12:00:00Z';
export const EMPTY_REPORT = { databases: [], unreadBefore: undefined } as unknown as StatusReport;

export interface Setting {
  readonly jobs?: readonly Job[];
  readonly graceMs?: number;
  /** How long each job takes. */
  readonly jobMs?: number;
  /** How long it cleans up after an abort. */
  readonly cleanUpMs?: number;
  readonly survey?: Service['survey'];
  readonly alert?: Service['alert'];
}

/** A daemon in the fake time whose configurations are given one after the other; an Error is one that is bad. */
export function daemonOf(...configurations: readonly (Setting | Error)[]) {
  const time = createFakeTime(START);
  const host = time.host();
  const did: string[] = [];
  const events: SchedulerEvent[] = [];
  let onEvent = (event: SchedulerEvent): void => void events.push(event);
  const signal = new AbortController();
  let asked = Promise.withResolvers<string>();
  let loaded = 0;
  let view: (() => DaemonView) | undefined;

  const serviceOf = (name: string, setting: Setting): Service => {
    const { jobs = [jobOf('*/10 * * * *')], graceMs = MINUTE_MS, jobMs = 1000, cleanUpMs = 0 } = setting;
    const history = records();
    history.all.push(...jobs.map(({ id }) => ({ job: id, ...runAt(START) })));
    return {
      graceMs,
      note: () => {},
      survey: setting.survey ?? (async () => EMPTY_REPORT),
      alert: setting.alert,
      scheduler: {
        jobs,
        parallel: 2,
        history,
        runner: {
          async run(_, aborted): Promise<JobOutcome> {
            did.push(`${name}: job begins`);
            try {
              await host.sleep(jobMs, aborted);
              did.push(`${name}: job ends`);
              return succeeded;
            } catch (error) {
              await host.sleep(cleanUpMs);
              did.push(`${name}: job aborted (${error instanceof JetbackupError ? error.code : String(error)})`);
              return { result: 'interrupted', retryable: false };
            }
          },
        },
      },
      close: async () => void did.push(`${name}: closed`),
    };
  };

  const deps: DaemonDeps = {
    clock: host,
    host: 'backup-1',
    log: (level, text) => void (level === 'info' ? undefined : did.push(`${level}: ${text}`)),
    onEvent: (event) => onEvent(event),
    async load() {
      const next = configurations[loaded];
      loaded += 1;
      if (next === undefined) throw new Error('there is no such configuration');
      if (next instanceof Error) throw next;
      return serviceOf(`configuration ${loaded}`, next);
    },
    async reloadWanted(until) {
      const why = await orAborted(asked.promise, until);
      asked = Promise.withResolvers();
      return why;
    },
    notifier: {
      ready: async () => void did.push('systemd: ready'),
      reloading: async () => void did.push('systemd: reloading'),
      stopping: async () => void did.push('systemd: stopping'),
      async watch(isWell, until) {
        while (!until.aborted) {
          if (!isWell()) did.push('systemd: not well');
          await host.sleep(MINUTE_MS, until).catch(() => {});
        }
      },
    },
    async serve(given) {
      view = given;
      did.push('served');
      return { [Symbol.asyncDispose]: async () => void did.push('no longer served') };
    },
  };

  let outcome: 'runs' | 'ended' | Error = 'runs';
  const over = runDaemon(deps, signal.signal).then(
    () => {
      outcome = 'ended';
    },
    (error: Error) => {
      outcome = error;
    },
  );
  return {
    time,
    host,
    deps,
    /** What happened, in order. */
    did,
    events,
    onEvent(listener: typeof onEvent) {
      onEvent = listener;
    },
    over,
    outcome: () => outcome,
    view: () => view?.(),
    async reload(why = 'SIGHUP') {
      asked.resolve(why);
      await time.advance(0);
    },
    async terminate() {
      signal.abort(new JetbackupError('terminated', 'ended by SIGTERM'));
      await time.advance(0);
    },
  };
}
