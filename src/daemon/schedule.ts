import { Temporal } from 'temporal-polyfill';
import type { Cron } from '../core/cron.ts';
import type { Instant } from '../platform/clock.ts';

/*
 * When a cron expression is due in a zone. A zone's offset changes, by an hour or by less, at midnight or at two, and once by a
 * day (Samoa had no 30 December 2011); so there are two rules, as in cron(8) of Debian and Red Hat:
 *
 * - At certain hours (`30 2 * * *`, every six hours): a time is due at the first instant at which the clock on the wall shows it
 *   or a later one. So what the clock skips is due once, when it has skipped it, however much that was; several times that are
 *   skipped together are due together, once; and what it shows twice is due the first time. cron(8) runs nothing for a skip of
 *   over three hours: there that is a clock set right, but an offset that changes is never one, and a job of the 30th would have
 *   been lost. systemd's timers lose what is skipped (systemd/systemd#5595).
 * - In every hour (every 15 minutes, `@hourly`): as time passes. Due whenever the clock shows such a minute, so each quarter of an
 *   hour that really passes has its own, in the repeated hour too.
 */

/** After so many years nothing more is looked for: 29 February on a certain weekday comes once in 28 years, or 40 over 2100. */
const YEARS = 41;
const EVERY_HOUR = 24;

/** The first instant after `after` at which `cron` is due; undefined where there is none in 41 years. */
export function nextDue(cron: Cron, zone: string, after: Instant): Instant | undefined {
  return cron.hours.length === EVERY_HOUR ? nextInEveryHour(cron, zone, after) : nextAtHours(cron, zone, after);
}

/** Due after `after` and at or before `until`, the earliest first, `most` at most. */
export function dueBetween(cron: Cron, zone: string, after: Instant, until: Instant, most: number): Instant[] {
  const due: Instant[] = [];
  for (let next = nextDue(cron, zone, after); next !== undefined && due.length < most; next = nextDue(cron, zone, next)) {
    if (Temporal.Instant.compare(next, until) > 0) break;
    due.push(next);
  }
  return due;
}

export interface Around {
  readonly last: Instant | undefined;
  readonly next: Instant | undefined;
}

/** By expression and zone the last answer, which holds until the next due time; working it out anew takes up to a millisecond or two. */
const answers = new WeakMap<Cron, Map<string, Around>>();

/** The last due time at or before `now`, and the first after it. */
export function dueAround(cron: Cron, zone: string, now: Instant): Around {
  const known = answers.get(cron)?.get(zone);
  const holds = (around: Around) =>
    around.last !== undefined &&
    around.next !== undefined &&
    Temporal.Instant.compare(around.last, now) <= 0 &&
    Temporal.Instant.compare(now, around.next) < 0;
  if (known !== undefined && holds(known)) return known;
  const next = nextDue(cron, zone, now);
  // The usual case: what was next is last, as time has passed.
  const passed = known?.next;
  const after = passed === undefined || Temporal.Instant.compare(passed, now) > 0 ? undefined : nextDue(cron, zone, passed);
  const last = after !== undefined && next !== undefined && after.equals(next) ? passed : lastDue(cron, zone, now);
  const around = { last, next };
  answers.set(cron, (answers.get(cron) ?? new Map<string, Around>()).set(zone, around));
  return around;
}

/** The last instant at or before `until` at which `cron` was due; undefined where there was none in 41 years. */
export function lastDue(cron: Cron, zone: string, until: Instant): Instant | undefined {
  const dueBy = (after: number): Instant | undefined => {
    const due = nextDue(cron, zone, Temporal.Instant.fromEpochMilliseconds(after));
    return due !== undefined && Temporal.Instant.compare(due, until) <= 0 ? due : undefined;
  };
  const end = until.epochMilliseconds;
  // Looking back twice as far each time finds a window that holds the last one, and halving it finds that.
  let reach = 60_000;
  while (dueBy(end - reach) === undefined) {
    if (reach > YEARS * 366 * 86_400_000) return undefined;
    reach *= 2;
  }
  let before = end - reach;
  let beyond = end;
  while (beyond - before > 1000) {
    const middle = Math.floor((before + beyond) / 2);
    const due = dueBy(middle);
    if (due === undefined) beyond = middle;
    else {
      if (dueBy(due.epochMilliseconds) === undefined) return due;
      before = Math.max(middle, due.epochMilliseconds);
    }
  }
  return dueBy(before);
}

