import type { Instant } from '../platform/clock.ts';
import { fitLine } from './line-fit.ts';

/** How large the dump before compression was, bytes, at an instant, epoch ms. */
export interface SizeAt {
  readonly at: number;
  readonly bytes: number;
}

export interface Growth {
  readonly bytesPerMonth: number;
  readonly backups: number;
  /** The size in so many days, with half the width of its 95 % interval. Never below zero. */
  after(days: number): { readonly bytes: number; readonly halfWidthBytes: number };
}

const DAY_MS = 24 * 3_600_000;
const MONTH_DAYS = 30;
/** What lies further back says little about next year. */
const LOOK_BACK_DAYS = 400;
const SHORTEST_DAYS = 14;
/** Pairs of points grow with the square of this. */
const MOST_POINTS = 200;

/**
 * How a dump grows, by a line through its sizes of the last 400 days; undefined for fewer than three backups, or less than 14 days
 * of them. It goes on from the newest size, so that the present is what it is: a line that lies above it would foretell growth that
 * was undone, by a purge, say. Sizes follow each other and are not drawn anew each day, so the interval is rather too narrow.
 */
export function growthOf(sizes: readonly SizeAt[], now: Instant): Growth | undefined {
  const day = (at: number) => (at - now.epochMilliseconds) / DAY_MS;
  const recent = sizes.map(({ at, bytes }) => ({ x: day(at), y: bytes })).filter(({ x }) => x >= -LOOK_BACK_DAYS);
  const points = thinned(recent.toSorted((a, b) => a.x - b.x || a.y - b.y));
  const [oldest, newest] = [points[0], points.at(-1)];
  if (oldest === undefined || newest === undefined || newest.x - oldest.x < SHORTEST_DAYS) return undefined;
  const line = fitLine(points);
  if (line === undefined) return undefined;
  return {
    bytesPerMonth: Math.round(line.slope * MONTH_DAYS),
    backups: recent.length,
    after: (days) => ({
      bytes: Math.max(0, Math.round(newest.y + line.slope * days)),
      halfWidthBytes: days === 0 ? 0 : Math.round(line.at(days).halfWidth),
    }),
  };
}

/** Evenly, with the first and the last. */
function thinned<T>(items: readonly T[]): readonly T[] {
  if (items.length <= MOST_POINTS) return items;
  const step = (items.length - 1) / (MOST_POINTS - 1);
  return Array.from({ length: MOST_POINTS }, (_, index) => items[Math.round(index * step)] as T);
}
