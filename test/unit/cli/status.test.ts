import picocolors from 'picocolors';
import { describe, expect, it } from 'vitest';
import { documents, ErrorDocument } from '../../../src/cli/json.ts';
import type { Session } from '../../../src/cli/session.ts';
import { runHistory } from '../../../src/cli/verification-history.ts';
import { loadConfig } from '../../../src/config/load.ts';
import { JetbackupError } from '../../../src/core/errors.ts';
import type { DatabaseStatus, StatusInput } from '../../../src/operations/status.ts';
import { parseExposition } from '../../support/exposition.ts';
import { NOW, reportOf, statusIn } from '../../support/status-reports.ts';
import { GiB, verificationEntry } from '../../support/verifications.ts';
import { oneDatabase, type Typed, type as typed, type World } from './command-line.ts';

const HOUR = 3_600_000;
const json = (result: Typed): unknown => JSON.parse(result.stdout);
const objectives = { rpoMs: 26 * HOUR, rtoMs: 900_000 };

/** One verification each month of a dump that grew by a GiB each, newest first. */
const verifications = [0, 1, 2, 3].map((months) =>
  verificationEntry({
    at: NOW.subtract({ hours: 24 * 30 * months + 24 }).toString(),
    bytes: (10 - months) * GiB,
    rtoSeconds: 60 + 60 * (10 - months),
  }),
);
const run = { run: '20261120T020000Z-aaaaaa', startedAt: NOW.subtract({ hours: 10 }), finishedAt: NOW.subtract({ hours: 9 }) };
const lastRuns = {
  backup: { ...run, result: 'succeeded', error: null },
  verify: { ...run, result: 'failed', error: { code: 'check-failed', message: 'what somebody wrote', hint: null } },
} as const;
const healthy = statusIn('shop', {
  ...{ objectives, newest: 10, newestProven: 34, worstGapSeconds: 90_000, verifications, history: { lastRuns } },
  growthPerDay: GiB / 30,
});

function world(status: DatabaseStatus, seen: StatusInput[] = []): World {
  return {
    env: { ...oneDatabase, JETBACKUP_RPO: '26h' },
    operations: {
      surveyStatus: async (_deps, input) => {
        seen.push(input);
        return reportOf(status);
      },
    },
  };
}

