import { Temporal } from 'temporal-polyfill';
import type { Tier } from '../../../retention/calendar.ts';
import type { RecoveryPoint } from '../../../retention/points.ts';
import type { Policy } from '../../../retention/policy.ts';

/*
 * The rules of retention/README.md once more, slow and obvious: each backup is looked at by itself and compared with all
 * others, and the calendar is Temporal's. It shares no code with the planner, only the types.
 */

const tierNames: readonly Tier[] = ['hourly', 'daily', 'weekly', 'monthly', 'yearly'];
const ranks = ['failed', 'unproven', 'proven'];

/** The ids of one database's backups that stay. Ids must differ and instants be valid. */
export function referenceKeep(points: readonly RecoveryPoint[], policy: Policy, now: number, timeZone: string): Set<string> {
  const counted = points.filter((point) => point.state === 'ok' && point.instant <= now + 600_000);
  const isNewer = (a: RecoveryPoint, b: RecoveryPoint) => a.instant > b.instant || (a.instant === b.instant && a.id > b.id);
  const newestOf = (some: readonly RecoveryPoint[]) => some.find((point) => !some.some((other) => isNewer(other, point)));
  const newest = newestOf(counted);
  const unlimited = tierNames.every((tier) => policy[tier] === 0) && policy.keepWithin === undefined;

  const stays = (point: RecoveryPoint): boolean => {
    if (unlimited || !counted.includes(point) || newest === undefined) return true;
    if (point === newest) return true;
    if (point === newestOf(counted.filter(({ proof }) => proof === 'proven'))) return true;
    if (point === newestOf(counted.filter(({ proof }) => proof !== 'failed'))) return true;
    if (point.pin !== undefined && (point.pin.until === undefined || newest.instant <= point.pin.until)) return true;
    if (point.keepUntil !== undefined && newest.instant <= point.keepUntil) return true;
    if (counted.filter((other) => isNewer(other, point)).length < policy.minimumKeep) return true;
    if (policy.keepWithin !== undefined && point.instant >= cutoff(newest.instant, policy.keepWithin, timeZone)) return true;
    const active = tierNames.filter((tier) => policy[tier] > 0);
    return active.some((tier) => {
      const own = slot(tier, point.instant, timeZone);
      const newerSlots = new Set(
        counted
          .map((other) => slot(tier, other.instant, timeZone))
          .filter((other) => other.begins > own.begins)
          .map(({ name }) => name),
      );
      const rivals = counted.filter((other) => other !== point && slot(tier, other.instant, timeZone).name === own.name);
      const beaten = rivals.some((rival) => {
        const difference = ranks.indexOf(rival.proof) - ranks.indexOf(point.proof);
        return difference > 0 || (difference === 0 && isNewer(rival, point));
      });
      return newerSlots.size < policy[tier] && !beaten;
    });
  };
  return new Set(points.filter(stays).map(({ id }) => id));
}

const slots = new Map<string, { readonly name: string; readonly begins: number }>();

/** What a slot is called, and a figure that sorts it; remembered, since everything is compared with everything. */
export function slot(tier: Tier, instant: number, timeZone: string): { readonly name: string; readonly begins: number } {
  const key = `${tier} ${instant} ${timeZone}`;
  const known = slots.get(key);
  if (known !== undefined) return known;
  const made = slotAt(tier, Temporal.Instant.fromEpochMilliseconds(instant).toZonedDateTimeISO(timeZone));
  if (slots.size > 100_000) slots.clear();
  slots.set(key, made);
  return made;
}

function slotAt(tier: Tier, local: Temporal.ZonedDateTime): { readonly name: string; readonly begins: number } {
  const wall = local.toPlainDateTime();
  const asUtc = (date: Temporal.PlainDate) => date.toZonedDateTime('UTC').epochMilliseconds;
  switch (tier) {
    case 'hourly': {
      const hour = wall.with({ minute: 0, second: 0, millisecond: 0 });
      const begins = hour.toZonedDateTime('UTC').epochMilliseconds - local.offsetNanoseconds / 1_000_000;
      return { name: `${hour.toString({ smallestUnit: 'minute' }).slice(0, -3)}${local.offset}`, begins };
    }
    case 'daily':
      return { name: wall.toPlainDate().toString(), begins: asUtc(wall.toPlainDate()) };
    case 'weekly': {
      const monday = wall.toPlainDate().subtract({ days: wall.dayOfWeek - 1 });
      return { name: `${wall.yearOfWeek}-W${String(wall.weekOfYear).padStart(2, '0')}`, begins: asUtc(monday) };
    }
    case 'monthly':
      return { name: wall.toPlainDate().toPlainYearMonth().toString(), begins: asUtc(wall.toPlainDate().with({ day: 1 })) };
    case 'yearly':
      return { name: String(wall.year), begins: asUtc(wall.toPlainDate().with({ month: 1, day: 1 })) };
  }
}

function cutoff(instant: number, within: { readonly milliseconds: number; readonly months: number }, timeZone: string): number {
  if (within.months === 0) return instant - within.milliseconds;
  // The latest date that the wall has shown by then: over two hours, since a clock that is set back over midnight shows one again.
  const day = Array.from({ length: 120 }, (_, minutes) => Temporal.Instant.fromEpochMilliseconds(instant - minutes * 60_000))
    .map((earlier) => earlier.toZonedDateTimeISO(timeZone).toPlainDate())
    .reduce((latest, date) => (Temporal.PlainDate.compare(date, latest) > 0 ? date : latest));
  return day.subtract({ months: within.months }).toZonedDateTime(timeZone).epochMilliseconds;
}
