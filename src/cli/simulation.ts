import { dateText, isInstant, localTime, tiers } from '../../retention/calendar.ts';
import { limitsAnything, type Policy } from '../../retention/policy.ts';
import { scheduleText } from '../operations/assumed-schedule.ts';
import type { Forecast } from '../operations/forecast.ts';
import type { Instant } from '../platform/clock.ts';
import type { SimulateDocument } from './json-retention.ts';
import { calendarText, type DayMark, markOf, stronger } from './retention-calendar.ts';
import { configureText, policyText } from './retention-words.ts';
import { bytesText, type Colors, countText, tableText } from './text.ts';

/** One database played forward. */
export interface Simulated {
  readonly database: string;
  readonly policy: Policy;
  readonly forecast: Forecast;
}

type Day = Forecast['simulation']['days'][number];

/** Lines for each of the first days; then one for each month's end. */
const DAILY_LINES = 14;
/** Month rows that still fit on a screen; of a longer time the last ones are drawn. */
const MOST_MONTHS = 25;

export function simulationDocument(
  simulated: readonly Simulated[],
  { from, until, timeZone }: { readonly from: Instant; readonly until: Instant; readonly timeZone: string },
): SimulateDocument {
  return {
    command: 'prune --simulate',
    from: from.toString({ smallestUnit: 'second' }),
    until: until.toString({ smallestUnit: 'second' }),
    timeZone,
    databases: simulated.map(({ database, policy, forecast: { schedule, bytesPerBackup, simulation } }) => {
      const { hourly, daily, weekly, monthly, yearly } = policy;
      return {
        database,
        limited: limitsAnything(policy),
        assumed: { schedule: scheduleText(schedule, timeZone), bytesPerBackup },
        slots: { hourly, daily, weekly, monthly, yearly },
        completeFrom: Object.fromEntries(Object.entries(simulation.completeFrom).map(([tier, date]) => [tier, date ?? null])),
        days: simulation.days.map((day) => ({
          ...day,
          kept: [...day.kept],
          tiers: { ...day.tiers },
          appeared: [...day.appeared],
          gone: [...day.gone],
        })),
      };
    }),
  };
}

/** The same for a person: what was assumed, the table, the calendar, and from when each tier is complete. */
export function simulationText({ database, policy, forecast }: Simulated, timeZone: string, colors: Colors): string {
  const { schedule, bytesPerBackup, simulation } = forecast;
  const head = [
    `${colors.bold(database)} keeps ${policyText(policy)}`,
    `assumed: ${scheduleText(schedule, timeZone)}; each ${bytesText(bytesPerBackup)}, stays unproven, and is pruned after`,
  ];
  if (!limitsAnything(policy)) head.push(configureText(database));
  return [
    head.join('\n'),
    dayTable(simulation.days, policy, colors),
    calendarOf(forecast, timeZone, colors),
    completeText(forecast, policy, simulation.days.at(-1)),
  ].join('\n\n');
}

function dayTable(days: readonly Day[], policy: Policy, colors: Colors): string {
  const shown = days.filter(({ date }, index) => {
    const next = days[index + 1]?.date;
    return index < DAILY_LINES || next === undefined || next.slice(0, 7) !== date.slice(0, 7);
  });
  const active = tiers.filter((tier) => policy[tier] > 0);
  const columns = [
    { title: 'END OF' },
    ...active.map((tier) => ({ title: tier.toUpperCase(), align: 'right' as const })),
    { title: 'BACKUPS', align: 'right' as const },
    { title: 'STORAGE', align: 'right' as const },
  ];
  const rows = shown.map(({ date, tiers: filled, kept, bytes }) => [
    date,
    ...active.map((tier) => `${filled[tier]}/${policy[tier]}`),
    countText(kept.length),
    bytesText(bytes),
  ]);
  return tableText(columns, rows, colors);
}

/** What is left at the end, and behind each month how much there was at its end. */
function calendarOf({ simulation, atEnd, instants }: Forecast, timeZone: string, colors: Colors): string {
  const { days } = simulation;
  const [first, last] = [days[0]?.date.slice(0, 7), days.at(-1)?.date];
  if (first === undefined || last === undefined) return '';
  const monthEnds = new Map(days.map((day) => [day.date.slice(0, 7), day]));
  const from = [...monthEnds.keys()].slice(-MOST_MONTHS)[0] ?? first;
  const marks = new Map<string, DayMark>();
  const add = (instant: number, mark: DayMark): boolean => {
    const date = isInstant(instant) ? dateText(localTime(instant, timeZone).day) : '';
    if (date < from) return false;
    marks.set(date, stronger(mark, marks.get(date)));
    return true;
  };
  for (const instant of instants) add(instant, 'gone');
  const older = atEnd.filter(({ point, reasons }) => !add(point.instant, markOf(reasons))).length;
  const notes = new Map([...monthEnds].map(([month, { kept, bytes }]) => [month, `${countText(kept.length)} kept, ${bytesText(bytes)}`]));
  const drawn = calendarText({ from, to: last.slice(0, 7), days: marks, notes }, colors);
  const rest = older === 0 ? '' : `\nand ${older} from before ${from}`;
  return `What is left at the end of ${last}; behind each month, what there was at its end:\n${drawn}${rest}`;
}

const units = { hourly: 'hours', daily: 'days', weekly: 'weeks', monthly: 'months', yearly: 'years' } as const;

function completeText({ simulation }: Forecast, policy: Policy, last: Day | undefined): string {
  const lines = tiers.flatMap((tier) => {
    if (policy[tier] === 0) return [];
    const date = simulation.completeFrom[tier];
    const what = `${policy[tier]} ${units[tier]}`;
    return [date === undefined ? `${what}: not complete by then (${last?.tiers[tier] ?? 0} of them)` : `${what}: complete from ${date}`];
  });
  const most = Math.max(0, ...simulation.days.map(({ bytes }) => bytes));
  return [...lines, `most storage on any day: ${bytesText(most)}`].join('\n');
}
