import { Temporal } from 'temporal-polyfill';
import { describe, expect, it } from 'vitest';
import type { Heartbeat } from '../../../src/alerts/alert.ts';
import { parseCron } from '../../../src/core/cron.ts';
import { JetbackupError } from '../../../src/core/errors.ts';
import { type Progress, silent } from '../../../src/core/progress.ts';
import type { Job, Start } from '../../../src/daemon/plan.ts';
import { createRunCounter } from '../../../src/daemon/run-counter.ts';
import type { JobOutcome, SchedulerEvent } from '../../../src/daemon/scheduler.ts';
import type { Service } from '../../../src/daemon/service.ts';
import { heartbeatsFor } from '../../../src/operations/heartbeats.ts';
import type { PastRun } from '../../../src/operations/last-runs.ts';
import { manifest, runRecord, type Typed, type as typed, type World } from './command-line.ts';
import { configured, hang, withPassword } from './daemon-command.ts';

const DUE = Temporal.Instant.from('2026-11-20T02:00:00Z');
const RUN = '20261120T020000Z-aaaaaa';

type Beat = readonly [string, string];

interface Given {
  readonly operations?: World['operations'];
  readonly composed?: World['composed'];
  readonly runs?: readonly PastRun[] | Error;
  readonly heartbeats?: readonly Heartbeat[];
  readonly operation?: Job['operation'];
  /** Aborts what runs. */
  readonly stop?: AbortSignal;
  readonly env?: Readonly<Record<string, string>>;
}

function startOf(operation: Job['operation']): Start {
  const cron = parseCron('0 2 * * *');
  if ('problems' in cron) throw new Error('it is one');
  const job: Job = {
    ...{
      id: `${operation}:shop`,
      operation,
      database: operation === 'prune' ? null : 'shop',
      cron,
      zone: 'UTC',
      jitterMs: 0,
      catchUpMs: undefined,
    },
    retry: { attempts: 0, backoffMs: 60_000, windowMs: 0 },
  };
  return { job, dueAt: DUE, why: 'due', attempt: 1 };
}

/** What `jetbackup daemon` logs, and what comes of one job that its scheduler starts. */
async function runJob(
  given: Given = {},
): Promise<{ outcome: JobOutcome | undefined; typed: Typed; lines: Record<string, unknown>[]; did: string[] }> {
  let outcome: JobOutcome | undefined;
  const did: string[] = [];
  let log: Progress = silent;
  const start = startOf(given.operation ?? 'backup');
  const result = await typed(`daemon --config ${configured(withPassword)}`, {
    env: given.env ?? { AWS_ACCESS_KEY_ID: 'AKIATEST', AWS_SECRET_ACCESS_KEY: 'verysecretkey123' },
    composed: {
      backupDeps: async (progress) => {
        log = progress;
        return {} as never;
      },
      alertDeps: () => ({ clock: { sleep: async () => {} }, host: 'h', targets: [], heartbeats: given.heartbeats ?? [] }) as never,
      incidentDeps: () => ({ targets: [] }) as never,
      alertPolicy: () => ({}) as never,
      remembering: () => ({ store: {} }) as never,
      listDeps: () => ({ store: {} }) as never,
      close: () => void did.push('closed'),
      ...given.composed,
    },
    operations: {
      createHistory: () => ({
        async read() {
          const { runs = [] } = given;
          if (runs instanceof Error) throw runs;
          return { since: undefined, of: () => runs };
        },
      }),
      exclusively: async (_deps, { operation, database, periodMs }, _signal, work) => {
        did.push(`lease of ${operation} ${database}, each ${Number(periodMs) / 3_600_000} h`);
        return await work(new AbortController().signal);
      },
      isBackedUpSince: async () => false,
      heartbeatsFor,
      backup: async () => {
        did.push('backup');
        log({ type: 'run', id: RUN, operation: 'backup', database: 'shop' });
        log({ type: 'phase', phase: 'dump', text: 'dumping' });
        log({ type: 'done', phase: 'dump', ms: 8000, bytes: 5_000_000 });
        return { manifest: manifest(), run: runRecord('backup'), partial: false };
      },
      ...given.operations,
    },
    loadDaemon: async () => ({
      systemdNotifier: () => ({ ready: hang, reloading: hang, stopping: hang, watch: hang }),
      serveHttp: hang,
      createRunCounter,
      async runDaemon(deps) {
        const service: Service = await deps.load();
        const tell = (event: SchedulerEvent) => deps.onEvent(event);
        tell({ type: 'started', start });
        outcome = await service.scheduler.runner.run(start, given.stop ?? new AbortController().signal);
        if (outcome.elsewhere === true) tell({ type: 'elsewhere', start });
        else tell({ type: 'finished', start, outcome, ms: 9000 });
        await service.close();
      },
    }),
  });
  const lines = result.stderr
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  return { outcome, typed: result, lines, did };
}
function listening(): { beats: Beat[]; heartbeats: Heartbeat[] } {
  const beats: Beat[] = [];
  const heartbeat: Heartbeat = {
    ...{ name: 'checks', operations: ['backup', 'verify', 'prune'], databases: undefined },
    beat: async (beat, { text: said }) => void beats.push([beat, said]),
  };
  return { beats, heartbeats: [heartbeat] };
}

