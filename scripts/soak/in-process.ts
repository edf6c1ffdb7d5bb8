import { hostname } from 'node:os';
import { PassThrough } from 'node:stream';
import type { CliContext, Shell } from '../../src/cli/context.ts';
import { compose, configChecks } from '../../src/compose/compose.ts';
import { composeInit } from '../../src/compose/init.ts';
import { loadConfig } from '../../src/config/load.ts';
import { runDaemon } from '../../src/daemon/daemon.ts';
import { serveHttp } from '../../src/daemon/http.ts';
import { systemdNotifier } from '../../src/daemon/notifier.ts';
import { createRunCounter } from '../../src/daemon/run-counter.ts';
import type { Service } from '../../src/daemon/service.ts';
import { acknowledgeIncidents, listIncidents } from '../../src/operations/acknowledge.ts';
import { factsOf, storageFacts } from '../../src/operations/alert-facts.ts';
import { createAlertRounds } from '../../src/operations/alert-rounds.ts';
import { testAlerts } from '../../src/operations/alerts.ts';
import { isBackedUpSince } from '../../src/operations/backed-up-since.ts';
import { backup } from '../../src/operations/backup.ts';
import { exclusively } from '../../src/operations/exclusive.ts';
import { exportBackup } from '../../src/operations/export.ts';
import { heartbeatsFor } from '../../src/operations/heartbeats.ts';
import { createLastRunsReader } from '../../src/operations/last-runs.ts';
import { listBackups, showBackup } from '../../src/operations/list.ts';
import { acceptBackup, markBackup } from '../../src/operations/mark.ts';
import { prune } from '../../src/operations/prune.ts';
import { planRestore, restore } from '../../src/operations/restore.ts';
import { surveyRetention } from '../../src/operations/retention.ts';
import { recordFailedStart } from '../../src/operations/run.ts';
import { surveyStatus } from '../../src/operations/status.ts';
import { verifyBackup } from '../../src/operations/verify.ts';
import { chooseBackups } from '../../src/operations/verify-choice.ts';
import type { Clock } from '../../src/platform/clock.ts';
import { createProcessRunner } from '../../src/platform/processes.ts';
import { createServiceRunner } from '../../src/platform/services.ts';

/** What main.ts gives a command line, by another clock, with every service passed through `watch` and stderr to `onLine`. */
export function daemonShell(options: {
  readonly clock: Clock;
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  readonly signal: AbortSignal;
  readonly watch: (service: Service) => Service;
  readonly onLine: (line: string) => void;
}): Shell {
  const { clock, env, cwd, signal, watch, onLine } = options;
  const processes = createProcessRunner();
  const [host, version] = [hostname(), '0.0.0'];
  const platform = { env, cwd, clock, processes, services: createServiceRunner(), host, user: 'soak', version };
  const stderr = new PassThrough().setEncoding('utf8').on('data', (text: string) => onLine(text));
  const operations: CliContext['operations'] = {
    ...{ backup, exportBackup, listBackups, showBackup, planRestore, restore, surveyRetention, surveyStatus, prune, markBackup },
    ...{ acceptBackup, chooseBackups, verifyBackup, exclusively, heartbeatsFor, testAlerts, isBackedUpSince },
    ...{ acknowledgeIncidents, listIncidents, factsOf, storageFacts, createAlertRounds, recordFailedStart },
    createHistory: createLastRunsReader,
  };
  return {
    streams: { stdin: new PassThrough(), stdout: new PassThrough().resume(), stderr },
    ...{ env, cwd, clock, signal, processes, host, version, systemTimeZone: () => 'UTC', defaultJobs: 2 },
    onHangup: () => ({ [Symbol.dispose]: () => {} }),
    tellOfSignalBy: () => ({ [Symbol.dispose]: () => {} }),
    load: async () => ({
      operations,
      loadDaemon: async () => ({
        runDaemon: (deps, until) => runDaemon({ ...deps, load: async () => watch(await deps.load()) }, until),
        systemdNotifier,
        serveHttp,
        createRunCounter,
      }),
      init: composeInit(platform),
      loadConfig: (file) => loadConfig({ file, env, cwd, checks: configChecks }),
      compose: (config) => compose(config, platform),
    }),
  };
}
