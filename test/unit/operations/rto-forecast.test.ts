import fc from 'fast-check';
import { Temporal } from 'temporal-polyfill';
import { describe, expect, it } from 'vitest';
import { forecastRto } from '../../../src/operations/rto-forecast.ts';
import { comparableRuns, type VerificationEntry } from '../../../src/operations/verification-history.ts';
import { seededNormal } from '../../support/seeded-normal.ts';
import { GiB, verificationEntry } from '../../support/verifications.ts';

const now = Temporal.Instant.from('2026-11-20T12:00:00Z');
const DAY = 86_400_000;
const daysAgo = (days: number) => new Date(now.epochMilliseconds - days * DAY).toISOString();

/** One verification a month, oldest first; `rto` of the size in GiB. */
function monthly(sizes: readonly number[], rto: (gib: number, index: number) => number, verification = {}): VerificationEntry[] {
  return sizes.map((gib, index) =>
    verificationEntry({
      at: daysAgo(30 * (sizes.length - 1 - index)),
      bytes: Math.round(gib * GiB),
      rtoSeconds: rto(gib, index),
      verification,
    }),
  );
}

/** A dump of this size now, and that much more for each day. */
function growing(gib: number, perDay: number, days = 100) {
  return Array.from({ length: days }, (_, index) => ({
    at: now.epochMilliseconds - index * DAY,
    bytes: Math.round((gib - perDay * index) * GiB),
  }));
}

function forecast(entries: readonly VerificationEntry[], sizes = growing(10, 0), objectiveSeconds?: number) {
  return forecastRto({ runs: comparableRuns(entries), sizes, now, objectiveSeconds });
}

const iso = (instant: Temporal.Instant | undefined) => instant?.toString().slice(0, 10);

