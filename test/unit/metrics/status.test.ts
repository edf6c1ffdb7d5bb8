import { describe, expect, it } from 'vitest';
import { statusMetrics } from '../../../src/metrics/status.ts';
import type { StatusReport } from '../../../src/operations/status.ts';
import { parseExposition } from '../../support/exposition.ts';
import { NOW, reportOf, statusIn } from '../../support/status-reports.ts';
import { verificationEntry } from '../../support/verifications.ts';

const HOUR = 3_600_000;

const lastGoodBackup = {
  ...{ run: '20261120T020000Z-aaaaaa', startedAt: NOW.subtract({ hours: 10 }), finishedAt: NOW.subtract({ hours: 9 }) },
  ...{ result: 'succeeded' as const, error: null },
};
const checked = verificationEntry({
  at: '2026-11-19T06:00:00Z',
  rtoSeconds: 600,
  verification: {
    checks: [
      { id: 'restore', status: 'pass', message: '', ms: 1 },
      { id: 'queries', status: 'pass', message: '', ms: 1 },
      { id: 'queries', status: 'fail', message: '', ms: 1 },
      { id: 'canary', status: 'skip', message: '', ms: 1 },
    ],
  },
});
const shop = statusIn('shop', {
  ...{ objectives: { rpoMs: 26 * HOUR, rtoMs: 900_000 }, newest: 10, newestProven: 34, worstGapSeconds: 90_000 },
  ...{ verifications: [checked], history: { lastGoodBackup }, frozenBy: '20261120T020000Z-aaaaaa' },
});
const empty = statusIn('empty', {});

async function metricsOf(report: StatusReport) {
  const families = parseExposition(await statusMetrics(report));
  return {
    families,
    value(name: string, labels: Readonly<Record<string, string>>): number | undefined {
      const family = families.get(name);
      if (family === undefined) throw new Error(`there is no ${name}`);
      return family.samples.find((sample) => Object.entries(labels).every(([label, value]) => sample.labels[label] === value))?.value;
    },
  };
}

