import fc from 'fast-check';
import type { RecoveryPoint } from '../../../retention/points.ts';
import { type Policy, parseDuration, resolvePolicy } from '../../../retention/policy.ts';

export const HOUR = 3_600_000;
export const DAY = 24 * HOUR;

export const zones = [
  'UTC',
  'Europe/Berlin',
  'America/New_York',
  'Australia/Lord_Howe',
  'Asia/Kathmandu',
  'Pacific/Apia',
  'Pacific/Kiritimati',
  'America/St_Johns',
  'Africa/Casablanca',
  'America/Sao_Paulo',
] as const;
export const zone = fc.constantFrom(...zones);

/** Where a calendar goes wrong: clock changes of the zones above, the day that Apia skipped, year ends, leap days, week 53. */
const awkward = [
  '2011-12-30T10:00:00Z',
  '2026-03-29T01:00:00Z',
  '2026-10-25T01:00:00Z',
  '2026-03-08T07:00:00Z',
  '2026-11-01T06:00:00Z',
  '2026-04-04T15:00:00Z',
  '2026-10-03T15:30:00Z',
  '2010-11-07T02:31:00Z',
  '2018-02-18T02:00:00Z',
  '2020-12-31T23:30:00Z',
  '2024-02-29T12:00:00Z',
  '2027-01-01T00:00:00Z',
  '1970-01-01T00:00:00Z',
].map((text) => Date.parse(text));

const steps = [0, 1, 60_000, HOUR, 5 * HOUR, DAY, 7 * DAY, 31 * DAY, 366 * DAY];

/** Instants in heaps: many equal, many in the same hour, day, week or month, some years away. */
export const instant = fc
  .tuple(fc.constantFrom(...awkward), fc.constantFrom(...steps), fc.integer({ min: -12, max: 12 }))
  .map(([around, step, count]) => around + step * count);

export const extremeInstant = fc.oneof(
  { weight: 6, arbitrary: instant },
  { weight: 1, arbitrary: fc.integer({ min: -8.64e15, max: 8.64e15 }) },
  { weight: 1, arbitrary: fc.constantFrom(-8.64e15, 8.64e15, -62_135_596_800_000, 253_402_300_800_000) },
);

/** What no manifest should hold, and what must not bring the planner down or make it delete. */
export const noInstant = fc.constantFrom(Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 8.64e15 + 1, 0.5);

const duration = fc.constantFrom('1h', '36h', '3d', '30d', '8w', '1mo', '1mo', '1mo', '12mo', '100y');
const few = fc.oneof({ weight: 1, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.integer({ min: 1, max: 4 }) });

export const policy: fc.Arbitrary<Policy> = fc
  .record({
    hourly: few,
    daily: few,
    weekly: few,
    monthly: few,
    yearly: few,
    minimumKeep: few,
    keepWithin: fc.oneof({ weight: 2, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: duration }),
  })
  .map(({ keepWithin, ...figures }) =>
    resolvePolicy({ ...figures, keepWithin: keepWithin === undefined ? undefined : parsed(keepWithin) }),
  );

function parsed(text: string) {
  const result = parseDuration(text);
  if ('problem' in result) throw new Error(result.problem);
  return result;
}

const proof = fc.constantFrom('proven', 'failed', 'unproven', 'unproven');
const mostlyOk = fc.constantFrom('ok', 'ok', 'ok', 'ok', 'ok', 'unreadable', 'unknown-format', 'incomplete');
const rarely = <T>(some: fc.Arbitrary<T>) => fc.oneof({ weight: 9, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: some });

export interface Shape {
  readonly instants: fc.Arbitrary<number>;
  readonly states: fc.Arbitrary<RecoveryPoint['state']>;
  readonly databases: readonly string[];
  readonly promises: boolean;
}

const anything: Shape = { instants: instant, states: mostlyOk, databases: ['shop'], promises: true };

/** Backups with ids of their own; in no order. Ids do not follow the instants, as on a host whose clock was set. */
export function backups(shape: Partial<Shape> = {}, maxLength = 12): fc.Arbitrary<RecoveryPoint[]> {
  const { instants, states, databases, promises } = { ...anything, ...shape };
  const promise = promises ? rarely(instants) : fc.constant(undefined);
  const drawn = fc.record({
    suffix: fc.integer({ min: 0, max: 0xffff }),
    database: fc.constantFrom(...databases),
    instant: instants,
    state: states,
    proof,
    pin: promise,
    forever: fc.boolean(),
    keepUntil: promise,
  });
  // By itself fast-check draws mostly short lists, of which nothing goes.
  return fc.array(drawn, { maxLength, size: 'max' }).map((list) =>
    list.map(({ suffix, pin, forever, keepUntil, ...rest }, index) => ({
      ...rest,
      id: `${suffix.toString(16).padStart(4, '0')}-${index}`,
      bytes: 1,
      ...(pin === undefined ? {} : { pin: forever ? { reason: 'before the migration' } : { reason: 'release', until: pin } }),
      ...(keepUntil === undefined ? {} : { keepUntil }),
    })),
  );
}

/** A clock that is right, or years off, either way. */
export const clock = fc.oneof(
  { weight: 2, arbitrary: fc.constant(Date.parse('2126-01-01T00:00:00Z')) },
  { weight: 2, arbitrary: instant },
  { weight: 1, arbitrary: fc.constantFrom(-8.64e15, 0, 8.64e15) },
);