describe('the forecast of the RTO', () => {
  it('is the line that the verifications lie on, for the size now and those to come', () => {
    const found = forecast(
      monthly([10, 12, 14, 16], (gib) => 60 + 30 * gib),
      growing(16, 0.1),
    );
    expect(found).toMatchObject({ method: 'fitted', basis: { runs: 4, leftOut: 0, kind: 'container', profile: 'durable', jobs: 4 } });
    expect(found?.now.seconds).toBeCloseTo(540, 3);
    expect(found?.projected.map(({ days, seconds }) => [days, Math.round(seconds)])).toEqual([
      [30, 630],
      [90, 810],
      [365, 1635],
    ]);
    expect(found?.growth?.bytesPerMonth).toBeCloseTo(3 * GiB, -3);
  });

  it('sees growth that has just begun', () => {
    // 200 nights: as large each time, and by 1 GiB larger each night since 35 days.
    const sizes = growing(100, 0)
      .slice(0, 1)
      .flatMap(({ bytes }) =>
        Array.from({ length: 200 }, (_, index) => ({
          at: now.subtract({ hours: 24 * (199 - index) }).epochMilliseconds,
          bytes: bytes + Math.max(0, index - 165) * GiB,
        })),
      );
    const perMonth =
      (forecast(
        monthly([96, 98, 100], (gib) => 30 * gib),
        sizes,
      )?.growth?.bytesPerMonth ?? 0) / GiB;
    // A third of the 30 GiB: the line goes by 90 days. It is seen, and as the weeks pass it is seen in full. The figure is the least
    // squares’ slope over 91 nights, worked out apart from what is tested.
    expect(perMonth).toBeCloseTo(9.665_552, 5);
  });

  it('says on which day the objective breaks', () => {
    const found = forecast(
      monthly([10, 12, 14, 16], (gib) => 60 + 30 * gib),
      growing(16, 0.1),
      900,
    );
    // 900 s are 28 GiB, which are 120 days away.
    expect(iso(found?.breaks?.expected)).toMatch(/^2027-03-(20|21)$/);
  });

  it('says sooner that it may break where the verifications differ much', () => {
    const normal = seededNormal(3);
    const found = forecast(
      monthly([10, 11, 12, 13, 14, 15, 16], (gib) => 60 + 30 * gib + 30 * normal()),
      growing(16, 0.1),
      900,
    );
    const { expected, earliest } = found?.breaks ?? {};
    expect(Number(earliest?.epochMilliseconds)).toBeLessThan(Number(expected?.epochMilliseconds) - 20 * DAY);
  });

  it('is not bent by one verification on a busy machine, and says that it was left out', () => {
    const found = forecast(monthly([10, 11, 12, 13, 14, 15], (gib, index) => 60 + 30 * gib + (index === 3 ? 1500 : 0)));
    expect(found?.basis.leftOut).toBe(1);
    expect(found?.now.seconds).toBeCloseTo(360, 3);
  });

  it('with one verification scales what of it moves bytes, and says so with a wide interval', () => {
    const found = forecast(
      monthly([10], () => 600),
      growing(20, 0),
    );
    expect(found?.method).toBe('scaled');
    // A tenth of it started the sandbox.
    expect(found?.now.seconds).toBeCloseTo(60 + 2 * 540, 6);
    expect(found?.now.upperSeconds).toBeGreaterThan(1.5 * 1140);
    expect(found?.now.lowerSeconds).toBeLessThan(1140 / 1.5);
    expect(found?.now.lowerSeconds).toBeGreaterThan(0);
  });

  it('scales all of it where no phase says what it moved', () => {
    const bare = monthly([10], () => 600).map((entry) => ({ ...entry, phases: entry.phases.map((phase) => ({ ...phase, bytes: null })) }));
    expect(forecast(bare, growing(20, 0))?.now.seconds).toBeCloseTo(1200, 6);
  });

  it('makes no line of verifications of one size, and takes their differences for its uncertainty', () => {
    const found = forecast(monthly([10, 10, 10, 10], (_, index) => 600 + 6 * index));
    expect(found?.method).toBe('scaled');
    expect(found?.now.seconds).toBeCloseTo(609, 6);
    expect(found?.now.upperSeconds).toBeLessThan(650);
  });

  it('makes no line of sizes that differ by less than a tenth: their times differ by chance', () => {
    const method = (largest: number) => forecast(monthly([10, 10.2, 10.4, largest], (gib) => 60 + 30 * gib))?.method;
    expect(method(10.9)).toBe('scaled');
    expect(method(11.1)).toBe('fitted');
  });

  it('makes no line that promises less for more', () => {
    const found = forecast(
      monthly([10, 12, 14], (gib) => 1000 - 30 * gib),
      growing(28, 0),
    );
    expect(found?.method).toBe('scaled');
    expect(found?.now.seconds).toBeGreaterThan(1000);
  });

  it('says how far it is from anything measured', () => {
    const entries = monthly([10, 12, 14, 20], (gib) => 60 + 30 * gib);
    expect(forecast(entries, growing(15, 0))?.now.timesBeyond).toBe(1);
    expect(forecast(entries, growing(400, 0))?.now.timesBeyond).toBeCloseTo(20, 6);
    expect(forecast(entries, growing(1, 0))?.now.timesBeyond).toBeCloseTo(10, 6);
  });

  it('compares only what was measured alike, and leaves out what failed or could not be told', () => {
    const fast = monthly([10, 11, 12], () => 100, { sandbox: { kind: 'local', description: '', versionNum: 170_006, profile: 'fast' } });
    const entries = [
      ...monthly([10, 12, 14], (gib) => 60 + 30 * gib),
      ...fast,
      verificationEntry({ at: daysAgo(1), rtoSeconds: 5, verification: { outcome: 'failed' } }),
      verificationEntry({ at: daysAgo(2), rtoSeconds: null, verification: { outcome: null } }),
      verificationEntry({ at: daysAgo(3), rtoSeconds: 5, verification: { jobs: 1 } }),
    ];
    expect(comparableRuns(entries).map(({ profile, rtoSeconds }) => [profile, rtoSeconds])).toEqual([
      ['durable', 480],
      ['durable', 420],
      ['durable', 360],
    ]);
    expect(comparableRuns(fast)).toHaveLength(3);
  });

  it('goes back to fast where nothing better was measured for a hundred days', () => {
    const fast = { sandbox: { kind: 'local' as const, description: '', versionNum: 170_006, profile: 'fast' as const } };
    const runs = (days: number) =>
      comparableRuns([verificationEntry({ at: daysAgo(days) }), verificationEntry({ at: daysAgo(0), verification: fast })]);
    expect(runs(99)[0]?.profile).toBe('durable');
    expect(runs(101)[0]?.profile).toBe('fast');
  });

  it('is none where nothing was measured or there is no backup', () => {
    expect(forecast([])).toBeUndefined();
    expect(
      forecast(
        monthly([10], () => 600),
        [],
      ),
    ).toBeUndefined();
  });

  it('foretells nothing but the present where growth cannot be told', () => {
    const found = forecast(
      monthly([10, 12, 14], (gib) => 60 + 30 * gib),
      growing(14, 1, 5),
      400,
    );
    expect(found?.growth).toBeUndefined();
    expect(found?.projected).toEqual([]);
    expect(iso(found?.breaks?.expected)).toBe('2026-11-20');
  });

  it('goes on from the present size after a purge, and not from the line above it', () => {
    const sizes = growing(30, 0.1).map((size, index) => (index < 3 ? { ...size, bytes: size.bytes - 10 * GiB } : size));
    expect(
      forecast(
        monthly([10, 20, 30], (gib) => 30 * gib),
        sizes,
      )?.now.bytes,
    ).toBe(20 * GiB);
  });
});

