import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { detectCollapse } from '../../../retention/anomaly.ts';
import type { RecoveryPoint } from '../../../retention/points.ts';
import { DAY } from './arbitraries.ts';

type Figures = Partial<Pick<RecoveryPoint, 'rows' | 'plainBytes' | 'state'>>;

/** One backup a day, called day-01, day-02 and so on. */
function daily(figures: readonly Figures[]): RecoveryPoint[] {
  return figures.map((figure, index) => ({
    id: `day-${String(index + 1).padStart(2, '0')}`,
    database: 'shop',
    instant: index * DAY,
    state: 'ok',
    proof: 'unproven',
    bytes: 1,
    ...figure,
  }));
}

const sizes = (...values: number[]) => daily(values.map((plainBytes) => ({ plainBytes })));
const rows = (...values: number[]) => daily(values.map((rows) => ({ rows })));
const full = [100, 102, 98, 101, 99, 100, 103];

describe('a collapse', () => {
  test('is a size below half the median of the seven before it', () => {
    expect(detectCollapse(sizes(...full, 49))).toEqual({
      pointId: 'day-08',
      figure: 'size',
      value: 49,
      median: 100,
      why: 'day-08 has 49 bytes before compression, the median of those before it is 100',
    });
    expect(detectCollapse(sizes(...full, 50))).toBeUndefined();
  });

  test('is a row count of nothing, even where any ratio would do', () => {
    expect(detectCollapse(rows(5, 5, 5, 0), { ratio: 0 })).toMatchObject({ figure: 'rows', value: 0, median: 5 });
    expect(detectCollapse(rows(0, 0, 0, 0))).toBeUndefined();
  });

  test('is seen by the rows where the size stays, and by the size where no rows are known', () => {
    const point = { plainBytes: 100, rows: 1000 };
    expect(detectCollapse(daily([point, point, point, { ...point, rows: 10 }]))).toMatchObject({ figure: 'rows' });
    expect(detectCollapse(daily([point, point, point, { plainBytes: 10 }]))).toMatchObject({ figure: 'size' });
    expect(detectCollapse(daily([point, point, point, {}]))).toBeUndefined();
  });

  test('needs three backups before it', () => {
    expect(detectCollapse(sizes(100, 100, 1))).toBeUndefined();
    expect(detectCollapse(sizes(100, 100, 100, 1))).toMatchObject({ pointId: 'day-04' });
    expect(detectCollapse([])).toBeUndefined();
  });

  test('is not what a damaged manifest says', () => {
    const ok = { plainBytes: 100 };
    expect(detectCollapse(daily([ok, ok, ok, { plainBytes: 1, state: 'unreadable' }]))).toBeUndefined();
  });

  test('is measured by what the operator set', () => {
    expect(detectCollapse(sizes(...full, 79), { ratio: 0.8 })).toMatchObject({ value: 79 });
    expect(detectCollapse(sizes(100, 100, 100, 100, 10, 10, 10, 4), { window: 3, ratio: 0.05 })).toBeUndefined();
    expect(detectCollapse(sizes(100, 1), { minimumHistory: 1 })).toMatchObject({ value: 1 });
  });

  test('does not become the new normal, however many follow it', () => {
    const after = Array.from({ length: 30 }, () => 10);
    expect(detectCollapse(sizes(...full, ...after))).toMatchObject({ pointId: 'day-37', median: 100 });
  });

  test('stays until somebody has looked, even when the next backup is normal again', () => {
    expect(detectCollapse(sizes(...full, 0, 100, 100))).toMatchObject({ pointId: 'day-08' });
  });
});

describe('accepting it', () => {
  test('lifts the freeze, for it and for what is as small after it', () => {
    expect(detectCollapse(sizes(...full, 10), { accepted: new Set(['day-08']) })).toBeUndefined();
    expect(detectCollapse(sizes(...full, 10, 11, 9, 10), { accepted: new Set(['day-08']) })).toBeUndefined();
  });

  test('of the newest covers those before it', () => {
    expect(detectCollapse(sizes(...full, 10, 0, 10), { accepted: new Set(['day-10']) })).toBeUndefined();
  });

  test('of one does not cover a further collapse', () => {
    expect(detectCollapse(sizes(...full, 10, 2), { accepted: new Set(['day-08']) })).toMatchObject({ pointId: 'day-09', median: 10 });
  });

  test('lasts when the accepted backup itself is pruned', () => {
    const points = sizes(...full, 10, 11, 9, 10, 10).filter(({ id }) => id !== 'day-08');
    expect(detectCollapse(points, { accepted: new Set(['day-08']) })).toBeUndefined();
    expect(detectCollapse(points)).toMatchObject({ pointId: 'day-12' });
  });
});

test('for any history: the order of the listing makes no difference, and accepting what is reported leaves only newer ones to report', () => {
  const figure = fc.record({ rows: fc.nat(20), plainBytes: fc.nat(20) }, { requiredKeys: [] });
  fc.assert(
    fc.property(fc.array(figure, { maxLength: 20, size: 'max' }), (figures) => {
      const points = daily(figures);
      const accepted = new Set<string>();
      let last = '';
      for (let found = detectCollapse(points); found !== undefined; found = detectCollapse(points, { accepted })) {
        expect(detectCollapse([...points].reverse(), { accepted })).toEqual(found);
        expect(found.pointId > last).toBe(true);
        last = found.pointId;
        accepted.add(last);
      }
    }),
    { numRuns: 1000 },
  );
});