function nextAtHours(cron: Cron, zone: string, after: Instant): Instant | undefined {
  const wall = after.toZonedDateTimeISO(zone).toPlainDateTime();
  // What the wall has shown already was due already; when the clock has just been set back, so was some of what it has not.
  for (const date of datesFrom(cron, wall.toPlainDate())) {
    for (const hour of cron.hours) {
      for (const minute of cron.minutes) {
        const time = date.toPlainDateTime({ hour, minute });
        if (Temporal.PlainDateTime.compare(time, wall) <= 0) continue;
        const due = firstShown(time, zone);
        if (Temporal.Instant.compare(due, after) > 0) return due;
      }
    }
  }
  return undefined;
}

/** The first instant at which the clock on the wall shows this time or a later one. */
function firstShown(time: Temporal.PlainDateTime, zone: string): Instant {
  const first = time.toZonedDateTime(zone, { disambiguation: 'earlier' });
  if (first.toPlainDateTime().equals(time)) return first.toInstant();
  // It is skipped, and `earlier` has gone before the gap.
  return (first.getTimeZoneTransition('next') ?? first).toInstant();
}

function nextInEveryHour(cron: Cron, zone: string, after: Instant): Instant | undefined {
  const end = after.toZonedDateTimeISO(zone).add({ years: YEARS });
  let at = after.add({ nanoseconds: 1 }).toZonedDateTimeISO(zone).round({ smallestUnit: 'minute', roundingMode: 'ceil' });
  while (Temporal.ZonedDateTime.compare(at, end) < 0) {
    const matches = matchesDate(cron, at.toPlainDate());
    if (matches && cron.minutes.includes(at.minute)) return at.toInstant();
    const next = matches ? nextMinute(cron, at) : nextDay(cron, at);
    // Where the offset changes on the way, the way is another: it goes on from the change.
    at = next.offsetNanoseconds === at.offsetNanoseconds ? next : (at.getTimeZoneTransition('next') ?? next);
  }
  return undefined;
}

function nextMinute({ minutes }: Cron, at: Temporal.ZonedDateTime): Temporal.ZonedDateTime {
  const later = minutes.find((minute) => minute > at.minute) ?? 60 + (minutes[0] ?? 0);
  return at.add({ minutes: later - at.minute });
}

/** A midnight that is not beyond the next matching day's; by hours near it, since a clock set back may show a matching day again. */
function nextDay(cron: Cron, at: Temporal.ZonedDateTime): Temporal.ZonedDateTime {
  const days = cron.months.includes(at.month) ? 1 : Math.max(1, at.daysInMonth - at.day - 1);
  const there = at.toPlainDate().add({ days }).toZonedDateTime(at.timeZoneId);
  return there.epochMilliseconds > at.epochMilliseconds ? there : at.add({ hours: 1 });
}

/** Matching dates from `first` on. */
function* datesFrom(cron: Cron, first: Temporal.PlainDate): Generator<Temporal.PlainDate> {
  const end = first.add({ years: YEARS });
  let date = first;
  while (Temporal.PlainDate.compare(date, end) < 0) {
    if (!cron.months.includes(date.month)) {
      date = date.with({ day: 1 }).add({ months: 1 });
      continue;
    }
    if (matchesDate(cron, date)) yield date;
    date = date.add({ days: 1 });
  }
}

function matchesDate(cron: Cron, date: Temporal.PlainDate): boolean {
  if (!cron.months.includes(date.month)) return false;
  const weekday = date.dayOfWeek % 7;
  const byMonth = cron.daysOfMonth.includes(date.day) || (cron.lastDayOfMonth && date.day === date.daysInMonth);
  const byWeek =
    cron.weekdays.includes(weekday) || cron.nthWeekdays.some((one) => one.weekday === weekday && one.nth === Math.ceil(date.day / 7));
  return cron.eitherDay ? byMonth || byWeek : byMonth && byWeek;
}