const runs = fc.array(
  fc.record({
    gib: fc.integer({ min: 0, max: 500 }),
    rto: fc.integer({ min: 1, max: 20_000 }),
    day: fc.nat(700),
  }),
  { minLength: 1, maxLength: 20 },
);
const asEntries = (some: readonly { gib: number; rto: number; day: number }[]) =>
  some.map(({ gib, rto, day }) => verificationEntry({ at: daysAgo(day), bytes: Math.round(gib * GiB), rtoSeconds: rto }));

describe('the forecast of any history', () => {
  it('is never negative, never NaN, and lies within its interval', () => {
    fc.assert(
      fc.property(runs, fc.integer({ min: 0, max: 5000 }), fc.integer({ min: -5, max: 5 }), (some, gib, perDay) => {
        const found = forecast(
          asEntries(some),
          growing(gib, perDay).map(({ at, bytes }) => ({ at, bytes: Math.max(0, bytes) })),
          3600,
        );
        for (const { seconds, lowerSeconds, upperSeconds, timesBeyond } of found === undefined ? [] : [found.now, ...found.projected]) {
          expect(lowerSeconds).toBeGreaterThanOrEqual(0);
          expect(seconds).toBeGreaterThanOrEqual(lowerSeconds);
          expect(upperSeconds).toBeGreaterThanOrEqual(seconds);
          expect(Number.isFinite(upperSeconds)).toBe(true);
          expect(timesBeyond).toBeGreaterThanOrEqual(1);
        }
      }),
      { numRuns: 60 },
    );
  });

  it('never falls with the size', () => {
    fc.assert(
      fc.property(runs, fc.nat(900), fc.nat(900), (some, a, b) => {
        const entries = asEntries(some);
        const [small, large] = [Math.min(a, b), Math.max(a, b)].map((gib) => forecast(entries, growing(gib, 0, 1))?.now.seconds ?? 0);
        expect(large).toBeGreaterThanOrEqual((small ?? 0) * (1 - 1e-9));
      }),
    );
  });

  it('does not depend on the order in which records were read', () => {
    const both = runs.chain((some) => fc.tuple(fc.constant(some), fc.shuffledSubarray(some, { minLength: some.length })));
    fc.assert(
      fc.property(both, ([some, shuffled]) => {
        expect(forecast(asEntries(shuffled), growing(50, 0.2, 30))?.projected).toEqual(
          forecast(asEntries(some), growing(50, 0.2, 30))?.projected,
        );
      }),
      { numRuns: 50 },
    );
  });

  it('holds a further verification in its interval about as often as it says', () => {
    const normal = seededNormal(11);
    let inside = 0;
    for (let trial = 0; trial < 400; trial += 1) {
      const sizes = Array.from({ length: 10 }, (_, index) => 20 + 3 * index);
      const found = forecast(
        monthly(sizes, (gib) => 60 + 30 * gib + 40 * normal()),
        growing(55, 0, 1),
      )?.now;
      const next = 60 + 30 * 55 + 40 * normal();
      if (found !== undefined && found.lowerSeconds <= next && next <= found.upperSeconds) inside += 1;
    }
    expect(inside / 400).toBeGreaterThan(0.91);
    expect(inside / 400).toBeLessThan(0.985);
  });
});