describe('the metrics of a status', () => {
  it('tell the newest recovery point and the newest proven one apart, with their sizes', async () => {
    const { value } = await metricsOf(reportOf(shop, empty));
    const name = 'jetbackup_recovery_point_timestamp_seconds';
    expect(value(name, { database: 'shop', proven: 'false' })).toBe(NOW.epochMilliseconds / 1000 - 10 * 3600);
    expect(value(name, { database: 'shop', proven: 'true' })).toBe(NOW.epochMilliseconds / 1000 - 34 * 3600);
    expect(value('jetbackup_backup_last_size_bytes', { database: 'shop', stage: 'dump' })).toBe(10 * 1024 ** 3);
    expect(value('jetbackup_backup_last_size_bytes', { database: 'shop', stage: 'stored' })).toBe(2 * 1024 ** 3);
  });

  it('have objectives beside what was measured, by phase', async () => {
    const { value } = await metricsOf(reportOf(shop));
    expect(value('jetbackup_rto_seconds', { database: 'shop', phase: 'total', profile: 'durable' })).toBe(600);
    expect(value('jetbackup_rto_seconds', { database: 'shop', phase: 'data' })).toBe(360);
    expect(value('jetbackup_rto_objective_seconds', { database: 'shop' })).toBe(900);
    expect(value('jetbackup_rpo_seconds', { database: 'shop' })).toBe(36_000);
    expect(value('jetbackup_rpo_worst_gap_seconds', { database: 'shop' })).toBe(90_000);
    expect(value('jetbackup_rpo_objective_seconds', { database: 'shop' })).toBe(93_600);
    expect(value('jetbackup_rto_forecast_seconds', { database: 'shop', days: '90', bound: 'expected' })).toBeCloseTo(600, 6);
    expect(value('jetbackup_rto_forecast_seconds', { database: 'shop', days: '0', bound: 'upper' })).toBeGreaterThan(600);
  });

  it('tell how the last backup went, what was checked, and whether deletion is frozen', async () => {
    const { value } = await metricsOf(reportOf(shop, empty));
    expect(value('jetbackup_backup_last_success_timestamp_seconds', { database: 'shop' })).toBe(NOW.epochMilliseconds / 1000 - 9 * 3600);
    expect(value('jetbackup_backup_last_duration_seconds', { database: 'shop' })).toBe(3600);
    expect(value('jetbackup_check_result', { database: 'shop', check: 'restore' })).toBe(1);
    expect(value('jetbackup_check_result', { database: 'shop', check: 'queries' })).toBe(0);
    expect(value('jetbackup_check_result', { database: 'shop', check: 'canary' })).toBeUndefined();
    expect(value('jetbackup_retention_frozen', { database: 'shop' })).toBe(1);
    expect(value('jetbackup_retention_frozen', { database: 'empty' })).toBe(0);
    expect(value('jetbackup_repository_bytes', { database: 'shop' })).toBe(20 * 1024 ** 3);
  });

  it('of a database that has nothing raise every alarm about age, and make up no figure', async () => {
    const { value } = await metricsOf(reportOf(shop, empty));
    for (const proven of ['true', 'false']) {
      expect(value('jetbackup_recovery_point_timestamp_seconds', { database: 'empty', proven })).toBe(0);
    }
    expect(value('jetbackup_backup_last_success_timestamp_seconds', { database: 'empty' })).toBe(0);
    expect(value('jetbackup_rpo_seconds', { database: 'empty' })).toBe(Number.POSITIVE_INFINITY);
    const figures = [
      'rto_seconds',
      'rto_objective_seconds',
      'rpo_objective_seconds',
      'rto_forecast_seconds',
      'backup_last_duration_seconds',
    ];
    for (const name of figures) {
      expect(value(`jetbackup_${name}`, { database: 'empty' })).toBeUndefined();
    }
  });

  it('are named as Prometheus wants it, each with a type and a help text, and none twice', async () => {
    const { families } = await metricsOf(reportOf(shop, empty));
    expect(families.size).toBeGreaterThan(10);
    for (const { name, type, help, samples } of families.values()) {
      // promtool's linter: a prefix, base units, no _total on what is no counter.
      expect(name).toMatch(/^jetbackup_[a-z]+(_[a-z]+)*$/);
      expect(name).toMatch(/_(?:seconds|bytes|result|frozen)$/);
      expect(name).not.toMatch(/_(?:total|count|sum|bucket|milliseconds|info)$|gauge/);
      expect(type).toBe('gauge');
      expect(help).toMatch(/^[A-Z].*\.$/);
      for (const { labels } of samples) expect(labels['database']).toMatch(/^(?:shop|empty)$/);
    }
  });

  it('do not depend on what was printed before in the same process', async () => {
    await statusMetrics(reportOf(shop));
    const { value } = await metricsOf(reportOf(empty));
    expect(value('jetbackup_repository_bytes', { database: 'shop' })).toBeUndefined();
    expect(value('jetbackup_repository_bytes', { database: 'empty' })).toBeDefined();
  });
});

describe('the parser of this test', () => {
  it.each([
    '# TYPE a gauge\na 1\n',
    '# HELP a b\n# TYPE a gauge\na 1',
    '# HELP a b\n# TYPE a gauge\na{x="1"} 1\na{x="1"} 2\n',
    '# HELP a b\n# TYPE a gauge\na{x=1} 1\n',
    '# HELP a b\n# TYPE a gauge\na{x="1" y="2"} 1\n',
    '# HELP a b\n# TYPE a gauge\na one\n',
    '# HELP a b\n# TYPE a speedometer\n',
    '# HELP a b\n# TYPE a gauge\nb 1\n',
  ])('takes nothing that is not in the grammar: %j', (text) => {
    expect(() => parseExposition(text)).toThrow();
  });
});
