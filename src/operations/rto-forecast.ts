import { Temporal } from 'temporal-polyfill';
import type { Profile, SandboxKind } from '../core/verification.ts';
import type { Instant } from '../platform/clock.ts';
import { type Growth, growthOf, type SizeAt } from './growth.ts';
import { fitLine, medianOf } from './line-fit.ts';
import { studentHalfWidth } from './student-t.ts';
import type { MeasuredRto } from './verification-history.ts';

/** Seconds, with the interval that one verification lies in with a probability of 95 %, as far as that can be told. */
export interface Estimate {
  readonly bytes: number;
  readonly seconds: number;
  readonly lowerSeconds: number;
  readonly upperSeconds: number;
  /** How many times larger or smaller than anything measured the database is; 1 within the measured range. */
  readonly timesBeyond: number;
}

export interface RtoForecast {
  /**
   * `fitted`: a line through three or more verifications of databases of different size. `scaled`: there are too few of them, or
   * they are too alike, so the part of them that grows with the database is scaled; the interval is wide by rule, not measured.
   */
  readonly method: 'fitted' | 'scaled';
  readonly basis: {
    readonly runs: number;
    /** Of these, those that contradict the others, and were not used. */
    readonly leftOut: number;
    readonly kind: SandboxKind;
    readonly profile: Profile | null;
    readonly jobs: number;
    readonly smallestBytes: number;
    readonly largestBytes: number;
  };
  /** For the newest backup's dump. */
  readonly now: Estimate;
  /** Undefined where it cannot be told how the dump grows: then nothing is foretold but for its present size. */
  readonly growth: Growth | undefined;
  readonly projected: readonly (Estimate & { readonly days: number })[];
  /** When the objective is expected to break, and when it may; undefined for never within two years, or not to be told. */
  readonly breaks: { readonly expected: Instant | undefined; readonly earliest: Instant | undefined } | undefined;
}

export interface ForecastInput {
  /** What `comparableRuns` gives. */
  readonly runs: readonly MeasuredRto[];
  /** Bytes of the dump before compression at each backup's instant, and of the newest. */
  readonly sizes: readonly SizeAt[];
  readonly now: Instant;
  readonly objectiveSeconds: number | undefined;
}

/** From here on a forecast says that it is far from anything measured. */
export const FAR_BEYOND = 10;
const PROJECTED_DAYS = [30, 90, 365] as const;
const HORIZON_DAYS = 2 * 365;
const DAY_MS = 24 * 3_600_000;

/** Pure. Undefined where no RTO was measured, or there is no backup whose size is known. */
export function forecastRto({ runs, sizes, now, objectiveSeconds }: ForecastInput): RtoForecast | undefined {
  const [newest] = runs;
  const size = sizes.toSorted((a, b) => a.at - b.at || a.bytes - b.bytes).at(-1);
  if (newest === undefined || size === undefined) return undefined;
  const model = fittedModel(runs) ?? scaledModel(runs);
  const measured = runs.map(({ bytes }) => bytes.dump);
  const range = { smallestBytes: Math.min(...measured), largestBytes: Math.max(...measured) };
  const growth = growthOf(sizes, now);

  const estimate = (days: number): Estimate => {
    const { bytes, halfWidthBytes } = growth?.after(days) ?? { bytes: size.bytes, halfWidthBytes: 0 };
    const { seconds, below, above, perByte } = model.at(bytes);
    // Both are uncertain, and independent of each other: the half widths add up as variances do.
    const bySize = perByte * halfWidthBytes;
    return {
      ...{
        bytes,
        seconds,
        lowerSeconds: Math.max(0, seconds - Math.hypot(below, bySize)),
        upperSeconds: seconds + Math.hypot(above, bySize),
      },
      timesBeyond: timesBeyond(bytes, range),
    };
  };
  const first = (isOver: (estimate: Estimate) => boolean): Instant | undefined => {
    for (let days = 0; days <= (growth === undefined ? 0 : HORIZON_DAYS); days += 1) {
      if (isOver(estimate(days))) return Temporal.Instant.fromEpochMilliseconds(now.epochMilliseconds + days * DAY_MS);
    }
    return undefined;
  };
  return {
    method: model.method,
    basis: { runs: runs.length, leftOut: model.leftOut, kind: newest.kind, profile: newest.profile, jobs: newest.jobs, ...range },
    now: estimate(0),
    growth,
    projected: growth === undefined ? [] : PROJECTED_DAYS.map((days) => ({ days, ...estimate(days) })),
    breaks:
      objectiveSeconds === undefined
        ? undefined
        : {
            expected: first(({ seconds }) => seconds > objectiveSeconds),
            earliest: first(({ upperSeconds }) => upperSeconds > objectiveSeconds),
          },
  };
}

