import { Temporal } from 'temporal-polyfill';
import { localTime } from '../../../retention/calendar.ts';
import { type Cron, parseCron } from '../../../src/core/cron.ts';

/*
 * What is due, told slowly: a clock on the wall is looked at minute by minute, and nothing is known of zones but what it shows.
 * It comes from Intl and arithmetic of its own, so that it shares nothing with the code that it is held against.
 */

export const zones = [
  'UTC',
  'Europe/Berlin',
  'America/New_York',
  'Australia/Lord_Howe',
  'Asia/Kathmandu',
  'Pacific/Chatham',
  'Africa/Casablanca',
  'America/Sao_Paulo',
  'Asia/Kolkata',
  'America/St_Johns',
  'Pacific/Apia',
] as const;

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;

/** What the clock shows in each minute of [from, to], in minutes since the midnight that began 1970 there. */
export interface Readings {
  readonly from: number;
  readonly shown: readonly number[];
}

/** `from` and `to` are whole minutes, epoch ms. */
export function clockReadings(zone: string, from: number, to: number): Readings {
  const shown: number[] = [];
  for (let at = from; at <= to; at += MINUTE_MS) {
    const { day, hour, minute } = localTime(at, zone);
    shown.push(day * 24 * 60 + hour * 60 + minute);
  }
  return { from, shown };
}

/** Due after the first reading, epoch ms, by the rules of daemon/schedule.ts. The first lies in no repeated hour. */
export function dueByTheClock(cron: Cron, { from, shown }: Readings): number[] {
  const everyHour = cron.hours.length === 24;
  const due: number[] = [];
  let highest = shown[0] ?? 0;
  for (const [index, wall] of shown.entries()) {
    if (index === 0) continue;
    // What the clock shows for the first time now, and what it has passed over.
    let fits = everyHour && matches(cron, wall);
    if (!everyHour) for (let minute = highest + 1; minute <= wall; minute += 1) fits ||= matches(cron, minute);
    if (fits) due.push(from + index * MINUTE_MS);
    highest = Math.max(highest, wall);
  }
  return due;
}

const dates = new Map<number, boolean>();
let datesOf: Cron | undefined;

function matches(cron: Cron, wall: number): boolean {
  if (!cron.minutes.includes(wall % 60) || !cron.hours.includes(Math.floor(wall / 60) % 24)) return false;
  if (datesOf !== cron) dates.clear();
  datesOf = cron;
  const day = Math.floor(wall / 1440);
  const fits = dates.get(day) ?? matchesDay(cron, day);
  dates.set(day, fits);
  return fits;
}

function matchesDay(cron: Cron, day: number): boolean {
  const date = new Date(day * DAY_MS);
  const last = new Date((day + 1) * DAY_MS).getUTCDate() === 1;
  const number = date.getUTCDate();
  const byMonth = cron.daysOfMonth.includes(number) || (cron.lastDayOfMonth && last);
  const nth = cron.nthWeekdays.some((one) => one.weekday === date.getUTCDay() && number > 7 * (one.nth - 1) && number <= 7 * one.nth);
  const byWeek = cron.weekdays.includes(date.getUTCDay()) || nth;
  return cron.months.includes(date.getUTCMonth() + 1) && (cron.eitherDay ? byMonth || byWeek : byMonth && byWeek);
}

/** The changes of the zone's offset between two instants, found by looking every hour. */
export function changesOf(zone: string, from: number, to: number): number[] {
  const changes: number[] = [];
  let offset = localTime(from, zone).offset;
  for (let at = from; at <= to; at += 60 * MINUTE_MS) {
    const now = localTime(at, zone).offset;
    if (now !== offset) changes.push(at);
    offset = now;
  }
  return changes;
}

export const instant = (text: string): Temporal.Instant => Temporal.Instant.from(text);
export const ms = (text: string): number => instant(text).epochMilliseconds;
export const at = (epochMs: number): Temporal.Instant => Temporal.Instant.fromEpochMilliseconds(epochMs);

export function cronOf(text: string): Cron {
  const cron = parseCron(text);
  if ('problems' in cron) throw new Error(cron.problems.join('; '));
  return cron;
}
