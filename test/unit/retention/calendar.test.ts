import fc from 'fast-check';
import { Temporal } from 'temporal-polyfill';
import { describe, expect, test } from 'vitest';
import { dateText, instantText, isInstant, localTime, monthsBefore, slotOf, startOfDay, type Tier } from '../../../retention/calendar.ts';
import { extremeInstant, HOUR, instant, zone } from './arbitraries.ts';
import { slot } from './reference.ts';

const key = (tier: Tier, text: string, timeZone: string) => slotOf(tier, localTime(Date.parse(text), timeZone)).key;
const runs = { numRuns: 2000 };

describe('a slot', () => {
  test.each([
    ['daily', '2026-11-24T22:59:59Z', 'Europe/Berlin', '2026-11-24'],
    ['daily', '2026-11-24T23:00:00Z', 'Europe/Berlin', '2026-11-25'],
    ['daily', '2026-11-24T18:14:59Z', 'Asia/Kathmandu', '2026-11-24'],
    ['daily', '2026-11-24T18:15:00Z', 'Asia/Kathmandu', '2026-11-25'],
    // Samoa went from 29 December straight to the 31st.
    ['daily', '2011-12-30T09:59:59Z', 'Pacific/Apia', '2011-12-29'],
    ['daily', '2011-12-30T10:00:00Z', 'Pacific/Apia', '2011-12-31'],
    // 2020 had a week 53, which took in the first days of 2021; 2026 has one that ends on 3 January 2027.
    ['weekly', '2021-01-03T12:00:00Z', 'UTC', '2020-W53'],
    ['weekly', '2021-01-04T12:00:00Z', 'UTC', '2021-W01'],
    ['weekly', '2027-01-03T12:00:00Z', 'UTC', '2026-W53'],
    ['weekly', '2024-12-30T12:00:00Z', 'UTC', '2025-W01'],
    ['weekly', '2026-11-22T23:30:00Z', 'Europe/Berlin', '2026-W48'],
    ['monthly', '2024-02-29T23:30:00Z', 'Europe/Berlin', '2024-03'],
    ['yearly', '2026-12-31T23:30:00Z', 'Europe/Berlin', '2027'],
    ['yearly', '2026-12-31T23:30:00Z', 'America/New_York', '2026'],
    ['daily', '-000001-03-01T00:00:00Z', 'UTC', '-000001-03-01'],
    ['monthly', '+010000-01-01T00:00:00Z', 'UTC', '+010000-01'],
  ] as const)('%s of %s in %s is %s', (tier, text, timeZone, expected) => {
    expect(key(tier, text, timeZone)).toBe(expected);
  });

  test.each([
    ['Europe/Berlin', ['2026-10-25T00:30:00Z', '2026-10-25T01:30:00Z'], ['2026-10-25T02+02:00', '2026-10-25T02+01:00']],
    ['America/New_York', ['2026-11-01T05:30:00Z', '2026-11-01T06:30:00Z'], ['2026-11-01T01-04:00', '2026-11-01T01-05:00']],
    // Half an hour back, at 02:00: 01:30 to 02:00 comes twice.
    ['Australia/Lord_Howe', ['2026-04-04T14:45:00Z', '2026-04-04T15:15:00Z'], ['2026-04-05T01+11:00', '2026-04-05T01+10:30']],
  ] as const)('of an hour that %s repeats is a slot of its own each time', (timeZone, instants, expected) => {
    expect(instants.map((text) => key('hourly', text, timeZone))).toEqual(expected);
    const [first, second] = instants.map((text) => slotOf('hourly', localTime(Date.parse(text), timeZone)).order);
    expect(second).toBeGreaterThan(first ?? Number.NaN);
  });

  test.each([
    ['Europe/Berlin', '2026-03-29', 23],
    ['Europe/Berlin', '2026-10-25', 25],
    ['America/New_York', '2026-03-08', 23],
    ['America/New_York', '2026-11-01', 25],
    ['Australia/Lord_Howe', '2026-10-04', 23.5],
    ['Australia/Lord_Howe', '2026-04-05', 24.5],
    ['Asia/Kathmandu', '2026-03-29', 24],
    ['Pacific/Apia', '2011-12-30', 0],
    // At 00:01 on the 7th the clock went back to 23:01 on the 6th: the 7th had begun, and so it lasts 25 hours.
    ['America/St_Johns', '2010-11-06', 24],
    ['America/St_Johns', '2010-11-07', 25],
  ])('of a day: in %s, %s lasts %d hours', (timeZone, date, hours) => {
    const day = Date.parse(date) / (24 * HOUR);
    expect((startOfDay(day + 1, timeZone) - startOfDay(day, timeZone)) / HOUR).toBe(hours);
  });

  test('is what Temporal says, in each tier and zone', () => {
    const tier = fc.constantFrom<Tier>('hourly', 'daily', 'weekly', 'monthly', 'yearly');
    fc.assert(
      fc.property(tier, instant, zone, (tier, instant, timeZone) => {
        const expected = slot(tier, instant, timeZone);
        expect(slotOf(tier, localTime(instant, timeZone)).key).toBe(expected.name);
      }),
      runs,
    );
  });

  test('exists for every instant that there is', () => {
    fc.assert(
      fc.property(extremeInstant, zone, (instant, timeZone) => {
        const local = localTime(instant, timeZone);
        const wall = Temporal.Instant.fromEpochMilliseconds(instant).toZonedDateTimeISO(timeZone);
        expect([local.hour, local.minute, local.offset]).toEqual([wall.hour, wall.minute, wall.offsetNanoseconds / 1_000_000]);
        expect(dateText(local.day)).toBe(slotOf('daily', local).key);
        expect(slotOf('daily', local).key).toContain(wall.toPlainDate().toString());
      }),
      runs,
    );
  });
});