const fails = (error: Error) => ({ backup: async () => Promise.reject(error) });
const locked = new JetbackupError('locked', 'the lease "backup-shop" is held by backup on alpha', { hint: 'Wait.' });

describe('a job of the daemon', () => {
  it('is done under a lease that knows how often it comes, and logs JSON lines that say whose they are', async () => {
    const { outcome, lines, did, typed: result } = await runJob();
    expect(outcome).toEqual({ result: 'succeeded', retryable: false });
    expect(result).toMatchObject({ exitCode: 0, stdout: '' });
    expect(did.slice(0, 2)).toEqual(['lease of backup shop, each 24 h', 'backup']);
    expect(lines.map(({ msg }) => msg)).toEqual([
      'jetbackup 0.1.0 watches the schedules of 1 database(s)',
      'backup:shop begins (due, due at 2026-11-20 02:00:00+00:00)',
      'dumping: 4.77 MiB in 8s, 610 KiB/s',
      `backed up ${manifest().id}`,
      'backup:shop succeeded',
      'stopped',
    ]);
    expect(lines[2]).toMatchObject({
      ...{ level: 'info', time: expect.stringMatching(/Z$/), phase: 'dump', bytes: 5_000_000 },
      ...{ job: 'backup:shop', operation: 'backup', database: 'shop', run: RUN },
    });
    for (const line of lines.slice(1, -1)) expect(line).toHaveProperty('job', 'backup:shop');
  });

  it.each([
    ['may be tried again', new JetbackupError('database-unreachable', 'connection refused', { hint: 'Start it.' }), true],
    ['is of no use to try again', new JetbackupError('dump-failed', 'pg_dump failed', { hint: 'Read on.' }), false],
    ['is a bug', new TypeError('x is not a function'), false],
  ])('that fails in a way that %s says so, with what to do', async (_, error, retryable) => {
    const { outcome, lines } = await runJob({ operations: fails(error) });
    expect(outcome).toEqual({ result: 'failed', retryable });
    const code = error instanceof JetbackupError ? error.code : 'bug';
    const hint = error instanceof JetbackupError ? `; ${error.hint}` : '';
    expect(lines.find(({ level }) => level === 'error')).toMatchObject({ msg: `${error.message}${hint}`, code, job: 'backup:shop' });
    expect(lines.at(-2)).toMatchObject({ level: 'warn', msg: 'backup:shop failed' });
  });

  it('that another instance is doing is left to it: no failure, no error, and no heartbeat of ours', async () => {
    const { beats, heartbeats } = listening();
    const operations = { exclusively: async () => Promise.reject(locked) };
    const { outcome, lines, did } = await runJob({ operations, heartbeats });
    expect(outcome).toMatchObject({ elsewhere: true });
    expect(did).not.toContain('backup');
    expect(beats).toEqual([]);
    expect(lines.map(({ level }) => level)).not.toContain('error');
    expect(lines.at(-2)).toMatchObject({ msg: 'backup:shop is being done by another instance' });
  });

  it('that finds the database locked by somebody’s backup has failed, and may be tried again', async () => {
    const { outcome, lines } = await runJob({ operations: fails(locked) });
    expect(outcome).toEqual({ result: 'failed', retryable: true });
    expect(lines.find(({ code }) => code === 'locked')).toMatchObject({ level: 'info' });
  });

  it('that another instance has done by the time that it gets the lease is not done again', async () => {
    const { beats, heartbeats } = listening();
    const run: PastRun = {
      ...{ startedAt: DUE, recordedAt: DUE, finishedAt: DUE.add({ minutes: 1 }) },
      ...{ result: 'succeeded', retryable: false },
    };
    const { outcome, lines, did } = await runJob({ runs: [run], heartbeats });
    expect(outcome).toEqual({ result: 'succeeded', retryable: false });
    expect(did).not.toContain('backup');
    expect(beats).toEqual([]);
    expect(lines.map(({ msg }) => msg)).toContain('another instance has done this');
    const before = { ...run, startedAt: DUE.subtract({ seconds: 1 }) };
    expect((await runJob({ runs: [before] })).did).toContain('backup');
    expect((await runJob({ runs: [{ ...run, result: 'failed' }] })).did).toContain('backup');
  });

  it('is done where nobody can tell whether another instance has: made twice is better than not at all', async () => {
    const runs = new JetbackupError('storage-denied', 'runs/2026/11/x.json may not be read', { hint: 'chown' });
    const { outcome, lines, did } = await runJob({ runs });
    expect(outcome).toEqual({ result: 'succeeded', retryable: false });
    expect(did).toContain('backup');
    expect(lines.find(({ level }) => level === 'warn')?.['msg']).toMatch(/^whether another instance has done this could not be told: runs/);
  });

  it('is done as well where a key that tells whose backups these are cannot be read, or a backup cannot be looked at', async () => {
    const missing = new JetbackupError('key-missing', 'the signing key cannot be read');
    const noKey = await runJob({
      composed: {
        listDeps: () => {
          throw missing;
        },
      },
    });
    const noLook = await runJob({ operations: { isBackedUpSince: async () => Promise.reject(missing) } });
    for (const { outcome, did } of [noKey, noLook]) {
      expect(outcome).toEqual({ result: 'succeeded', retryable: false });
      expect(did).toContain('backup');
    }
  });

  it.each(['backup', 'verify'] as const)('%s that cannot begin is on record, and told to heartbeats', async (operation) => {
    const missing = new JetbackupError('key-missing', 'the key cannot be read');
    const { beats, heartbeats } = listening();
    const recorded: unknown[] = [];
    // The daemon itself asks for each once when it starts.
    const thenMissing = () => {
      let asked = 0;
      return async () => {
        asked += 1;
        if (asked === 1) return {} as never;
        throw missing;
      };
    };
    const { outcome } = await runJob({
      ...{ operation, heartbeats, composed: { backupDeps: thenMissing(), verifyDeps: thenMissing(), runDeps: () => ({}) as never } },
      operations: { recordFailedStart: async (_deps, runs, error) => void recorded.push([runs, error]) },
    });
    expect(outcome).toEqual({ result: 'failed', retryable: false });
    expect(recorded).toEqual([[{ operation, databases: ['shop'] }, missing]]);
    expect(beats.map(([beat]) => beat)).toEqual(['start', 'fail']);
  });

  it('that prunes is kept apart under a lease of its own, and waits for a prune by hand', async () => {
    let tries = 0;
    const prune = async () => {
      tries += 1;
      if (tries === 1) throw locked;
      return { databases: [], runRecords: 0, uploads: 0 };
    };
    const { did, outcome } = await runJob({
      operation: 'prune',
      operations: { prune },
      composed: { pruneDeps: async () => ({}) as never },
    });
    expect(did[0]).toBe('lease of scheduled-prune null, each 24 h');
    expect(tries).toBe(2);
    expect(outcome).toEqual({ result: 'succeeded', retryable: false });
  });

  it('whose backup is there although its run was killed before it could record it is not done again', async () => {
    const asked: unknown[] = [];
    const operations: World['operations'] = {
      isBackedUpSince: async (_store, of) => {
        asked.push(of);
        return true;
      },
    };
    const { outcome, did } = await runJob({ operations });
    expect(outcome).toEqual({ result: 'succeeded', retryable: false });
    expect(did).not.toContain('backup');
    expect(asked).toEqual([{ database: 'shop', since: DUE }]);
  });

  it('tells heartbeats of its beginning and its end, and of a failure in one fixed sentence', async () => {
    const good = listening();
    await runJob({ heartbeats: good.heartbeats });
    expect(good.beats.map(([beat]) => beat)).toEqual(['start', 'success']);
    const bad = listening();
    await runJob({ heartbeats: bad.heartbeats, operations: fails(new JetbackupError('dump-failed', 'table "secret_plans" is broken')) });
    expect(bad.beats.map(([beat]) => beat)).toEqual(['start', 'fail']);
  });

  it('that is aborted was interrupted, whatever tore on the way', async () => {
    const stop = AbortSignal.abort(new JetbackupError('terminated', 'stopped'));
    const { outcome, lines } = await runJob({ stop, operations: fails(new Error('socket hang up')) });
    expect(outcome).toEqual({ result: 'interrupted', retryable: false });
    expect(lines.map(({ level }) => level)).not.toContain('error');
  });

  it('logs no secret, neither in a text nor in a field', async () => {
    const error = new JetbackupError('database-unreachable', 'cannot connect to postgres://app:hunter2secret@db/shop', {
      hint: 'Is verysecretkey123 right?',
    });
    const { typed: result } = await runJob({ operations: fails(error) });
    expect(result.stderr).toContain('cannot connect to');
    expect(result.stderr).not.toMatch(/hunter2secret|verysecretkey123/);
  });
});
