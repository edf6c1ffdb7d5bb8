import { parse } from 'node-cron';

/**
 * When something is due, as crontab(5) writes it. The lists are in ascending order and never empty, but for the two of days
 * that are named in another way.
 */
export interface Cron {
  /** As it was written. */
  readonly text: string;
  readonly minutes: readonly number[];
  readonly hours: readonly number[];
  readonly daysOfMonth: readonly number[];
  /** `L`: the last day of the month, whichever that is. */
  readonly lastDayOfMonth: boolean;
  readonly months: readonly number[];
  /** 0 is Sunday. */
  readonly weekdays: readonly number[];
  /** `sun#1`: the first Sunday of the month. */
  readonly nthWeekdays: readonly { readonly weekday: number; readonly nth: number }[];
  /** Both day fields say something, so that a day that fits either is meant (crontab(5)). */
  readonly eitherDay: boolean;
}

interface Field {
  readonly name: string;
  readonly least: number;
  readonly most: number;
  readonly names: readonly string[];
  /** Items that are no numbers, ranges or steps. */
  readonly special?: RegExp;
}

const months = ['january', 'february', 'march', 'april', 'may', 'june', 'july', 'august', 'september', 'october', 'november', 'december'];
const weekdays = ['sunday', 'monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday'];
const withShort = (names: readonly string[]) => [...names, ...names.map((name) => name.slice(0, 3))];

const fields: readonly Field[] = [
  { name: 'minute', least: 0, most: 59, names: [] },
  { name: 'hour', least: 0, most: 23, names: [] },
  { name: 'day of month', least: 1, most: 31, names: [], special: /^l$/ },
  { name: 'month', least: 1, most: 12, names: withShort(months) },
  { name: 'day of week', least: 0, most: 7, names: withShort(weekdays), special: /^(?:[0-7]|[a-z]+)#[1-5]$/ },
];

const nicknames = ['@yearly', '@annually', '@monthly', '@weekly', '@daily', '@midnight', '@hourly'];
const daysInMonth = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/**
 * Reads five fields of numbers, names, `*`, ranges, steps and lists, `L` as a day of the month, `sun#1` as a day of the week, and
 * `@daily` and its like. Otherwise says everything that is wrong, in words for whoever wrote it.
 *
 * node-cron expands the fields. What may come to it is checked here, item by item: it takes `2*` for 20 to 59 and `janfeb` for
 * December, and a sixth field for seconds.
 */
export function parseCron(text: string): Cron | { readonly problems: readonly string[] } {
  const expression = text.trim().toLowerCase();
  if (expression.startsWith('@')) return nicknames.includes(expression) ? expand(text, expression) : unknownNickname(text);
  const written = expression.split(/\s+/);
  if (written.length !== fields.length) return { problems: [`"${text.trim()}" has ${written.length} of the five fields (${fieldNames})`] };
  const problems = fields.flatMap((field, index) => (written[index] ?? '').split(',').flatMap((item) => problemOf(item, field) ?? []));
  if (problems.length > 0) return { problems };
  return neverDue(written) ?? expand(text, written.join(' '));
}

const fieldNames = fields.map(({ name }) => name).join(', ');

function unknownNickname(text: string): { readonly problems: readonly string[] } {
  return { problems: [`"${text.trim()}" is none of ${nicknames.join(', ')}`] };
}

function problemOf(item: string, field: Field): string | undefined {
  const { name, least, most } = field;
  if (item === '') return `${name}: there is nothing before or after a comma`;
  const [value = '', nth] = item.split('#');
  if (field.special?.test(item) && (nth === undefined || isKnown(value, field))) return undefined;
  const match = /^(?:(\*)|(\w+)(?:-(\w+))?)(?:\/(\w+))?$/.exec(item);
  if (match === null) return `${name}: "${item}" is no number, range (1-5), step (*/2) or list (1,3)`;
  const [, star, first, last, step] = match;
  const unknown = [first, last].find((one) => one !== undefined && !isKnown(one, field));
  if (unknown !== undefined) {
    const names = field.names.length === 0 ? '' : `, or a name such as ${field.names.at(-1)}`;
    return `${name}: "${unknown}" is not from ${least} to ${most}${names}`;
  }
  if (step === undefined) return undefined;
  if (star === undefined && last === undefined) return `${name}: "${item}" has a step and no range; write ${first}-${most}/${step}`;
  if (!/^\d{1,2}$/.test(step) || Number(step) < 1) return `${name}: a step is a number from 1, not "${step}"`;
  return Number(step) > most - least ? `${name}: a step of ${step} leads out of ${least} to ${most}` : undefined;
}

function isKnown(value: string, field: Field): boolean {
  if (/^\d{1,2}$/.test(value)) return Number(value) >= field.least && Number(value) <= field.most;
  return field.names.includes(value);
}

/** 30 February, 31 April. With a day of the week beside it some days would be due, and the other half is a mistake all the same. */
function neverDue(written: readonly string[]): { readonly problems: readonly string[] } | undefined {
  const [, , days = '', inMonths = ''] = written;
  if (!/^\d+(,\d+)*$/.test(days) || inMonths.includes('*')) return undefined;
  const first = Math.min(...days.split(',').map(Number));
  const { month } = parse(`0 0 1 ${inMonths} *`);
  if (month.some((number) => first <= (daysInMonth[number - 1] ?? 0))) return undefined;
  return { problems: [`no month that is meant has a day ${first}: "${days} ${inMonths}" is never due`] };
}

function expand(text: string, expression: string): Cron {
  const { minute, hour, dayOfMonth, month, dayOfWeek } = parse(expression);
  const numbers = (values: readonly (number | string)[]) => ascending(values.filter((value) => typeof value === 'number'));
  const [, , days, , ofWeek] = expression.split(' ');
  return {
    text: text.trim(),
    minutes: ascending(minute),
    hours: ascending(hour),
    daysOfMonth: numbers(dayOfMonth),
    lastDayOfMonth: dayOfMonth.includes('L'),
    months: ascending(month),
    weekdays: numbers(dayOfWeek),
    nthWeekdays: dayOfWeek.flatMap((value) => {
      const [weekday, nth] = typeof value === 'string' ? value.split('#') : [];
      return nth === undefined ? [] : [{ weekday: Number(weekday) % 7, nth: Number(nth) }];
    }),
    eitherDay: !expression.startsWith('@') && !days?.includes('*') && !ofWeek?.includes('*'),
  };
}

function ascending(values: readonly number[]): number[] {
  return [...new Set(values)].sort((a, b) => a - b);
}
