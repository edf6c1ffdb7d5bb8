import { describe, expect, it } from 'vitest';
import { JetbackupError } from '../../../src/core/errors.ts';
import { REPORT_OLD_MS } from '../../../src/daemon/service.ts';
import { HOUR_MS, MINUTE_MS } from './jobs.ts';
import { daemonOf, EMPTY_REPORT } from './services.ts';

const bad = new JetbackupError('config-invalid', 'jetbackup.yaml: schedule: 99 is no hour', { hint: 'Write 0 to 23.' });
const hang = () => new Promise<never>(() => {});

describe('a daemon', () => {
  it('does not start with a bad configuration, and says why', async () => {
    const d = daemonOf(bad);
    await d.over;
    expect(d.outcome()).toBe(bad);
    expect(d.did).toEqual([]);
  });

  it('runs what is due, and tells systemd when it is ready and when it stops', async () => {
    const d = daemonOf({});
    await d.time.advance(11 * MINUTE_MS);
    await d.terminate();
    expect(d.outcome()).toBe('ended');
    expect(d.did).toEqual([
      'served',
      'systemd: ready',
      'configuration 1: job begins',
      'configuration 1: job ends',
      'systemd: stopping',
      'no longer served',
      'configuration 1: closed',
    ]);
  });

  it('begins nothing after a signal that came before anything else', async () => {
    const d = daemonOf({});
    await d.terminate();
    await d.time.advance(HOUR_MS);
    expect(d.did).toEqual(['served', 'systemd: ready', 'systemd: stopping', 'no longer served', 'configuration 1: closed']);
  });

  it('begins no job that comes due while systemd is being told that it stops', async () => {
    const d = daemonOf({});
    d.deps.notifier.stopping = async () => await d.host.sleep(5000);
    await d.time.advance(10 * MINUTE_MS - 1000);
    await d.terminate();
    await d.time.advance(HOUR_MS);
    expect(d.outcome()).toBe('ended');
    expect(d.did).not.toContain('configuration 1: job begins');
  });

  it('releases what the configuration holds when it cannot serve', async () => {
    const d = daemonOf({});
    d.deps.serve = async () => {
      throw new Error('the port is taken');
    };
    await d.over;
    expect(d.outcome()).toMatchObject({ message: 'the port is taken' });
    expect(d.did).toEqual(['configuration 1: closed']);
  });

  it('ends with the error where its own scheduler fails, rather than sit there idle', async () => {
    const d = daemonOf({});
    d.onEvent(() => {
      throw new Error('a bug');
    });
    await d.time.advance(11 * MINUTE_MS);
    expect(d.outcome()).toMatchObject({ message: 'a bug' });
    expect(d.did.at(-1)).toBe('configuration 1: closed');
  });
});

describe('a signal', () => {
  it('during a job lets it end within its grace', async () => {
    const d = daemonOf({ jobMs: 30_000, graceMs: MINUTE_MS });
    await d.time.advance(10 * MINUTE_MS + 5000);
    await d.terminate();
    expect(d.outcome()).toBe('runs');
    await d.time.advance(25_000);
    expect(d.outcome()).toBe('ended');
    expect(d.did.slice(2)).toEqual([
      'configuration 1: job begins',
      'systemd: stopping',
      'configuration 1: job ends',
      'no longer served',
      'configuration 1: closed',
    ]);
  });

  it('aborts a job that takes longer than its grace, waits until it has cleaned up, and only then releases the store', async () => {
    const d = daemonOf({ jobMs: HOUR_MS, graceMs: 20_000, cleanUpMs: 5000 });
    await d.time.advance(10 * MINUTE_MS + 5000);
    await d.terminate();
    await d.time.advance(24_000);
    expect(d.outcome()).toBe('runs');
    await d.time.advance(1000);
    expect(d.outcome()).toBe('ended');
    expect(d.did.slice(2)).toEqual([
      'configuration 1: job begins',
      'systemd: stopping',
      'configuration 1: job aborted (terminated)',
      'no longer served',
      'configuration 1: closed',
    ]);
  });

  it('during a survey that hangs, and heeds no signal, ends the daemon at once', async () => {
    const d = daemonOf({ survey: hang });
    await d.time.advance(MINUTE_MS);
    await d.terminate();
    expect(d.outcome()).toBe('ended');
    expect(d.did.filter((text) => text.startsWith('warn'))).toEqual([]);
  });

  it('during a reload that waits for a job leaves that its grace only, tells systemd, and releases both configurations', async () => {
    const d = daemonOf({ jobMs: HOUR_MS, graceMs: 20_000 }, {});
    await d.time.advance(10 * MINUTE_MS + 5000);
    await d.reload();
    await d.time.advance(5 * MINUTE_MS);
    expect(d.outcome()).toBe('runs');
    await d.terminate();
    await d.time.advance(20_000);
    expect(d.outcome()).toBe('ended');
    expect(d.did.slice(2)).toEqual([
      'configuration 1: job begins',
      'systemd: reloading',
      'systemd: stopping',
      'configuration 1: job aborted (terminated)',
      'configuration 2: closed',
      'no longer served',
      'configuration 1: closed',
    ]);
  });
});

