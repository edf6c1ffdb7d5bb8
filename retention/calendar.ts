/*
 * Days, ISO weeks, months, years and hours of an IANA time zone, worked out of Intl alone. An instant is epoch
 * milliseconds. A day is its number in the proleptic Gregorian calendar, 0 being 1970-01-01: two instants are of the
 * same day when their wall clocks show the same date, however long that day was.
 */

/** The farthest instant that ECMAScript can represent, either way (ECMA-262, 21.4.1.1), in ms. */
const MAX_INSTANT_MS = 8.64e15;
const SECOND_MS = 1000;
const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;
/** More than any zone has ever been away from UTC: the widest of the tz database is 15 h 13 min 42 s (Manila until 1844). */
const BEYOND_ANY_OFFSET_MS = 16 * HOUR_MS;

export const tiers = ['hourly', 'daily', 'weekly', 'monthly', 'yearly'] as const;
export type Tier = (typeof tiers)[number];

/** One hour, day, ISO week, month or year of a tier. */
export interface Slot {
  /** What a person calls it: `2026-11-25T02+01:00`, `2026-11-25`, `2026-W48`, `2026-11`, `2026`. Equal keys are the same slot. */
  readonly key: string;
  /** Sorts slots of one tier by time. */
  readonly order: number;
}

/** What the clock on the wall shows. */
export interface LocalTime {
  /** Day number of the date. */
  readonly day: number;
  readonly hour: number;
  readonly minute: number;
  /** Local time minus UTC, in ms; seconds occur in the local mean times of the nineteenth century. */
  readonly offset: number;
}

export function isInstant(value: number): boolean {
  return Number.isInteger(value) && Math.abs(value) <= MAX_INSTANT_MS;
}

/** Making a formatter takes some 50 µs, using one 5 µs. */
const formatters = new Map<string, Intl.DateTimeFormat>();

function formatterOf(timeZone: string): Intl.DateTimeFormat {
  let formatter = formatters.get(timeZone);
  if (formatter === undefined) {
    const numeric = { year: 'numeric', month: 'numeric', day: 'numeric', hour: 'numeric', minute: 'numeric', second: 'numeric' } as const;
    // Each option that a default could set is set, so that no environment decides what is deleted.
    formatter = new Intl.DateTimeFormat('en-US', {
      ...numeric,
      timeZone,
      era: 'short',
      calendar: 'gregory',
      numberingSystem: 'latn',
      hourCycle: 'h23',
    });
    formatters.set(timeZone, formatter);
  }
  return formatter;
}

/** The wall clock of `timeZone` at `instant`. Throws RangeError for a zone that does not exist and for what is no instant. */
export function localTime(instant: number, timeZone: string): LocalTime {
  const shown = { year: 0, month: 0, day: 0, hour: 0, minute: 0, second: 0 };
  let beforeChrist = false;
  for (const { type, value } of formatterOf(timeZone).formatToParts(instant)) {
    if (type === 'era') beforeChrist = value.startsWith('B');
    else if (type in shown) shown[type as keyof typeof shown] = Number(value);
  }
  const day = dayNumber(beforeChrist ? 1 - shown.year : shown.year, shown.month, shown.day);
  const seconds = (shown.hour * 60 + shown.minute) * 60 + shown.second;
  const offset = day * DAY_MS + seconds * SECOND_MS - Math.floor(instant / SECOND_MS) * SECOND_MS;
  return { day, hour: shown.hour, minute: shown.minute, offset };
}

/** The slot of `tier` that a local time falls into. */
export function slotOf(tier: Tier, local: LocalTime): Slot {
  if (tier === 'hourly') return hourSlot(local);
  if (tier === 'daily') return { key: dateText(local.day), order: local.day };
  if (tier === 'weekly') return weekSlot(local.day);
  const { year, month } = civil(local.day);
  if (tier === 'monthly') return { key: `${yearText(year)}-${two(month)}`, order: year * 12 + month };
  return { key: yearText(year), order: year };
}

/** The hour with its offset: where a clock change repeats 02:00, the two are two slots, an hour apart. */
function hourSlot({ day, hour, offset }: LocalTime): Slot {
  return { key: `${dateText(day)}T${two(hour)}${offsetText(offset)}`, order: day * DAY_MS + hour * HOUR_MS - offset };
}

/** ISO 8601: weeks begin on Monday and belong to the year that holds their Thursday. Day 0 was a Thursday. */
function weekSlot(day: number): Slot {
  const order = Math.floor((day + 3) / 7);
  const thursday = order * 7;
  const { year } = civil(thursday);
  const week = Math.floor((thursday - dayNumber(year, 1, 1)) / 7) + 1;
  return { key: `${yearText(year)}-W${two(week)}`, order };
}

/**
 * The beginning of the calendar day that lies `months` before that of `instant`, as an instant; the 31st becomes the
 * last of a shorter month. The beginning, because with the time of day kept a later instant could reach back further
 * than an earlier one (a month before 30 March 23:00 and before 31 March 01:00 are both 28 February), and then what was
 * deleted would depend on when somebody looked.
 */