describe('months back', () => {
  test.each([
    ['2026-03-31T01:00:00Z', 1, 'UTC', '2026-02-28T00:00:00Z'],
    ['2024-03-31T01:00:00Z', 1, 'UTC', '2024-02-29T00:00:00Z'],
    ['2024-02-29T23:00:00Z', 12, 'UTC', '2023-02-28T00:00:00Z'],
    ['2026-01-15T12:00:00Z', 13, 'Europe/Berlin', '2024-12-14T23:00:00Z'],
    ['2012-01-30T12:00:00Z', 1, 'Pacific/Apia', '2011-12-30T10:00:00Z'],
    // 00:00:30 on 7 November, and an hour later 23:01 on the 6th.
    ['2010-11-07T02:30:30Z', 1, 'America/St_Johns', '2010-10-07T02:30:00Z'],
    ['2010-11-07T02:31:30Z', 1, 'America/St_Johns', '2010-10-07T02:30:00Z'],
  ])('from %s, %d in %s reach to %s: the beginning of that day', (text, months, timeZone, expected) => {
    expect(new Date(monthsBefore(Date.parse(text), months, timeZone)).toISOString()).toBe(expected.replace('Z', '.000Z'));
  });

  test('reach further forward the later one looks, never back', () => {
    fc.assert(
      fc.property(
        extremeInstant,
        fc.oneof(fc.nat(2 * HOUR), fc.nat(40 * 24 * HOUR)),
        fc.integer({ min: 1, max: 1200 }),
        zone,
        (instant, later, months, timeZone) => {
          const next = Math.min(instant + later, 8.64e15);
          expect(monthsBefore(next, months, timeZone)).toBeGreaterThanOrEqual(monthsBefore(instant, months, timeZone));
          expect(isInstant(monthsBefore(instant, months, timeZone))).toBe(true);
        },
      ),
      runs,
    );
  });
});

test('an instant is shown with its offset', () => {
  expect(instantText(Date.parse('2026-11-25T01:02:03Z'), 'Europe/Berlin')).toBe('2026-11-25 02:02 +01:00');
  expect(instantText(Date.parse('1880-01-01T00:00:00Z'), 'Europe/Berlin')).toBe('1880-01-01 00:53 +00:53:28');
  expect(instantText(Date.parse('2026-11-25T01:02:03Z'), 'America/St_Johns')).toBe('2026-11-24 21:32 -03:30');
});

test('a zone that does not exist is an error, not another zone', () => {
  expect(() => localTime(0, 'Europe/Berlni')).toThrow(RangeError);
});