function timesBeyond(bytes: number, range: { readonly smallestBytes: number; readonly largestBytes: number }): number {
  if (bytes > range.largestBytes) return bytes / Math.max(1, range.largestBytes);
  return bytes < range.smallestBytes ? range.smallestBytes / Math.max(1, bytes) : 1;
}

interface Model {
  readonly method: RtoForecast['method'];
  readonly leftOut: number;
  /** Seconds; `below` and `above` how far the interval reaches, `perByte` how fast it grows there. */
  at(bytes: number): { readonly seconds: number; readonly below: number; readonly above: number; readonly perByte: number };
}

/** A line through sizes that differ by less tells of noise and not of growth. */
const LEAST_SPREAD = 1.1;

/** Undefined for fewer than three runs, for sizes that are all alike, and where larger databases took less time. */
function fittedModel(runs: readonly MeasuredRto[]): Model | undefined {
  const sizes = runs.map(({ bytes }) => bytes.dump);
  const smallest = Math.min(...sizes);
  if (Math.max(...sizes) < LEAST_SPREAD * smallest) return undefined;
  const line = fitLine(runs.map(({ bytes, rtoSeconds }) => ({ x: bytes.dump, y: rtoSeconds })));
  if (line === undefined || line.slope <= 0) return undefined;
  const lowest = Math.max(0, line.at(smallest).value);
  return {
    method: 'fitted',
    leftOut: line.leftOut,
    at(bytes) {
      const { value, halfWidth } = line.at(bytes);
      // Below everything measured a line that starts under zero would promise a restore in no time.
      const seconds = bytes < smallest ? Math.max(value, (lowest * bytes) / smallest) : Math.max(0, value);
      return { seconds, below: halfWidth, above: halfWidth, perByte: line.slope };
    },
  };
}

/** From one or two runs: half as much again, or two thirds of it. Restores of one backup on a shared machine differ by less. */
const UNCERTAIN = 1.5;
/** However alike a few runs were: nothing is known better than this. */
const LEAST_UNCERTAIN = 1.05;

/**
 * Each run, with what of it grows with the database scaled to the size asked for. With three or more runs the interval comes from
 * how much they differ; and with the distance it grows by the square root of the ratio, since caches that no longer hold, and
 * sorting for indexes, cost more than in proportion.
 */
function scaledModel(runs: readonly MeasuredRto[]): Model {
  const parts = runs.map((run) => ({ ...growingPart(run), dump: run.bytes.dump }));
  const scaled = (bytes: number) =>
    parts.map(({ fixed, growing, dump }) => (dump === 0 ? fixed + growing : fixed + (growing * bytes) / dump));
  const typical = medianOf(parts.map(({ dump }) => dump));
  const factor = spreadFactor(scaled(typical));
  return {
    method: 'scaled',
    leftOut: 0,
    at(bytes) {
      const seconds = medianOf(scaled(bytes));
      const ratio = bytes === 0 || typical === 0 ? 1 : bytes / typical;
      const times = factor * Math.sqrt(Math.max(ratio, 1 / ratio));
      const perByte = medianOf(parts.map(({ growing, dump }) => (dump === 0 ? 0 : growing / dump)));
      return { seconds, below: seconds * (1 - 1 / times), above: seconds * (times - 1), perByte };
    },
  };
}

/** Of logarithms, since a factor is asked for: the interval that one further run lies in, as in any mean of few values. */
function spreadFactor(seconds: readonly number[]): number {
  const logs = seconds.flatMap((one) => (one > 0 ? [Math.log(one)] : [])).toSorted((a, b) => a - b);
  const n = logs.length;
  if (n < 3) return UNCERTAIN;
  const mean = logs.reduce((sum, one) => sum + one, 0) / n;
  const deviation = Math.sqrt(logs.reduce((sum, one) => sum + (one - mean) ** 2, 0) / (n - 1));
  return Math.max(LEAST_UNCERTAIN, Math.exp(studentHalfWidth(0.95, n - 1) * deviation * Math.sqrt(1 + 1 / n)));
}

/**
 * What moves bytes grows with them, and so do the checks, which read every row. Where no phase says that it moved any, all of it
 * is taken to grow: rather too long than too short.
 */
function growingPart({ phases, rtoSeconds }: MeasuredRto): { readonly fixed: number; readonly growing: number } {
  const moved = phases.filter(({ bytes }) => bytes !== null && bytes > 0);
  const checks = phases.filter(({ phase, bytes }) => phase === 'checks' && bytes === null);
  const seconds = [...moved, ...checks].reduce((sum, phase) => sum + phase.seconds, 0);
  // Phases may overlap.
  const growing = moved.length === 0 ? rtoSeconds : Math.min(rtoSeconds, seconds);
  return { fixed: rtoSeconds - growing, growing };
}
