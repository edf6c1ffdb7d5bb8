import { Temporal } from 'temporal-polyfill';

const units = {
  ms: 'milliseconds',
  s: 'seconds',
  m: 'minutes',
  h: 'hours',
  d: 'days',
  w: 'weeks',
  mo: 'months',
  y: 'years',
} as const;

export const DURATION_FORM = 'a number and a unit: 500ms, 10s, 5m, 26h, 30d, 2w, 13mo, 1y';

/** `10s`, `26h`, `30d`, `13mo`; undefined for anything else. At most nine digits, so that no sum leaves Temporal's range by a typing error. */
export function parseDuration(text: string): Temporal.Duration | undefined {
  const match = /^(\d{1,9})\s*(ms|s|mo|m|h|d|w|y)$/.exec(text.trim());
  const unit = match?.[2] as keyof typeof units | undefined;
  if (match?.[1] === undefined || unit === undefined) return undefined;
  return Temporal.Duration.from({ [units[unit]]: Number(match[1]) });
}

/** Milliseconds, for durations whose length does not depend on the calendar; undefined for months, years and what is no duration. */
export function parseMilliseconds(text: string): number | undefined {
  const duration = parseDuration(text);
  if (duration === undefined || duration.months > 0 || duration.years > 0) return undefined;
  return duration.total({ unit: 'milliseconds', relativeTo: Temporal.PlainDateTime.from('2000-01-01') });
}

/** Whether Temporal knows the IANA time zone. Offsets (`+02:00`) are refused: they do not know about summer time. */
export function isTimeZone(name: string): boolean {
  if (/^[+-]/.test(name)) return false;
  try {
    Temporal.Instant.fromEpochMilliseconds(0).toZonedDateTimeISO(name);
    return true;
  } catch {
    return false;
  }
}
