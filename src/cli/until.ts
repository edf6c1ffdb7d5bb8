import { Temporal } from 'temporal-polyfill';
import { DURATION_FORM, parseDuration } from '../config/duration.ts';
import { JetbackupError } from '../core/errors.ts';
import type { Instant } from '../platform/clock.ts';

/** The last second of a day, or a time from now, in the zone. Throws `usage`; `pastHint` says what to type instead of what is past. */
export function parseUntil(
  text: string,
  { now, timeZone, pastHint }: { readonly now: Instant; readonly timeZone: string; readonly pastHint: string },
): Instant {
  const duration = parseDuration(text);
  const day = duration === undefined ? parseDay(text) : undefined;
  const end =
    duration === undefined
      ? day?.add({ days: 1 }).toZonedDateTime({ timeZone }).toInstant().subtract({ seconds: 1 })
      : now.toZonedDateTimeISO(timeZone).add(duration).toInstant();
  if (end === undefined) {
    throw new JetbackupError('usage', `"${text}" is neither a day nor a time from now`, {
      hint: `Write a date, 2027-03-31, or ${DURATION_FORM}.`,
    });
  }
  if (Temporal.Instant.compare(end, now) > 0) return end;
  throw new JetbackupError('usage', `"${text}" is past already`, { hint: pastHint });
}

function parseDay(text: string): Temporal.PlainDate | undefined {
  if (!/^\d{4}-\d{2}-\d{2}$/.test(text)) return undefined;
  try {
    return Temporal.PlainDate.from(text);
  } catch {
    return undefined;
  }
}
