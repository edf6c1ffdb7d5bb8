import { studentHalfWidth } from './student-t.ts';

export interface Measured {
  readonly x: number;
  readonly y: number;
}

export interface LineFit {
  /** y per x. */
  readonly slope: number;
  /** Points that the line goes by, and those that it leaves out because they contradict the others. */
  readonly used: number;
  readonly leftOut: number;
  /** The line at `x`, and half the width of the interval that one further measurement there lies in with the level asked for. */
  at(x: number): { readonly value: number; readonly halfWidth: number };
}

/** One point in so many may be an outlier. */
const ONE_IN = 5;
/** A point is left out where chance would put any of them so far off in one of a hundred sets. */
const CHANCE = 0.01;

/**
 * The straight line through measured points, with prediction intervals; undefined for fewer than three, or where all have the
 * same x. The order of the points does not matter.
 *
 * Least squares, since their prediction interval is known exactly (Student's t, n - 2 degrees of freedom), after outliers are
 * left out, since one restore on a busy machine would bend them. Outliers are found by a forward search (Hadi and Simonoff,
 * Procedures for the Identification of Multiple Outliers in Linear Models, JASA 88, 1993): it starts from the four fifths that lie
 * closest to the Theil–Sen line (Sen, JASA 63, 1968), which up to 29 % of wrong points do not bend, and takes the others back in
 * one by one while they lie where a t test expects them. Theil–Sen alone has no interval that holds for a handful of points; with
 * fewer than five, nobody can tell an outlier.
 */
export function fitLine(points: readonly Measured[], level = 0.95): LineFit | undefined {
  const sorted = points.toSorted((a, b) => a.x - b.x || a.y - b.y);
  if (leastSquares(sorted) === undefined) return undefined;
  return lineThrough(withoutOutliers(sorted), sorted.length, level);
}

/** The same through every point, for a series whose last points are the news and no mistake. */
export function fitSeries(points: readonly Measured[], level = 0.95): LineFit | undefined {
  return lineThrough(points, points.length, level);
}

function lineThrough(kept: readonly Measured[], of: number, level: number): LineFit | undefined {
  const line = leastSquares(kept);
  if (line === undefined) return undefined;
  const t = studentHalfWidth(level, kept.length - 2);
  return {
    slope: line.slope,
    used: kept.length,
    leftOut: of - kept.length,
    at: (x) => ({ value: line.value(x), halfWidth: t * line.deviation(x) }),
  };
}

function withoutOutliers(points: readonly Measured[]): readonly Measured[] {
  const reserve = Math.floor(points.length / ONE_IN);
  const slope = theilSenSlope(points);
  if (reserve === 0 || slope === undefined) return points;
  const level = medianOf(points.map(({ x, y }) => y - slope * x));
  const byDistance = nearestFirst(points, ({ x, y }) => Math.abs(y - level - slope * x));
  let core = byDistance.slice(0, points.length - reserve);
  let rest = byDistance.slice(core.length);
  while (rest.length > 0) {
    const line = leastSquares(core);
    // Without the others all have one x: nobody can tell which are wrong.
    if (line === undefined) return points;
    const off = (point: Measured) => Math.abs(point.y - line.value(point.x)) / line.deviation(point.x);
    const [next, ...others] = nearestFirst(rest, off);
    if (next === undefined || off(next) > studentHalfWidth(1 - CHANCE / points.length, core.length - 2)) break;
    core = [...core, next];
    rest = others;
  }
  return core.toSorted((a, b) => a.x - b.x || a.y - b.y);
}

function nearestFirst(points: readonly Measured[], distance: (point: Measured) => number): Measured[] {
  return points.toSorted((a, b) => distance(a) - distance(b) || a.x - b.x || a.y - b.y);
}

interface Line {
  readonly slope: number;
  value(x: number): number;
  /** Standard deviation of one further measurement at `x`. */
  deviation(x: number): number;
}

function leastSquares(points: readonly Measured[]): Line | undefined {
  const n = points.length;
  const [xMean, yMean] = [sum(points.map(({ x }) => x)) / n, sum(points.map(({ y }) => y)) / n];
  const spread = sum(points.map(({ x }) => (x - xMean) ** 2));
  if (n < 3 || !(spread > (1e-9 * xMean) ** 2)) return undefined;
  const slope = sum(points.map(({ x, y }) => (x - xMean) * (y - yMean))) / spread;
  const value = (x: number) => yMean + slope * (x - xMean);
  const squares = sum(points.map(({ x, y }) => (y - value(x)) ** 2));
  // What rounding leaves of an exact line must not make outliers of its own points.
  const rounding = 1e-9 * Math.max(...points.map(({ y }) => Math.abs(y)), Number.MIN_VALUE);
  const residual = Math.max(Math.sqrt(squares / (n - 2)), rounding);
  return { slope, value, deviation: (x) => residual * Math.sqrt(1 + 1 / n + (x - xMean) ** 2 / spread) };
}

/** Median of the slopes of all pairs; undefined where no two points differ in x. Takes n² / 2 steps. */
export function theilSenSlope(points: readonly Measured[]): number | undefined {
  const slopes: number[] = [];
  points.forEach((a, index) => {
    for (const b of points.slice(index + 1)) if (a.x !== b.x) slopes.push((b.y - a.y) / (b.x - a.x));
  });
  return slopes.length === 0 ? undefined : medianOf(slopes);
}

/** Of a list that is not empty. */
export function medianOf(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const [lower = 0, upper = 0] = [sorted[Math.floor((sorted.length - 1) / 2)], sorted[Math.floor(sorted.length / 2)]];
  return (lower + upper) / 2;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