describe('status', () => {
  it('and the history of verifications say from when a run record may not be read, to people and to programs', async () => {
    const denied: World = {
      ...world(healthy),
      operations: { surveyStatus: async () => ({ ...reportOf(healthy), deniedAt: NOW.subtract({ hours: 3 }) }) },
    };
    for (const command of ['status', 'verify --history'] as const) {
      expect((await typed(command, denied)).stdout).toContain('may not be read by this user');
      expect((await typed(command, world(healthy))).stdout).not.toContain('may not be read');
      const { stdout } = await typed(`${command} --json`, denied);
      expect(documents[command].parse(JSON.parse(stdout)).deniedAt).toBe(
        NOW.subtract({ hours: 3 }).toString({ smallestUnit: 'millisecond' }),
      );
    }
  });

  it('shows the newest backup and the newest proven one as two things, and what is wanted beside what is', async () => {
    const { stdout, exitCode } = await typed('status', world(healthy));
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/^shop\n/);
    expect(stdout).toMatch(/newest +20261120T020000Z-aaaaaa, as of 2026-11-20 02:00:00\+00:00, 10h ago, dump 10 GiB, stored 2 GiB/);
    expect(stdout).toMatch(/newest proven +20261119T020000Z-aaaaaa, .*, 1d 10h ago/);
    expect(stdout).toMatch(/RPO +met \(at most 1d 2h\): the newest recovery point is 10h old/);
    expect(stdout).toMatch(
      /RTO +met \(at most 15m\): 11m, measured 2026-11-19\n|RTO +at risk \(at most 15m\): expected to break by 2027-0\d-\d\d/,
    );
    expect(stdout).toMatch(/longest gap +1d 1h, of those that reach into the last 30 days/);
    expect(stdout).toMatch(
      /newest 11m, median 9m 30s, longest 11m of 4 verifications in a container, profile durable, 4 jobs; 1m more each month/,
    );
    expect(stdout).toMatch(/data 6m 36s at 25.9 MiB\/s/);
    expect(stdout).toMatch(/in 90 days: 14m \(.*\) for 13 GiB/);
    expect(stdout).toMatch(/by a line through 4 verifications; the dump grows by 1 GiB a month/);
    expect(stdout).toMatch(/backup succeeded 2026-11-20 02:00:00\+00:00, run 20261120T020000Z-aaaaaa\n +verify failed \(check-failed\)/);
    expect(stdout).toMatch(/restore never/);
  });

  it('prints no text out of a run record: nobody signed it, and it may hold control characters', async () => {
    expect((await typed('status', world(healthy))).stdout).not.toContain('what somebody wrote');
  });

  it('asks for the named databases with their objectives, and for all without a name', async () => {
    const seen: StatusInput[] = [];
    await typed('status', world(healthy, seen));
    await typed('status shop', world(healthy, seen));
    expect(seen).toMatchObject([
      { databases: [{ name: 'shop', objectives: { rpoMs: 26 * HOUR } }], retention: { databases: [{ database: 'shop' }] } },
      { databases: [{ name: 'shop' }] },
    ]);
    const { exitCode, stderr } = await typed('status shpo', world(healthy));
    expect(exitCode).toBe(2);
    expect(stderr).toContain('no database "shpo" is configured');
  });

  it('ends with 31 when an objective is missed, and says which and why', async () => {
    const stale = statusIn('shop', { objectives, newest: 50 });
    const { stdout, exitCode } = await typed('status', world(stale));
    expect(exitCode).toBe(31);
    expect(stdout).toMatch(/RPO +MISSED \(at most 1d 2h\): the newest recovery point is 2d 2h old/);
    expect((await typed('status --json', world(stale))).exitCode).toBe(31);
  });

  it('ends with 31 when the newest verified backup was found bad, whatever the objectives', async () => {
    const { stdout, exitCode } = await typed('status', world(statusIn('shop', { newest: 50, newestProven: 40, newestFailed: 10 })));
    expect(exitCode).toBe(31);
    expect(stdout).toMatch(/found bad +20261120T020000Z-aaaaaa/);
    expect(stdout).toMatch(/proof +MISSED: 20261120T020000Z-aaaaaa was found bad/);
  });

  it('names what was never measured, and ends with 0 all the same', async () => {
    const { stdout, exitCode } = await typed('status', world(statusIn('shop', { objectives, newest: 1 })));
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/RTO +unknown \(at most 15m\): never measured; do it with: jetbackup verify/);
    expect(stdout).toMatch(/proof +unknown: no backup has been restored/);
    expect(stdout).toMatch(/newest proven +none/);
  });

  it('says of objectives that there are none, and of a forecast far beyond what was measured what it is worth', async () => {
    const small = [verificationEntry({ at: '2026-11-19T03:00:00Z', bytes: GiB / 4, rtoSeconds: 30 })];
    const { stdout } = await typed('status', world(statusIn('shop', { newest: 1, verifications: small })));
    expect(stdout.match(/no objective is set/g)).toHaveLength(2);
    expect(stdout).toContain('40 times off anything measured: hardly more than a guess');
    expect(stdout).toContain('scaled from 1 verification, so wide: a line needs three, of sizes that differ');
  });

  it('says what has frozen deletion, and where to look', async () => {
    const { stdout } = await typed('status', world(statusIn('shop', { newest: 1, frozenBy: '20261120T020000Z-aaaaaa' })));
    expect(stdout).toMatch(/deletion +frozen by 20261120T020000Z-aaaaaa, which collapsed; see: jetbackup prune --dry-run/);
  });

  it('prints a document as documented, also where there is nothing', async () => {
    const document = documents.status.parse(json(await typed('status --json', world(healthy))));
    expect(document.databases[0]).toMatchObject({
      newest: { id: '20261120T020000Z-aaaaaa', snapshotInstant: '2026-11-20T02:00:00Z', ageSeconds: 36_000, dumpBytes: 10 * GiB },
      newestProven: { ageSeconds: 34 * 3600 },
      ...{ rpoObjectiveSeconds: 93_600, rtoObjectiveSeconds: 900, worstGapSeconds: 90_000 },
      rto: { newest: { seconds: 660 }, medianSeconds: 570, worstSeconds: 660, runs: 4, profile: 'durable', jobs: 4 },
      forecast: { method: 'fitted', projected: [{ days: 30 }, { days: 90 }, { days: 365 }] },
      lastRuns: [{ operation: 'backup' }, { operation: 'verify', error: { code: 'check-failed' } }],
    });
    documents.status.parse(json(await typed('status --json', world(statusIn('shop', {})))));
  });

  it('is not silenced by --quiet: it is what was asked for', async () => {
    expect((await typed('status --quiet', world(healthy))).stdout).toContain('newest proven');
  });

  it('on a host without a public key ends before it could call every backup bad', async () => {
    const statusDeps = () => {
      throw new JetbackupError('key-missing', 'there is no public key');
    };
    expect((await typed('status', { ...world(healthy), composed: { statusDeps } })).exitCode).toBe(21);
  });
});

