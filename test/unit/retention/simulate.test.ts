import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { planRetention } from '../../../retention/plan.ts';
import type { RecoveryPoint } from '../../../retention/points.ts';
import { resolvePolicy } from '../../../retention/policy.ts';
import { expiryDays, simulate } from '../../../retention/simulate.ts';
import { backups, DAY, HOUR, policy, zone } from './arbitraries.ts';

const checklist = resolvePolicy({ preset: 'production-checklist' });
const utc = { timeZone: 'UTC', policy: checklist };
const at = (text: string) => Date.parse(text);
const every = (step: number, first: number, count: number) => Array.from({ length: count }, (_, index) => first + index * step);

function point(text: string, rest: Partial<RecoveryPoint> = {}): RecoveryPoint {
  return { id: text, database: 'shop', instant: at(text), state: 'ok', proof: 'unproven', bytes: 1, ...rest };
}

describe('thirteen months of a backup a day, from an empty repository', () => {
  const from = at('2026-11-01T00:00:00Z');
  const { days, completeFrom } = simulate({
    ...utc,
    points: [],
    from,
    until: at('2027-11-30T23:59:59Z'),
    schedule: every(DAY, at('2026-11-01T02:00:00Z'), 500),
    bytesOf: (index) => 100 + index,
  });

  test('have each day once', () => {
    expect([days.length, days[0]?.date, days.at(-1)?.date]).toEqual([395, '2026-11-01', '2027-11-30']);
  });

  test('say from when each tier is complete', () => {
    // Sunday 1 November is of week 44, so the fourth week begins on Monday the 16th; the twelfth month is October.
    expect(completeFrom).toEqual({ daily: '2026-11-07', weekly: '2026-11-16', monthly: '2027-10-01' });
  });

  test('grow to what the policy promises and no further', () => {
    expect(days[0]).toEqual({
      date: '2026-11-01',
      kept: ['simulated-000001'],
      tiers: { hourly: 0, daily: 1, weekly: 1, monthly: 1, yearly: 0 },
      bytes: 100,
      appeared: ['simulated-000001'],
      gone: [],
    });
    expect(days.at(-1)?.tiers).toEqual({ hourly: 0, daily: 7, weekly: 4, monthly: 12, yearly: 0 });
    expect(Math.max(...days.map(({ kept }) => kept.length))).toBeLessThanOrEqual(7 + 4 + 12);
  });

  test('measure the storage of each day', () => {
    for (const { kept, bytes } of days) {
      expect(bytes).toBe(kept.reduce((sum, id) => sum + 99 + Number(id.slice('simulated-'.length)), 0));
    }
  });

  test('name what went: on 8 November nothing, since the backup of the 1st stands for week 44, and on the 9th that of the 2nd', () => {
    expect(days.slice(7, 9).map(({ gone }) => gone)).toEqual([[], ['simulated-000002']]);
  });
});

test('without upcoming backups nothing changes on any day', () => {
  const points = [point('2026-11-01T02:00Z'), point('2026-11-01T14:00Z'), point('2026-11-02T02:00Z')];
  const { days } = simulate({
    ...utc,
    points,
    from: at('2026-11-25T00:00Z'),
    until: at('2027-11-25T00:00Z'),
    schedule: [],
    bytesOf: () => 1,
  });
  for (const day of days) expect(day).toMatchObject({ kept: points.map(({ id }) => id), bytes: 3, appeared: [], gone: [] });
});

test('a date that the zone skipped has no day', () => {
  const from = at('2011-12-29T12:00:00Z');
  const { days } = simulate({
    points: [],
    policy: checklist,
    timeZone: 'Pacific/Apia',
    from,
    until: from + 2 * DAY,
    schedule: every(12 * HOUR, from, 5),
    bytesOf: () => 1,
  });
  expect(days.map(({ date }) => date)).toEqual(['2011-12-29', '2011-12-31', '2012-01-01']);
});

describe('the day on which a backup goes', () => {
  // 2026-11-25 is a Wednesday, of week 48.
  const existing = [
    point('2026-11-22T02:00Z'),
    point('2026-11-23T02:00Z'),
    point('2026-11-24T02:00Z', { keepUntil: at('2026-12-10T12:00Z') }),
    point('2026-11-25T02:00Z', { pin: { reason: 'audit' } }),
  ];

  test('is the seventh after it, where nothing else holds it', () => {
    const days = expiryDays({ ...utc, points: existing, schedule: every(DAY, at('2026-11-26T02:00Z'), 400) });
    expect(Object.fromEntries(days)).toEqual({
      // Sunday of week 47: that week is the fifth from Monday 14 December.
      '2026-11-22T02:00Z': '2026-12-14',
      '2026-11-23T02:00Z': '2026-11-30',
      '2026-11-24T02:00Z': '2026-12-11',
    });
  });

  test('is none while no backups come', () => {
    expect(expiryDays({ ...utc, points: existing, schedule: [] }).size).toBe(0);
  });
});

test('step by step comes to the same as planning everything at the end', () => {
  const input = fc.tuple(backups({}, 8), policy, zone, fc.constantFrom(HOUR, 7 * HOUR, DAY, 5 * DAY), fc.nat(40));
  fc.assert(
    fc.property(input, ([points, policy, timeZone, step, count]) => {
      // After all that exist, so that nothing is dated in the future at one time and not at another.
      const from = at('2060-03-27T00:00:00Z');
      const until = from + (count + 1) * step;
      const schedule = every(step, from + 1, count);
      const { days } = simulate({ points, policy, timeZone, from, until, schedule, bytesOf: () => 1 });
      const coming = schedule.map((instant, index) => point(`simulated-${String(index + 1).padStart(6, '0')}`, { instant }));
      const once = planRetention([...points, ...coming], policy, { now: until, timeZone }).keep.map(({ point }) => point.id);
      if (count > 0) expect(days.at(-1)?.kept).toEqual(once);
      expect(days.flatMap(({ appeared }) => appeared)).toEqual(coming.map(({ id }) => id));
    }),
    { numRuns: 200 },
  );
});

test('three months of a backup an hour, in all five tiers', () => {
  const hourly = resolvePolicy({ hourly: 48, daily: 14, weekly: 8, monthly: 12, yearly: 3 });
  const from = at('2026-11-01T00:00:00Z');
  const schedule = every(HOUR, from + 1, 24 * 92);
  const { days } = simulate({ ...utc, policy: hourly, points: [], from, until: from + 92 * DAY - 1, schedule, bytesOf: () => 1 });
  expect(days.at(-1)).toMatchObject({ date: '2027-01-31', tiers: { hourly: 48, daily: 14, weekly: 8, monthly: 3, yearly: 2 } });
});