describe('a reload', () => {
  it('is done at once when nothing runs: what is due from then on is the new one’s', async () => {
    const d = daemonOf({}, {});
    await d.time.advance(5 * MINUTE_MS);
    await d.reload();
    await d.time.advance(6 * MINUTE_MS);
    expect(d.did).toEqual([
      'served',
      'systemd: ready',
      'systemd: reloading',
      'configuration 1: closed',
      'systemd: ready',
      'configuration 2: job begins',
      'configuration 2: job ends',
    ]);
  });

  it('waits for running jobs, which end under the old one; nothing else begins meanwhile, and systemd sees it alive', async () => {
    const d = daemonOf({ jobMs: 25 * MINUTE_MS }, {});
    await d.time.advance(10 * MINUTE_MS + 1000);
    await d.reload();
    await d.time.advance(26 * MINUTE_MS);
    expect(d.did.slice(2)).toEqual([
      'configuration 1: job begins',
      'systemd: reloading',
      'configuration 1: job ends',
      'configuration 1: closed',
      'systemd: ready',
    ]);
  });

  it('that is asked for while another one waits is done after it', async () => {
    const d = daemonOf({ jobMs: 5 * MINUTE_MS }, {}, {});
    await d.time.advance(10 * MINUTE_MS + 1000);
    await d.reload();
    await d.reload('jetbackup.yaml has changed');
    await d.time.advance(6 * MINUTE_MS);
    expect(d.did.filter((text) => text.endsWith('closed'))).toEqual(['configuration 1: closed', 'configuration 2: closed']);
  });

  it('to a bad configuration is refused and told, with what to do, and the old one goes on', async () => {
    const d = daemonOf({}, bad, {});
    await d.time.advance(5 * MINUTE_MS);
    await d.reload();
    await d.time.advance(6 * MINUTE_MS);
    expect(d.did.slice(2)).toEqual([
      'systemd: reloading',
      `error: the new configuration is refused, and the old one stays in force: ${bad.message}; ${bad.hint}`,
      'systemd: ready',
      'configuration 1: job begins',
      'configuration 1: job ends',
    ]);
    await d.reload();
    expect(d.did.slice(-3)).toEqual(['systemd: reloading', 'configuration 1: closed', 'systemd: ready']);
  });

  it('ends the survey of the old configuration before its store is closed, and shows no report of it', async () => {
    const seen: string[] = [];
    const survey = (signal: AbortSignal) =>
      new Promise<never>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true })).finally(() => {
        seen.push('survey ended');
      });
    const d = daemonOf({ survey }, {});
    await d.time.advance(MINUTE_MS);
    expect(d.view()?.report()).toBeUndefined();
    await d.reload();
    expect(seen).toEqual(['survey ended']);
    expect(d.did.filter((text) => text.startsWith('warn'))).toEqual([]);
    expect(d.view()?.report()?.report).toBe(EMPTY_REPORT);
  });
});

describe('where things stand', () => {
  it('is looked at each half minute, and a store that fails ends nothing', async () => {
    let surveys = 0;
    const survey = async () => {
      surveys += 1;
      if (surveys % 2 === 0) throw new Error('the store is away');
      return EMPTY_REPORT;
    };
    const d = daemonOf({ survey });
    await d.time.advance(HOUR_MS);
    expect(surveys).toBe(121);
    expect(d.did.filter((text) => text === 'warn: where things stand could not be told: the store is away')).toHaveLength(60);
    expect(d.did.filter((text) => text.endsWith('job begins'))).toHaveLength(6);
    expect(d.view()?.report()?.at).toEqual(d.time.now());
  });

  it('is tried again after two minutes where the store hangs, and jobs go on', async () => {
    let surveys = 0;
    const survey = () => {
      surveys += 1;
      return hang();
    };
    const d = daemonOf({ survey });
    await d.time.advance(HOUR_MS);
    // Two minutes until it is given up, and 45 s of rest: so that a report of one that takes as long is not old before the next.
    expect(surveys).toBe(22);
    expect(d.did.filter((text) => text.endsWith('job begins'))).toHaveLength(6);
  });

  it.each([5, 40, 61, 100, 119])('is never old while looking takes %i s', async (seconds) => {
    const unknown: string[] = [];
    const d = daemonOf({
      survey: async () => {
        await d.time.host().sleep(seconds * 1000);
        return EMPTY_REPORT;
      },
      alert: async ({ report }) => void (report === undefined && unknown.push(d.time.now().toString())),
    });
    await d.time.advance(3 * MINUTE_MS);
    unknown.length = 0;
    let oldest = 0;
    for (let times = 0; times < 360; times += 1) {
      await d.time.advance(10_000);
      const at = d.view()?.report()?.at.epochMilliseconds ?? 0;
      oldest = Math.max(oldest, d.time.now().epochMilliseconds - at);
    }
    expect(oldest).toBeLessThanOrEqual(REPORT_OLD_MS);
    expect(unknown).toEqual([]);
  });

  it('is told to alerts once a minute while it is fresh, with the jobs; later as unknown', async () => {
    const told: { known: boolean; jobs: number }[] = [];
    let surveys = 0;
    const d = daemonOf({
      survey: () => {
        surveys += 1;
        return surveys === 1 ? Promise.resolve(EMPTY_REPORT) : hang();
      },
      alert: async ({ report, jobs }) => void told.push({ known: report !== undefined, jobs: jobs.length }),
    });
    await d.time.advance(5 * MINUTE_MS);
    expect(told.map(({ known }) => known)).toEqual([false, true, true, true, false, false]);
    expect(told.at(-1)?.jobs).toBe(1);
  });

  it('and alerts that fail, or hang, end nothing', async () => {
    const d = daemonOf({ alert: async () => Promise.reject(new Error('no mail server')) });
    const other = daemonOf({ alert: hang });
    await d.time.advance(MINUTE_MS);
    expect(d.did).toContain('warn: alerts: no mail server');
    await other.time.advance(MINUTE_MS);
    await other.terminate();
    expect(other.outcome()).toBe('ended');
  });
});
