import type { Temporal } from 'temporal-polyfill';
import { planRetention, type RetentionPlan } from '../../retention/plan.ts';
import { comparePoints, type RecoveryPoint } from '../../retention/points.ts';
import { limitsAnything } from '../../retention/policy.ts';
import { expiryDays, type Simulation, simulate } from '../../retention/simulate.ts';
import { JetbackupError } from '../core/errors.ts';
import type { Id } from '../core/ids.ts';
import type { Instant } from '../platform/clock.ts';
import { type AssumedSchedule, assumeSchedule, LOOKED_AT, occurrences } from './assumed-schedule.ts';
import type { DatabaseSurvey } from './retention.ts';

export interface Forecast {
  readonly schedule: AssumedSchedule;
  /** Median of what the last seven backups occupy, in bytes: what each coming one is taken to. */
  readonly bytesPerBackup: number;
  readonly simulation: Simulation;
  /** What exists at the end, and by which rules. */
  readonly atEnd: RetentionPlan['keep'];
  /** Instants (epoch ms) of all backups that there are or will be, whether they are gone by the end or not. */
  readonly instants: readonly number[];
}

/** What a survey must look up for a forecast. */
export const forForecast = { history: LOOKED_AT };

/** 13 months of one an hour are 9,500. Where nothing goes, each step looks at all that came before, so fewer are enough. */
const MOST_SIMULATED = { limited: 10_000, unlimited: 2_000 };
/** How far `list` looks ahead. */
const LOOK_AHEAD = { months: 13 };
const MOST_LOOKED_AHEAD = 2_000;
const MEASURED = 7;

/** Which backups of a database will exist on each day until `until`, if backups keep coming as they did. Throws `usage` for too long a time. */
export function forecast(survey: DatabaseSurvey, now: Instant, until: Instant, timeZone: string): Forecast {
  const { points, of } = survey;
  const from = now.epochMilliseconds;
  const schedule = assumeSchedule(survey, { now: from, timeZone });
  const most = MOST_SIMULATED[limitsAnything(of.policy) ? 'limited' : 'unlimited'];
  const coming = occurrences(schedule, { after: from, until: until.epochMilliseconds, timeZone, most: most + 1 });
  if (coming.length > most) {
    throw new JetbackupError('usage', `more than ${most} backups of "${of.database}" would come until then, too many to play through`, {
      hint: 'Give a shorter time: --simulate 30d',
    });
  }
  const bytesPerBackup = medianBytes(points);
  const simulation = simulate({
    points,
    policy: of.policy,
    timeZone,
    schedule: coming,
    from,
    until: until.epochMilliseconds,
    bytesOf: () => bytesPerBackup,
  });
  const simulated = coming.map(
    (instant, index): RecoveryPoint => ({
      id: simulatedId(index),
      database: of.database,
      instant,
      state: 'ok',
      proof: 'unproven',
      bytes: bytesPerBackup,
    }),
  );
  const kept = new Set(simulation.days.at(-1)?.kept);
  const left = [...points, ...simulated].filter(({ id }) => kept.has(id));
  // What was kept is planned once more, for its reasons: planning twice changes nothing.
  const atEnd = planRetention(left, of.policy, { now: until.epochMilliseconds, timeZone }).keep;
  return { schedule, bytesPerBackup, simulation, atEnd, instants: [...points, ...simulated].map(({ instant }) => instant) };
}

/** As `simulate` names what is to come. */
function simulatedId(index: number): string {
  return `simulated-${String(index + 1).padStart(6, '0')}`;
}

function medianBytes(points: readonly RecoveryPoint[]): number {
  const sizes = points
    .filter(({ state }) => state === 'ok')
    .toSorted(comparePoints)
    .slice(-MEASURED)
    .map(({ bytes }) => bytes)
    .toSorted((a, b) => a - b);
  return sizes[Math.floor(sizes.length / 2)] ?? 0;
}

/**
 * By id, the day of the zone on which each backup goes if backups keep coming as they did; no entry for those that outlast
 * the next 13 months (or 2,000 backups), and none at all where everything is kept or deletion is frozen.
 */
export function daysToGo(survey: DatabaseSurvey, now: Instant, timeZone: string): ReadonlyMap<Id, string> {
  const { points, of, frozenBy } = survey;
  if (frozenBy !== undefined || !limitsAnything(of.policy)) return new Map();
  const until = now.toZonedDateTimeISO(timeZone).add(LOOK_AHEAD).epochMilliseconds;
  const schedule = assumeSchedule(survey, { now: now.epochMilliseconds, timeZone });
  const coming = occurrences(schedule, { after: now.epochMilliseconds, until, timeZone, most: MOST_LOOKED_AHEAD });
  return expiryDays({ points, policy: of.policy, timeZone, schedule: coming });
}

/** The end of a time that begins now, in the zone: 13 months are months of the calendar. */
export function endOf(now: Instant, duration: Temporal.Duration, timeZone: string): Instant {
  return now.toZonedDateTimeISO(timeZone).add(duration).toInstant();
}