export function monthsBefore(instant: number, months: number, timeZone: string): number {
  const date = civil(dayBegun(instant, timeZone));
  const index = date.year * 12 + (date.month - 1) - months;
  const year = Math.floor(index / 12);
  const month = index - year * 12 + 1;
  const nextMonth = month === 12 ? dayNumber(year + 1, 1, 1) : dayNumber(year, month + 1, 1);
  return startOfDay(Math.min(dayNumber(year, month, 1) + date.day - 1, nextMonth - 1), timeZone);
}

/**
 * The last day that has begun by `instant`. Where a clock is set back over midnight (St. John's did so at 00:01 until
 * 2011) the date goes back too, and a day that has begun stays begun: else a later instant could reach back further.
 */
function dayBegun(instant: number, timeZone: string): number {
  const { day } = localTime(instant, timeZone);
  return startOfDay(day + 1, timeZone) <= instant ? day + 1 : day;
}

/** The first instant at which the date is `day` or later; a day that the zone skipped begins where the next one does. */
export function startOfDay(day: number, timeZone: string): number {
  const midnight = day * DAY_MS;
  let before = within(midnight - BEYOND_ANY_OFFSET_MS);
  let after = within(midnight + BEYOND_ANY_OFFSET_MS);
  const { offset } = localTime(before, timeZone);
  const expected = within(midnight - offset);
  const there = localTime(expected, timeZone);
  if (there.offset === offset) return expected;
  // The offset changed on the way. On each side of the change dates only go up, so halving finds the one beginning.
  if (there.day < day) before = expected;
  else after = expected;
  while (after - before > SECOND_MS) {
    const middle = Math.floor((before + after) / 2 / SECOND_MS) * SECOND_MS;
    if (localTime(middle, timeZone).day < day) before = middle;
    else after = middle;
  }
  return after;
}

function within(instant: number): number {
  return Math.max(-MAX_INSTANT_MS, Math.min(MAX_INSTANT_MS, instant));
}

/** `2026-11-25`; ISO 8601's six digits and sign for years that four do not hold. */
export function dateText(day: number): string {
  const date = civil(day);
  return `${yearText(date.year)}-${two(date.month)}-${two(date.day)}`;
}

/** `2026-11-25 02:00 +01:00`, to the minute. */
export function instantText(instant: number, timeZone: string): string {
  if (!isInstant(instant)) return 'no known time';
  const { day, hour, minute, offset } = localTime(instant, timeZone);
  return `${dateText(day)} ${two(hour)}:${two(minute)} ${offsetText(offset)}`;
}

function offsetText(offset: number): string {
  const seconds = Math.abs(offset) / SECOND_MS;
  const text = `${offset < 0 ? '-' : '+'}${two(Math.floor(seconds / 3600))}:${two(Math.floor(seconds / 60) % 60)}`;
  return seconds % 60 === 0 ? text : `${text}:${two(seconds % 60)}`;
}

function yearText(year: number): string {
  if (year >= 0 && year <= 9999) return String(year).padStart(4, '0');
  return `${year < 0 ? '-' : '+'}${String(Math.abs(year)).padStart(6, '0')}`;
}

function two(value: number): string {
  return String(value).padStart(2, '0');
}

/*
 * Dates by arithmetic rather than by Date: a local date may lie half a day beyond the last instant that Date holds.
 * Years are counted from March, so that the leap day is the last of its year; 400 years have 146097 days.
 */
const DAYS_IN_400_YEARS = 146_097;
/** From 0000-03-01 to 1970-01-01. */
const DAYS_BEFORE_EPOCH = 719_468;

/** Days from 1970-01-01 to a date; year 0 is 1 BC. */
export function dayNumber(year: number, month: number, day: number): number {
  const marchYear = month > 2 ? year : year - 1;
  const monthsSinceMarch = (month + 9) % 12;
  const leapDays = Math.floor(marchYear / 4) - Math.floor(marchYear / 100) + Math.floor(marchYear / 400);
  return marchYear * 365 + leapDays + Math.floor((153 * monthsSinceMarch + 2) / 5) + day - 1 - DAYS_BEFORE_EPOCH;
}

function civil(dayNumberOfDate: number): { readonly year: number; readonly month: number; readonly day: number } {
  const sinceMarch0 = dayNumberOfDate + DAYS_BEFORE_EPOCH;
  const era = Math.floor(sinceMarch0 / DAYS_IN_400_YEARS);
  const dayOfEra = sinceMarch0 - era * DAYS_IN_400_YEARS;
  // Take out the leap days that have passed within the era, the 146096th day being its own.
  const yearOfEra = Math.floor(
    (dayOfEra - Math.floor(dayOfEra / 1460) + Math.floor(dayOfEra / 36_524) - Math.floor(dayOfEra / 146_096)) / 365,
  );
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const monthsSinceMarch = Math.floor((5 * dayOfYear + 2) / 153);
  const month = monthsSinceMarch < 10 ? monthsSinceMarch + 3 : monthsSinceMarch - 9;
  const year = era * 400 + yearOfEra + (month <= 2 ? 1 : 0);
  return { year, month, day: dayOfYear - Math.floor((153 * monthsSinceMarch + 2) / 5) + 1 };
}
