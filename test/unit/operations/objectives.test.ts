import { Temporal } from 'temporal-polyfill';
import { describe, expect, it } from 'vitest';
import { type Figures, judgeObjectives } from '../../../src/operations/objectives.ts';
import { forecastRto } from '../../../src/operations/rto-forecast.ts';
import { comparableRuns, summarizeRto } from '../../../src/operations/verification-history.ts';
import { GiB, verificationEntry } from '../../support/verifications.ts';

const now = Temporal.Instant.from('2026-11-20T12:00:00Z');
const HOUR = 3_600_000;
const ago = (hours: number) => now.subtract({ hours });
const pointAt = (hours: number, id = '20261120T020000Z-k3f9qa') => ({ id, at: ago(hours) });

const nothing: Figures = {
  ...{ objectives: { rpoMs: undefined, rtoMs: undefined }, now, newest: undefined, newestProven: undefined, newestFailed: undefined },
  ...{ worstGapSeconds: null, rto: undefined, forecast: undefined, lastVerification: undefined },
};
const judge = (figures: Partial<Figures>) => judgeObjectives({ ...nothing, ...figures });
const only = (objective: string, figures: Partial<Figures>) => judge(figures).find((verdict) => verdict.objective === objective);

describe('the objective for the RPO', () => {
  const objectives = { rpoMs: 26 * HOUR, rtoMs: undefined };

  it('is missed without any backup, and once the newest is too old', () => {
    expect(only('rpo', { objectives })).toMatchObject({ state: 'missed', why: { kind: 'no-recovery-point' } });
    expect(only('rpo', { objectives, newest: pointAt(27) })).toMatchObject({
      state: 'missed',
      wantedSeconds: 93_600,
      why: { kind: 'age' },
    });
    expect(only('rpo', { objectives, newest: pointAt(26) })).toMatchObject({ state: 'met', why: { seconds: 93_600 } });
  });

  it('is at risk where it was missed lately', () => {
    expect(only('rpo', { objectives, newest: pointAt(2), worstGapSeconds: 100_000 })).toMatchObject({
      state: 'at risk',
      why: { kind: 'gap' },
    });
    expect(only('rpo', { objectives, newest: pointAt(2), worstGapSeconds: 90_000 })?.state).toBe('met');
  });

  it('is not judged where none is set', () => {
    expect(judge({}).map(({ objective }) => objective)).toEqual(['proven']);
  });
});

describe('the objective for the RTO', () => {
  const objectives = { rpoMs: undefined, rtoMs: 900_000 };
  /** Three months of verifications of a dump that grows by so many GiB each month: 60 s, and 30 s for each. */
  const measured = (perMonth: number, sizeNow = 16, scatter = 0) => {
    const entries = [3, 2, 1, 0].map((months, index) => {
      const gib = 16 - months * perMonth;
      const at = now.subtract({ hours: 24 * 30 * months + 1 }).toString();
      return verificationEntry({ at, bytes: Math.round(gib * GiB), rtoSeconds: 60 + 30 * gib + (index % 2 === 0 ? scatter : -scatter) });
    });
    const runs = comparableRuns(entries);
    const sizes = [90, 60, 30, 0].map((days) => ({
      at: now.epochMilliseconds - days * 24 * HOUR,
      bytes: Math.round((sizeNow - (days / 30) * perMonth) * GiB),
    }));
    return { objectives, rto: summarizeRto(runs), forecast: forecastRto({ runs, sizes, now, objectiveSeconds: 900 }) };
  };

  it('is unknown, and not missed, while it was never measured', () => {
    expect(only('rto', { objectives })).toMatchObject({ state: 'unknown', why: { kind: 'never-measured' } });
  });

  it('is met with the figure that was measured, and when', () => {
    expect(only('rto', measured(1))).toMatchObject({
      state: 'met',
      wantedSeconds: 900,
      why: { kind: 'measured', seconds: 540, isFast: false },
    });
  });

  it('is missed by what was measured, whatever is expected', () => {
    const slow = { ...measured(1), objectives: { rpoMs: undefined, rtoMs: 539_000 } };
    expect(only('rto', slow)).toMatchObject({ state: 'missed', why: { kind: 'measured' } });
  });

  it('is at risk ninety days before it is expected to break, and not yet before', () => {
    // 900 s are 28 GiB: twelve more, so three months of four.
    expect(only('rto', measured(4.1))).toMatchObject({ state: 'at risk', why: { kind: 'breaks-expected' } });
    expect(only('rto', measured(3.9))?.state).toBe('met');
  });

  it('is at risk where the forecast is not certain enough', () => {
    expect(only('rto', measured(3, 16, 40))).toMatchObject({ state: 'at risk', why: { kind: 'breaks-possible' } });
  });

  it('is at risk where the database has outgrown what was measured', () => {
    expect(only('rto', measured(1, 30))).toMatchObject({ state: 'at risk', why: { kind: 'expected-now' } });
  });
});

describe('proof', () => {
  const proven = pointAt(30, '20261119T060000Z-k3f9qa');
  const failed = pointAt(10);

  it('is unknown before the first verification, with or without backups', () => {
    expect(judge({})).toMatchObject([{ state: 'unknown', why: { kind: 'never-proven' } }]);
    expect(judge({ newest: pointAt(1) })).toMatchObject([{ state: 'unknown' }]);
  });

  it('is met by a proven backup, and missed once a newer one was found bad', () => {
    expect(judge({ newestProven: proven })).toMatchObject([{ state: 'met', why: { backup: proven.id } }]);
    expect(judge({ newestProven: proven, newestFailed: failed })).toMatchObject([
      { state: 'missed', why: { kind: 'found-bad', backup: failed.id } },
    ]);
    expect(judge({ newestProven: failed, newestFailed: proven })).toMatchObject([{ state: 'met' }]);
    expect(judge({ newestFailed: failed })).toMatchObject([{ state: 'missed' }]);
  });

  it('is missed by a backup that is not authentic, beside which no proof can lie', () => {
    const lastVerification = verificationEntry({ at: '2026-11-20T03:00:00Z', verification: { outcome: 'failed', attached: false } });
    expect(judge({ newestProven: proven, lastVerification })).toMatchObject([{ state: 'missed', why: { kind: 'found-bad' } }]);
  });

  it('is at risk where the last verification did not get to its end', () => {
    const lastVerification = verificationEntry({ at: '2026-11-20T03:00:00Z', verification: { outcome: null } });
    expect(judge({ newestProven: proven, lastVerification })).toMatchObject([
      { state: 'at risk', why: { kind: 'last-verification-open' } },
    ]);
  });

  it('says where a verification passed and nobody could sign it', () => {
    const lastVerification = verificationEntry({ at: '2026-11-20T03:00:00Z', verification: { attached: false } });
    expect(judge({ newest: pointAt(1), lastVerification })).toMatchObject([{ state: 'unknown', why: { kind: 'no-proof-attached' } }]);
  });
});