describe('status --metrics', () => {
  it('prints for Prometheus, and ends with 0 so that the file is moved into place when it matters most', async () => {
    const { stdout, exitCode } = await typed('status --metrics', world(statusIn('shop', { objectives, newest: 50 })));
    expect(exitCode).toBe(0);
    expect(parseExposition(stdout).get('jetbackup_rpo_seconds')?.samples).toEqual([
      { name: 'jetbackup_rpo_seconds', labels: { database: 'shop' }, value: 180_000 },
    ]);
  });

  it('is not together with --json', async () => {
    const result = await typed('status --metrics --json', world(healthy));
    expect(result.exitCode).toBe(2);
    expect(ErrorDocument.parse(json(result)).error.code).toBe('usage');
  });
});

describe('verify --history', () => {
  const historyOf = async (status: DatabaseStatus) => {
    const config = loadConfig({ env: oneDatabase, cwd: '/nowhere', search: [] });
    const session = {
      ...{ config, output: { colors: picocolors.createColors(false) } },
      composed: { location: 'file:///backups', retentionInput: () => ({ timeZone: 'UTC', databases: [] }), statusDeps: () => ({}) },
      context: { operations: { surveyStatus: async () => reportOf(status) }, signal: new AbortController().signal },
    };
    return await runHistory(session as unknown as Session, []);
  };

  it('has a line for each verification, the newest last, and what they come to', async () => {
    const failed = verificationEntry({
      at: '2026-11-20T03:00:00Z',
      verification: { outcome: 'failed', checks: [{ id: 'fingerprint', status: 'fail', message: '', ms: 1 }] },
    });
    const open = verificationEntry({
      at: '2026-11-20T04:00:00Z',
      rtoSeconds: null,
      verification: { outcome: null, sandbox: null, bytes: null },
    });
    const unsigned = verificationEntry({ at: '2026-11-20T05:00:00Z', verification: { attached: false } });
    const { text, exitCode, document } = await historyOf(
      statusIn('shop', { objectives, verifications: [unsigned, open, failed, ...verifications] }),
    );
    expect(exitCode ?? 0).toBe(0);
    expect(text).toMatch(/AT +BACKUP +RESULT +IN +PROFILE +JOBS +DUMP +RTO +RPO +LONGEST GAP/);
    const at = (needle: string) => text.split('\n').findIndex((line) => line.includes(needle));
    expect(at('2026-08-21')).toBeLessThan(at('2026-11-19'));
    expect(text).toMatch(/2026-11-19 12:00:00\+00:00 +20261119T120000Z-bbbbbb +proven +container +durable +4 +10 GiB +11m +1h +1d/);
    expect(text).toMatch(/2026-11-20 03:00:00\+00:00 .*FAILED: fingerprint/);
    expect(text).toMatch(/2026-11-20 04:00:00\+00:00 .*not told +- +- +4 +- +- /);
    expect(text).toMatch(/2026-11-20 05:00:00\+00:00 .*passed, not signed/);
    expect(text).toMatch(/measured +newest 10m, median 10m, longest 11m of 5 verifications/);
    expect(text).toMatch(/forecast +now: /);
    const parsed = documents['verify --history'].parse(document);
    expect(parsed.databases[0]?.verifications).toHaveLength(7);
    expect(parsed.databases[0]?.verifications[2]).toMatchObject({ outcome: 'failed', failedChecks: ['fingerprint'] });
    expect(parsed.databases[0]?.verifications[3]?.phases).toContainEqual({
      ...{ phase: 'data', seconds: 396, bytes: 10 * GiB, bytesPerSecond: (10 * GiB) / 396 },
    });
  });

  it('says so where there is none', async () => {
    const { text, document } = await historyOf(statusIn('shop', {}));
    expect(text).toContain('never verified; do it with: jetbackup verify');
    documents['verify --history'].parse(document);
  });
});
