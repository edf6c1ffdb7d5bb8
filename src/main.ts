#!/usr/bin/env node
// Nothing is imported before the check (types vanish): an old Node.js would stumble over what it does not know, with a stack instead
// of a sentence. For the same reason what runs until then keeps to old syntax.
import type { Adapters } from './cli/context.ts';
import type { Platform } from './compose/platform.ts';

const needed = [22, 22];
const running = process.versions.node.split('.').map(Number);

function isOld(): boolean {
  const [major = 0, minor = 0] = running;
  const [neededMajor = 0, neededMinor = 0] = needed;
  return major < neededMajor || (major === neededMajor && minor < neededMinor);
}

if (isOld()) {
  process.stderr.write(
    `error: jetbackup needs Node.js ${needed.join('.')} or newer, and this is ${process.versions.node} (${process.execPath})\n` +
      'hint: Install a current Node.js from https://nodejs.org, and put it first in PATH.\n',
  );
  process.exitCode = 10;
} else {
  start().then(
    (exitCode) => process.exit(exitCode),
    (error) => {
      process.stderr.write(`error: ${error instanceof Error ? String(error.stack) : String(error)}\n`);
      process.exit(1);
    },
  );
}

/** The exit status, once everything that was written has left. */
async function start(): Promise<number> {
  const os = await import('node:os');
  // Compression and hashing run on libuv's pool, whose four threads leave larger machines idle. It is read at first use.
  if (process.env['UV_THREADPOOL_SIZE'] === undefined) {
    process.env['UV_THREADPOOL_SIZE'] = String(Math.min(64, Math.max(4, os.availableParallelism() + 2)));
  }
  const [
    { run },
    { redactor },
    { JetbackupError },
    { systemClock },
    { createProcessRunner },
    { createServiceRunner },
    { createShutdown },
    { version },
  ] = await Promise.all([
    import('./cli/run.ts'),
    import('./config/secret.ts'),
    import('./core/errors.ts'),
    import('./platform/clock.ts'),
    import('./platform/processes.ts'),
    import('./platform/services.ts'),
    import('./platform/shutdown.ts'),
    import('./version.ts'),
  ]);

  const { stdin, stdout, stderr, env } = process;
  const processes = createProcessRunner();
  const services = createServiceRunner();
  const abandon = () => {
    processes.abandon();
    services.abandon();
  };
  const crash = (error: unknown): void => {
    abandon();
    const text = error instanceof Error ? String(error.stack) : String(error);
    stderr.write(`error: ${redactor()(text)}\nhint: This is an error in jetbackup itself. Please report it.\n`);
    process.exit(1);
  };
  process.on('uncaughtException', crash);
  process.on('unhandledRejection', crash);

  const shutdown = createShutdown({
    source: process,
    clock: systemClock,
    onFirst: (signal) => stderr.write(`\n${signal}: stopping and cleaning up; once more to end at once\n`),
    force: (exitCode, signal) => {
      abandon();
      stderr.write(
        `${signal} again: ended at once, without cleaning up. A staging database, objects of an unfinished backup and temporary files may be left; the next run of the same command removes them.\n`,
      );
      process.exit(exitCode);
    },
  });
  stdout.on('error', (error) => {
    // `| head` went away. What has been printed is printed; what still runs has nobody to write for.
    if ('code' in error && error.code === 'EPIPE')
      shutdown.abort(new JetbackupError('interrupted', 'the reader of standard output went away'));
    else crash(error);
  });
  stderr.on('error', () => {});

  const cwd = process.cwd();
  const exitCode = await run(process.argv.slice(2), {
    streams: { stdin, stdout, stderr },
    env,
    cwd,
    clock: systemClock,
    signal: shutdown.signal,
    onHangup: (listener) => shutdown.onHangup(listener),
    tellOfSignalBy: (listener) => shutdown.tellBy(listener),
    processes,
    host: os.hostname(),
    version,
    systemTimeZone: () => Intl.DateTimeFormat().resolvedOptions().timeZone,
    // The target's cores are not known; this host's are the better guess than one.
    defaultJobs: Math.min(8, Math.max(2, os.availableParallelism())),
    load: () =>
      loadAdapters({
        env,
        cwd,
        clock: systemClock,
        processes,
        services,
        host: os.hostname(),
        user: userName(() => os.userInfo().username),
        version,
      }),
  });
  await Promise.all([stdout, stderr].map((stream) => new Promise<void>((resolve) => void stream.write('', () => resolve()))));
  return exitCode;
}

/** A container may run under a number that has no name. */
function userName(read: () => string): string {
  try {
    return read();
  } catch {
    return String(process.getuid?.() ?? 'unknown');
  }
}

async function loadAdapters(platform: Platform): Promise<Adapters> {
  const [
    { compose, configChecks, createSandboxLedger },
    { composeInit },
    { loadConfig },
    { testAlerts },
    { acknowledgeIncidents, listIncidents },
    { backup },
    { exportBackup },
    { listBackups, showBackup },
    { acceptBackup, markBackup },
    { prune },
    { planRestore, restore },
    { surveyRetention },
    { verifyBackup },
    { chooseBackups },
    { exclusively },
    { heartbeatsFor },
    { createAlertRounds },
    { factsOf, storageFacts },
    { createLastRunsReader },
    { isBackedUpSince },
    { surveyStatus },
    { recordFailedStart },
  ] = await Promise.all([
    import('./compose/compose.ts'),
    import('./compose/init.ts'),
    import('./config/load.ts'),
    import('./operations/alerts.ts'),
    import('./operations/acknowledge.ts'),
    import('./operations/backup.ts'),
    import('./operations/export.ts'),
    import('./operations/list.ts'),
    import('./operations/mark.ts'),
    import('./operations/prune.ts'),
    import('./operations/restore.ts'),
    import('./operations/retention.ts'),
    import('./operations/verify.ts'),
    import('./operations/verify-choice.ts'),
    import('./operations/exclusive.ts'),
    import('./operations/heartbeats.ts'),
    import('./operations/alert-rounds.ts'),
    import('./operations/alert-facts.ts'),
    import('./operations/last-runs.ts'),
    import('./operations/backed-up-since.ts'),
    import('./operations/status.ts'),
    import('./operations/run.ts'),
  ]);
  const { env, cwd } = platform;
  const ledger = createSandboxLedger();
  return {
    operations: {
      backup,
      recordFailedStart,
      exportBackup,
      listBackups,
      showBackup,
      planRestore,
      restore,
      surveyRetention,
      surveyStatus,
      prune,
      markBackup,
      acceptBackup,
      chooseBackups,
      verifyBackup,
      exclusively,
      heartbeatsFor,
      createAlertRounds,
      factsOf,
      storageFacts,
      createHistory: createLastRunsReader,
      isBackedUpSince,
      testAlerts,
      listIncidents,
      acknowledgeIncidents,
    },
    async loadDaemon() {
      const [{ runDaemon }, { systemdNotifier }, { serveHttp }, { createRunCounter }] = await Promise.all([
        import('./daemon/daemon.ts'),
        import('./daemon/notifier.ts'),
        import('./daemon/http.ts'),
        import('./daemon/run-counter.ts'),
      ]);
      return { runDaemon, systemdNotifier, serveHttp, createRunCounter };
    },
    init: composeInit(platform),
    loadConfig: (file) => loadConfig({ file, env, cwd, checks: configChecks }),
    compose: (config) => compose(config, platform, ledger),
  };
}
