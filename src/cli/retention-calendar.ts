import { Temporal } from 'temporal-polyfill';
import type { Reason } from '../../retention/reasons.ts';
import type { Colors } from './text.ts';

/** What a day's best backup is kept as; `gone` where the day had one that does not last. */
export type DayMark = 'pinned' | 'yearly' | 'monthly' | 'weekly' | 'daily' | 'hourly' | 'otherwise' | 'gone';

type Color = 'red' | 'magenta' | 'green' | 'yellow' | 'cyan' | 'blue' | 'white' | 'dim';

/** From the longest-lived to the shortest: of several backups and tiers of a day the first of these is shown. */
const marks: readonly { readonly mark: DayMark; readonly letter: string; readonly meaning: string; readonly color: Color }[] = [
  { mark: 'pinned', letter: 'P', meaning: 'pinned', color: 'red' },
  { mark: 'yearly', letter: 'Y', meaning: 'yearly', color: 'magenta' },
  { mark: 'monthly', letter: 'M', meaning: 'monthly', color: 'green' },
  { mark: 'weekly', letter: 'W', meaning: 'weekly', color: 'yellow' },
  { mark: 'daily', letter: 'D', meaning: 'daily', color: 'cyan' },
  { mark: 'hourly', letter: 'H', meaning: 'hourly', color: 'blue' },
  { mark: 'otherwise', letter: '+', meaning: 'kept by another rule', color: 'white' },
  { mark: 'gone', letter: '·', meaning: 'made, and gone by then', color: 'dim' },
];

export function markOf(reasons: readonly Reason[]): DayMark {
  const kinds = new Set<string>(reasons.map((reason) => (reason.kind === 'tier' ? reason.tier : reason.kind)));
  if (kinds.has('pin')) return 'pinned';
  return marks.find(({ mark }) => kinds.has(mark))?.mark ?? 'otherwise';
}

/** The longer-lived of two marks of the same day. */
export function stronger(one: DayMark, other: DayMark | undefined): DayMark {
  return marks.find(({ mark }) => mark === one || mark === other)?.mark ?? one;
}

export interface RetentionCalendar {
  /** First and last month shown, `2026-11`. */
  readonly from: string;
  readonly to: string;
  /** By date, `2026-11-25`. */
  readonly days: ReadonlyMap<string, DayMark>;
  /** What stands behind a month's row, by month. */
  readonly notes: ReadonlyMap<string, string>;
}

const HEAD_WIDTH = 9;
const numbered = [1, 5, 10, 15, 20, 25, 30];

/** A row for each month, a cell for each day, at most 100 columns with notes of up to 28. Letters say what colours say. */
export function calendarText({ from, to, days, notes }: RetentionCalendar, colors: Colors): string {
  const rows: string[] = [colors.dim(header())];
  const last = Temporal.PlainYearMonth.from(to);
  for (
    let month = Temporal.PlainYearMonth.from(from);
    Temporal.PlainYearMonth.compare(month, last) <= 0;
    month = month.add({ months: 1 })
  ) {
    const cells = Array.from({ length: 31 }, (_, index) => cell(month, index + 1, days, colors));
    const note = notes.get(month.toString());
    rows.push(`${month.toString().padEnd(HEAD_WIDTH)}${cells.join(' ')}${note === undefined ? '' : `  ${note}`}`.trimEnd());
  }
  return [...rows, legend(new Set(days.values()), colors)].join('\n');
}

function header(): string {
  const cells = Array.from({ length: 31 }, (_, index) => (numbered.includes(index + 1) ? String(index + 1) : ''));
  return `${' '.repeat(HEAD_WIDTH)}${cells.map((text) => text.padEnd(2)).join('')}`.trimEnd();
}

function cell(month: Temporal.PlainYearMonth, day: number, days: RetentionCalendar['days'], colors: Colors): string {
  if (day > month.daysInMonth) return ' ';
  const mark = days.get(month.toPlainDate({ day }).toString());
  const shown = marks.find((one) => one.mark === mark);
  return shown === undefined ? ' ' : colors[shown.color](shown.letter);
}

function legend(used: ReadonlySet<DayMark>, colors: Colors): string {
  return marks
    .filter(({ mark }) => used.has(mark))
    .map(({ letter, meaning, color }) => `${colors[color](letter)} ${meaning}`)
    .join('   ');
}
