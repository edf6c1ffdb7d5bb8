import { Temporal } from 'temporal-polyfill';
import { JetbackupError } from '../core/errors.ts';
import { type Id, idPattern } from '../core/ids.ts';
import type { Instant } from '../platform/clock.ts';

/** What a person means by WHEN: the newest backup, one by its id, or the newest whose snapshot instant is at or before an instant. */
export type Moment =
  | { readonly kind: 'latest' }
  | { readonly kind: 'id'; readonly id: Id }
  | { readonly kind: 'at-or-before'; readonly instant: Instant; readonly text: string };

const forms =
  'latest, yesterday, today, a date (2026-11-20), a date and time (2026-11-20T14:00, with an offset or [Area/City] where the configured zone is not meant), or a backup id';

/**
 * Reads WHEN. A bare date means its end: its last nanosecond in `timeZone`, so that `2026-11-20` finds the newest
 * backup of that day. A local time that a clock change skips or repeats is refused rather than guessed.
 * Throws `usage`.
 */
export function parseMoment(text: string, context: { readonly timeZone: string; readonly now: Instant }): Moment {
  const trimmed = text.trim();
  if (trimmed === 'latest') return { kind: 'latest' };
  if (idPattern.test(trimmed)) return { kind: 'id', id: trimmed };
  const today = context.now.toZonedDateTimeISO(context.timeZone).toPlainDate();
  if (trimmed === 'yesterday') return endOf(today.subtract({ days: 1 }), context.timeZone, trimmed);
  if (trimmed === 'today') return endOf(today, context.timeZone, trimmed);
  if (/^\d{4}-\d{2}-\d{2}$/.test(trimmed)) return endOf(plainDate(trimmed), context.timeZone, trimmed);
  if (/^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}/.test(trimmed)) {
    return { kind: 'at-or-before', instant: instantOf(trimmed.replace(' ', 'T'), context.timeZone), text: trimmed };
  }
  throw new JetbackupError('usage', `"${text}" does not name a backup`, { hint: `WHEN is one of: ${forms}.` });
}

function plainDate(text: string): Temporal.PlainDate {
  try {
    return Temporal.PlainDate.from(text);
  } catch (cause) {
    throw new JetbackupError('usage', `"${text}" is not a day of the calendar`, { cause, hint: `WHEN is one of: ${forms}.` });
  }
}

function endOf(day: Temporal.PlainDate, timeZone: string, text: string): Moment {
  const next = day.add({ days: 1 }).toZonedDateTime({ timeZone });
  return { kind: 'at-or-before', instant: next.toInstant().subtract({ nanoseconds: 1 }), text };
}

function instantOf(text: string, timeZone: string): Instant {
  try {
    if (text.includes('[')) return Temporal.ZonedDateTime.from(text, { disambiguation: 'reject' }).toInstant();
    if (/(?:[Zz]|[+-]\d{2}(?::?\d{2})?)$/.test(text)) return Temporal.Instant.from(text);
  } catch (cause) {
    throw new JetbackupError('usage', `"${text}" is not a moment in time`, { cause, hint: `WHEN is one of: ${forms}.` });
  }
  let local: Temporal.PlainDateTime;
  try {
    local = Temporal.PlainDateTime.from(text);
  } catch (cause) {
    throw new JetbackupError('usage', `"${text}" is not a date and time`, { cause, hint: `WHEN is one of: ${forms}.` });
  }
  try {
    return local.toZonedDateTime(timeZone, { disambiguation: 'reject' }).toInstant();
  } catch (cause) {
    const [earlier, later] = (['earlier', 'later'] as const).map((disambiguation) =>
      local.toZonedDateTime(timeZone, { disambiguation }).toString({ timeZoneName: 'never' }),
    );
    throw new JetbackupError('usage', `${text} does not happen exactly once in ${timeZone}: the clock changes there and then`, {
      cause,
      hint: `Give the offset: ${earlier} or ${later}.`,
    });
  }
}
