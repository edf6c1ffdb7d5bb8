import type { Instant } from '../platform/clock.ts';
import { fitSeries } from './line-fit.ts';

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
/** How it grows now is told by these; what lies further back, by 400 days at most, counts only where they are too few. */
const LOOK_BACK_DAYS = [90, 400] as const;
const SHORTEST_DAYS = 14;
const FEWEST = 3;

/**
 * How a dump grows, by a line through its sizes of the last 90 days, or of 400 where those are fewer than three backups, or less than 14
 * days of them; undefined where these are, too. None is taken for a mistake: that it grows faster since a month is what matters. It goes
 * on from the newest size, so that the present is what it is: a line that lies above it would foretell growth that was undone, by a
 * purge, say. Sizes follow each other and are not drawn anew each day, so the interval is rather too narrow.
 */
export function growthOf(sizes: readonly SizeAt[], now: Instant): Growth | undefined {
  const day = (at: number) => (at - now.epochMilliseconds) / DAY_MS;
  const all = sizes.map(({ at, bytes }) => ({ x: day(at), y: bytes })).toSorted((a, b) => a.x - b.x || a.y - b.y);
  const newest = all.at(-1);
  const points = LOOK_BACK_DAYS.map((days) => all.filter(({ x }) => x >= -days)).find((some) => areEnough(some));
  const line = points === undefined ? undefined : fitSeries(points);
  if (line === undefined || points === undefined || newest === undefined) return undefined;
  return {
    bytesPerMonth: Math.round(line.slope * MONTH_DAYS),
    backups: points.length,
    after: (days) => ({
      bytes: Math.max(0, Math.round(newest.y + line.slope * days)),
      halfWidthBytes: days === 0 ? 0 : Math.round(line.at(days).halfWidth),
    }),
  };
}

function areEnough(points: readonly { readonly x: number }[]): boolean {
  const [oldest, newest] = [points[0], points.at(-1)];
  return oldest !== undefined && newest !== undefined && points.length >= FEWEST && newest.x - oldest.x >= SHORTEST_DAYS;
}
