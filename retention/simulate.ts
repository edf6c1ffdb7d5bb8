import { dateText, localTime, startOfDay, type Tier, tiers } from './calendar.ts';
import { type Decision, decide } from './decide.ts';
import { comparePoints, type RecoveryPoint } from './points.ts';
import type { Policy } from './policy.ts';
import { type PlacedPoint, place } from './tiers.ts';

/** The backups of one database and what will come. Instants are epoch ms. */
export interface Schedule {
  readonly points: readonly RecoveryPoint[];
  readonly policy: Policy;
  readonly timeZone: string;
  /** Upcoming instants of backups. Each is taken to succeed, to be pruned after, and to stay unproven. */
  readonly schedule: readonly number[];
}

export interface SimulationInput extends Schedule {
  readonly from: number;
  /** Included. */
  readonly until: number;
  /** Stored bytes of the backup at this place of the schedule. */
  readonly bytesOf: (index: number) => number;
}

/** How a day ends. */
export interface SimulatedDay {
  /** In the zone, `2026-11-25`. */
  readonly date: string;
  /** Ids of what exists, by time; a backup to come is called `simulated-` and its place in the schedule. */
  readonly kept: readonly string[];
  /** How many slots of each tier are filled. */
  readonly tiers: Readonly<Record<Tier, number>>;
  readonly bytes: number;
  /** Ids that came and that went on this day; one that did both is in both. */
  readonly appeared: readonly string[];
  readonly gone: readonly string[];
}

export interface Simulation {
  readonly days: readonly SimulatedDay[];
  /** Per tier of the policy the first date at whose end all its slots are filled; none within the time simulated: undefined. */
  readonly completeFrom: Readonly<Partial<Record<Tier, string | undefined>>>;
}

/** Which backups will exist on each day from now on if backups keep coming by the schedule. */
export function simulate(input: SimulationInput): Simulation {
  const { policy, timeZone, from, until, bytesOf } = input;
  const coming = inOrder(input.schedule.filter((instant) => instant > from && instant <= until));
  let store = look({ placed: placeAll(input), decisions: [] }, input, from);
  const days: SimulatedDay[] = [];
  let next = 0;
  for (const { date, end } of daysBetween(from, until, timeZone)) {
    const appeared: string[] = [];
    const gone: string[] = [];
    for (let point = coming[next]; point !== undefined && point.instant < end; point = coming[++next]) {
      store = backUpAndPrune(store, { ...point, bytes: bytesOf(next) }, input);
      appeared.push(point.id);
      gone.push(...goneOf(store).map(({ id }) => id));
    }
    days.push({ date, ...atEndOfDay(store), appeared, gone });
  }
  const active = tiers.filter((tier) => policy[tier] > 0);
  return { days, completeFrom: Object.fromEntries(active.map((tier) => [tier, firstFull(days, tier, policy[tier])])) };
}

/** By id, the date on which each existing backup goes if backups keep coming by the schedule; no entry where it outlasts it. */
export function expiryDays(input: Schedule): ReadonlyMap<string, string> {
  const existing = new Set(input.points);
  const days = new Map<string, string>();
  let store: Store = { placed: placeAll(input), decisions: [] };
  for (const point of inOrder(input.schedule)) {
    store = backUpAndPrune(store, point, input);
    const date = dateText(localTime(point.instant, input.timeZone).day);
    for (const gone of goneOf(store)) if (existing.has(gone)) days.set(gone.id, date);
  }
  return days;
}

/** What exists, and what was decided last. */
interface Store {
  readonly placed: readonly PlacedPoint[];
  readonly decisions: readonly Decision[];
}

/**
 * Only what was kept and the new backup need planning, since what is gone has no say in what stays; so a year of hourly
 * backups costs a few dozen points per step and not thousands.
 */
function backUpAndPrune(store: Store, point: RecoveryPoint, input: Schedule): Store {
  const grown = { ...store, placed: [...store.placed, place(point, input.policy, input.timeZone)] };
  const looked = look(grown, input, point.instant);
  const gone = new Set(goneOf(looked));
  return gone.size === 0 ? looked : { ...looked, placed: looked.placed.filter(({ point }) => !gone.has(point)) };
}

function look(store: Store, { policy, timeZone }: Schedule, now: number): Store {
  return { ...store, decisions: decide(store.placed, policy, { now, timeZone, hold: undefined }) };
}

function placeAll({ points, policy, timeZone }: Schedule): PlacedPoint[] {
  return points.map((point) => place(point, policy, timeZone));
}

function goneOf({ decisions }: Store): RecoveryPoint[] {
  return decisions.filter(({ keep }) => keep.length === 0).map(({ point }) => point);
}

/** The backups to come, by time, as points of no size. */
function inOrder(schedule: readonly number[]): RecoveryPoint[] {
  return [...schedule]
    .sort((a, b) => a - b)
    .map((instant, index) => ({
      id: `simulated-${String(index + 1).padStart(6, '0')}`,
      database: '',
      instant,
      state: 'ok',
      proof: 'unproven',
      bytes: 0,
    }));
}

function atEndOfDay({ placed, decisions }: Store): Pick<SimulatedDay, 'kept' | 'tiers' | 'bytes'> {
  const reasons = decisions.flatMap(({ keep }) => keep);
  const filled = (tier: Tier) => reasons.filter((reason) => reason.kind === 'tier' && reason.tier === tier).length;
  const points = placed.map(({ point }) => point).sort(comparePoints);
  return {
    kept: points.map(({ id }) => id),
    tiers: {
      hourly: filled('hourly'),
      daily: filled('daily'),
      weekly: filled('weekly'),
      monthly: filled('monthly'),
      yearly: filled('yearly'),
    },
    bytes: points.reduce((sum, { bytes }) => sum + bytes, 0),
  };
}

function firstFull(days: readonly SimulatedDay[], tier: Tier, slots: number): string | undefined {
  return days.find((day) => day.tiers[tier] >= slots)?.date;
}

/** Each date of the zone from that of `from` to that of `until`, with the instant at which it ends. A date that the zone skips is none. */
function* daysBetween(from: number, until: number, timeZone: string): Generator<{ readonly date: string; readonly end: number }> {
  const last = localTime(until, timeZone).day;
  for (let day = localTime(from, timeZone).day; day <= last; day++) {
    const end = startOfDay(day + 1, timeZone);
    if (startOfDay(day, timeZone) < end) yield { date: dateText(day), end };
  }
}
