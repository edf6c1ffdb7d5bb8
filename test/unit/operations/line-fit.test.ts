import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fitLine, type Measured, theilSenSlope } from '../../../src/operations/line-fit.ts';
import { studentHalfWidth } from '../../../src/operations/student-t.ts';
import { seededNormal } from '../../support/seeded-normal.ts';

const line = (slope: number, intercept: number, xs: readonly number[]): Measured[] => xs.map((x) => ({ x, y: intercept + slope * x }));
const distinct = fc.uniqueArray(fc.integer({ min: 1, max: 1000 }), { minLength: 3, maxLength: 40 });
const coefficient = fc.integer({ min: -50, max: 50 });

describe("Student's t", () => {
  it('is as in the printed tables', () => {
    // Abramowitz and Stegun, table 26.10.
    const printed = [
      [0.95, 1, 12.706],
      [0.95, 2, 4.303],
      [0.95, 5, 2.571],
      [0.95, 10, 2.228],
      [0.95, 120, 1.98],
      [0.998, 3, 10.214],
      [0.99, 30, 2.75],
      [0.5, 6, 0.718],
    ] as const;
    for (const [level, df, value] of printed) expect(studentHalfWidth(level, df)).toBeCloseTo(value, 2);
  });

  it('refuses what is no level or no degree of freedom', () => {
    for (const [level, df] of [
      [0, 3],
      [1, 3],
      [0.95, 0],
      [0.95, 1.5],
    ] as const) {
      expect(() => studentHalfWidth(level, df)).toThrow(RangeError);
    }
  });
});

describe('a line through measured points', () => {
  it('is the line that they lie on, with hardly any uncertainty', () => {
    fc.assert(
      fc.property(distinct, coefficient, coefficient, fc.integer({ min: 0, max: 5000 }), (xs, slope, intercept, at) => {
        const fit = fitLine(line(slope, intercept, xs));
        expect(fit).toMatchObject({ used: xs.length, leftOut: 0 });
        expect(fit?.at(at).value).toBeCloseTo(intercept + slope * at, 4);
        expect(fit?.at(at).halfWidth).toBeLessThan(0.1);
      }),
    );
  });

  it('does not depend on their order', () => {
    const points = fc.array(fc.record({ x: fc.integer({ min: 0, max: 100 }), y: fc.integer({ min: 0, max: 100 }) }), { maxLength: 25 });
    const both = points.chain((some) => fc.tuple(fc.constant(some), fc.shuffledSubarray(some, { minLength: some.length })));
    fc.assert(
      fc.property(both, ([some, shuffled]) => {
        const [one, other] = [fitLine(some), fitLine(shuffled)];
        expect(other?.slope).toBe(one?.slope);
        expect(other?.at(7)).toEqual(one?.at(7));
        expect(other?.leftOut).toBe(one?.leftOut);
      }),
    );
  });

  it('is not bent by one that is far off, wherever it is', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.integer({ min: 1, max: 100 }), { minLength: 6, maxLength: 30 }),
        fc.nat(),
        fc.constantFrom(-1, 1),
        (xs, index, sign) => {
          const wrong = index % xs.length;
          const points = line(3, 20, xs).map((point, at) => (at === wrong ? { ...point, y: point.y + sign * 500 } : point));
          const fit = fitLine(points);
          expect(fit?.slope).toBeCloseTo(3, 6);
          expect(fit?.leftOut).toBe(1);
        },
      ),
    );
  });

  it('leaves out one wild point of noisy ones, and keeps the others', () => {
    const normal = seededNormal(7);
    const points = line(10, 60, [10, 11, 12, 13, 14, 15, 16, 18, 20, 22]).map(({ x, y }) => ({ x, y: y + 3 * normal() }));
    const fit = fitLine([...points, { x: 17, y: 900 }]);
    expect(fit?.leftOut).toBe(1);
    expect(fit?.slope).toBeCloseTo(fitLine(points)?.slope ?? Number.NaN, 9);
  });

  it.each([{ count: 3 }, { count: 5 }, { count: 8 }, { count: 20 }])(
    'holds a further measurement in its interval about as often as it says, by $count points',
    ({ count }) => {
      const normal = seededNormal(count);
      const [trials, level] = [2000, 0.95];
      let inside = 0;
      for (let trial = 0; trial < trials; trial += 1) {
        const points = line(
          2,
          30,
          Array.from({ length: count }, (_, index) => 10 + (40 * index) / count),
        ).map(({ x, y }) => ({ x, y: y + 5 * normal() }));
        const x = 10 + 60 * ((trial % 100) / 100);
        const found = fitLine(points, level)?.at(x);
        if (found !== undefined && Math.abs(30 + 2 * x + 5 * normal() - found.value) <= found.halfWidth) inside += 1;
      }
      // Three standard deviations of the count, and one in a hundred for points that were left out wrongly.
      expect(inside / trials).toBeGreaterThan(level - 0.025);
      expect(inside / trials).toBeLessThan(level + 0.015);
    },
  );

  it('is none through fewer than three points, or through points of one x', () => {
    expect(fitLine([])).toBeUndefined();
    expect(fitLine(line(1, 1, [1, 2]))).toBeUndefined();
    expect(fitLine([1, 2, 3, 4, 5, 6].map((y) => ({ x: 5, y })))).toBeUndefined();
    expect(theilSenSlope([1, 2, 3].map((y) => ({ x: 5, y })))).toBeUndefined();
  });

  it('takes all where nobody can tell which are wrong: sizes that differ in one point only', () => {
    const points = [...Array.from({ length: 8 }, (_, index) => ({ x: 10, y: 100 + index })), { x: 20, y: 200 }];
    expect(fitLine(points)).toMatchObject({ used: 9, leftOut: 0 });
  });
});
