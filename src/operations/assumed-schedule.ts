import { Temporal } from 'temporal-polyfill';
import type { DatabaseSurvey } from './retention.ts';

/** When backups will come if they keep coming as they did. */
export interface AssumedSchedule {
  /** Whole calendar days at a time of day of the zone, or an exact interval in minutes. */
  readonly every: { readonly days: number; readonly time: Temporal.PlainTime } | { readonly minutes: number };
  /** How many backups say so; 0 where there are too few to tell, and one a day is assumed. */
  readonly from: number;
  /** The newest backup, from which the next ones are counted, epoch ms; undefined where there is none. */
  readonly since: number | undefined;
}

/** How many of the newest backups are looked at. */
export const LOOKED_AT = 14;
const DAY_MINUTES = 24 * 60;
/** From this on an interval is meant in days: a nightly backup that started late is still a nightly one. */
const DAYS_FROM_MINUTES = 20 * 60;
/** A shorter interval is that of somebody who tries things out. */
const SHORTEST_MINUTES = 15;
/** Where there is no backup yet. */
const USUAL_TIME = Temporal.PlainTime.from('02:00');

/**
 * The median interval between the last backups, and their median time of day. Also of those that are gone since: what
 * retention leaves of nightly backups may look like weekly ones. `now` is epoch ms.
 */
export function assumeSchedule(
  { points, history }: Pick<DatabaseSurvey, 'points' | 'history'>,
  { now, timeZone }: { readonly now: number; readonly timeZone: string },
): AssumedSchedule {
  const made = new Map(history.map(({ id, instant }) => [id, instant]));
  for (const { id, instant, state } of points) if (state === 'ok') made.set(id, instant);
  const instants = [...made.values()]
    .filter((instant) => instant <= now)
    .sort((a, b) => a - b)
    .slice(-LOOKED_AT);
  const newest = instants.at(-1);
  if (newest === undefined) return { every: { days: 1, time: USUAL_TIME }, from: 0, since: undefined };
  const time = timeOfDay(instants, newest, timeZone);
  if (instants.length < 2) return { every: { days: 1, time }, from: 0, since: newest };
  const intervals = instants.slice(1).map((instant, index) => (instant - (instants[index] ?? instant)) / 60_000);
  const median = medianOf(intervals);
  const every =
    median >= DAYS_FROM_MINUTES
      ? { days: Math.round(median / DAY_MINUTES), time }
      : { minutes: Math.max(SHORTEST_MINUTES, 15 * Math.round(median / 15)) };
  return { every, from: instants.length, since: newest };
}

/** Median of the times of day, to the minute, as distances from the newest's: 23:58 and 00:02 are four minutes apart. */
function timeOfDay(instants: readonly number[], newest: number, timeZone: string): Temporal.PlainTime {
  const minuteOf = (instant: number) => {
    const { hour, minute } = Temporal.Instant.fromEpochMilliseconds(instant).toZonedDateTimeISO(timeZone);
    return hour * 60 + minute;
  };
  const base = minuteOf(newest);
  const distances = instants.map((instant) => {
    const ahead = (minuteOf(instant) - base + DAY_MINUTES) % DAY_MINUTES;
    return ahead > DAY_MINUTES / 2 ? ahead - DAY_MINUTES : ahead;
  });
  return Temporal.PlainTime.from({ hour: 0 }).add({ minutes: base + Math.round(medianOf(distances)) });
}

function medianOf(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const lower = sorted[Math.floor((sorted.length - 1) / 2)] ?? 0;
  const upper = sorted[Math.floor(sorted.length / 2)] ?? 0;
  return (lower + upper) / 2;
}

/** The instants after `after`, up to and including `until`, epoch ms; at most `most` of them. A time that a clock change skips is an hour later. */
export function occurrences(
  { every, since }: AssumedSchedule,
  { after, until, timeZone, most }: { readonly after: number; readonly until: number; readonly timeZone: string; readonly most: number },
): number[] {
  const found: number[] = [];
  const start = since ?? after;
  const instantOf = stepper(every, start, timeZone);
  const stepMs = 'minutes' in every ? every.minutes * 60_000 : every.days * DAY_MINUTES * 60_000;
  // The newest backup's own day has had its backup, which may have come a little early. What was missed is not made up for.
  const first = Math.max(since === undefined ? 0 : 1, Math.floor((after - start) / stepMs) - 1);
  for (let step = first; found.length < most; step += 1) {
    const next = instantOf(step);
    if (next > until) break;
    if (next > after) found.push(next);
  }
  return found;
}

function stepper(every: AssumedSchedule['every'], start: number, timeZone: string): (step: number) => number {
  if ('minutes' in every) return (step) => start + step * every.minutes * 60_000;
  const date = Temporal.Instant.fromEpochMilliseconds(start).toZonedDateTimeISO(timeZone).toPlainDate();
  return (step) => date.add({ days: step * every.days }).toZonedDateTime({ timeZone, plainTime: every.time }).epochMilliseconds;
}

/** `a backup a day at 02:00, as the last 14 were`. */
export function scheduleText({ every, from }: AssumedSchedule, timeZone: string): string {
  const why = from === 0 ? 'for there are too few to go by' : `as the last ${from} were`;
  if ('minutes' in every) return `a backup every ${intervalText(every.minutes)}, ${why}`;
  const time = every.time.toString({ smallestUnit: 'minute' });
  const days = every.days === 1 ? 'a backup a day' : `a backup every ${every.days} days`;
  return `${days} at ${time} (${timeZone}), ${why}`;
}

function intervalText(minutes: number): string {
  if (minutes % 60 !== 0) return `${minutes} minutes`;
  return minutes === 60 ? 'hour' : `${minutes / 60} hours`;
}
