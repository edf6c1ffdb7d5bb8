import fc from 'fast-check';
import { Temporal } from 'temporal-polyfill';
import { describe, expect, it } from 'vitest';
import { dueBetween, lastDue, nextDue } from '../../../src/daemon/schedule.ts';
import { at, changesOf, clockReadings, cronOf, dueByTheClock, instant, ms, zones } from './wall-clock.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

/** As a person there reads it: `2026-03-29T03:00+02:00`. */
const due = (text: string, zone: string, from: string, to: string) =>
  dueBetween(cronOf(text), zone, instant(from), instant(to), 100).map((one) =>
    one.toZonedDateTimeISO(zone).toString({ smallestUnit: 'minute', timeZoneName: 'never' }),
  );

describe('a job at a certain time', () => {
  it.each([
    // Germany: 02:00 to 03:00 is skipped in March and comes twice in October.
    ['30 2 * * *', 'Europe/Berlin', '2026-03-28T12:00Z', '2026-03-30T12:00Z', ['2026-03-29T03:00+02:00', '2026-03-30T02:30+02:00']],
    ['30 2 * * *', 'Europe/Berlin', '2026-10-24T12:00Z', '2026-10-26T12:00Z', ['2026-10-25T02:30+02:00', '2026-10-26T02:30+01:00']],
    ['0 2 * * *', 'Europe/Berlin', '2026-03-28T12:00Z', '2026-03-29T12:00Z', ['2026-03-29T03:00+02:00']],
    ['0 3 * * *', 'Europe/Berlin', '2026-10-24T12:00Z', '2026-10-25T12:00Z', ['2026-10-25T03:00+01:00']],
    // What is skipped together is due together, also with what is due then anyway.
    ['0,20,40 2,3 * * *', 'Europe/Berlin', '2026-03-29T00:00Z', '2026-03-29T01:19Z', ['2026-03-29T03:00+02:00']],
    // Lord Howe moves by half an hour.
    ['15 2 * * *', 'Australia/Lord_Howe', '2026-10-03T12:00Z', '2026-10-04T12:00Z', ['2026-10-04T02:30+11:00']],
    ['45 1 * * *', 'Australia/Lord_Howe', '2026-04-04T12:00Z', '2026-04-05T12:00Z', ['2026-04-05T01:45+11:00']],
    // Brazil skipped midnight.
    ['0 0 * * *', 'America/Sao_Paulo', '2018-11-03T12:00Z', '2018-11-04T12:00Z', ['2018-11-04T01:00-02:00']],
    ['0 0 4 11 *', 'America/Sao_Paulo', '2018-11-03T12:00Z', '2018-11-06T12:00Z', ['2018-11-04T01:00-02:00']],
    // Samoa went from the 29th to the 31st: the 30th's is due as soon as it cannot come any more.
    [
      '0 2 * * *',
      'Pacific/Apia',
      '2011-12-29T14:00Z',
      '2012-01-01T00:00Z',
      ['2011-12-31T00:00+14:00', '2011-12-31T02:00+14:00', '2012-01-01T02:00+14:00'],
    ],
    ['0 4 30 * *', 'Pacific/Apia', '2011-12-01T00:00Z', '2012-01-15T00:00Z', ['2011-12-31T00:00+14:00']],
    // St. John's went back from 00:01 to 23:01 of the day before.
    ['0 0 * * *', 'America/St_Johns', '2010-11-06T12:00Z', '2010-11-07T12:00Z', ['2010-11-07T00:00-02:30']],
    ['30 23 6 11 *', 'America/St_Johns', '2010-11-06T12:00Z', '2010-11-07T12:00Z', ['2010-11-06T23:30-02:30']],
  ] as const)('%s in %s is due once on each day, whatever the clock does (from %s)', (cron, zone, from, to, expected) => {
    expect(due(cron, zone, from, to)).toEqual(expected);
  });

  it('on the last day of a month, the first Sunday, or a day that either field names', () => {
    expect(due('0 4 L * *', 'UTC', '2028-01-01T00:00Z', '2028-04-01T00:00Z').map((one) => one.slice(5, 10))).toEqual([
      '01-31',
      '02-29',
      '03-31',
    ]);
    expect(due('0 4 * * sun#1', 'UTC', '2026-01-01T00:00Z', '2026-04-01T00:00Z').map((one) => one.slice(5, 10))).toEqual([
      '01-04',
      '02-01',
      '03-01',
    ]);
    expect(due('0 4 13 * fri', 'UTC', '2026-02-01T00:00Z', '2026-02-28T00:00Z').map((one) => one.slice(8, 10))).toEqual([
      '06',
      '13',
      '20',
      '27',
    ]);
    expect(due('0 4 */2 * fri', 'UTC', '2026-02-01T00:00Z', '2026-02-28T00:00Z').map((one) => one.slice(8, 10))).toEqual(['13', '27']);
  });

  it('on 29 February comes even over the year 2100, which has none', () => {
    expect(nextDue(cronOf('0 0 29 2 *'), 'UTC', instant('2096-03-01T00:00Z'))).toEqual(instant('2104-02-29T00:00Z'));
    expect(lastDue(cronOf('0 0 29 2 *'), 'UTC', instant('2104-02-28T00:00Z'))).toEqual(instant('2096-02-29T00:00Z'));
  });
});

describe('a job in every hour', () => {
  it.each([
    ['*/15 * * * *', 'Europe/Berlin', '2026-03-29T00:30Z', '2026-03-29T01:30Z', 4],
    ['*/15 * * * *', 'Europe/Berlin', '2026-10-24T23:00Z', '2026-10-25T03:00Z', 16],
    ['*/15 * * * *', 'Pacific/Chatham', '2026-04-04T10:00Z', '2026-04-04T18:00Z', 32],
    ['@hourly', 'America/New_York', '2026-11-01T03:00Z', '2026-11-01T09:00Z', 6],
    ['30 * * * *', 'Asia/Kathmandu', '2026-01-01T00:00Z', '2026-01-02T00:00Z', 24],
    ['30 * 6 11 *', 'America/St_Johns', '2010-11-06T12:00Z', '2010-11-08T12:00Z', 15],
  ] as const)('%s in %s is due by the time that passes (from %s)', (cron, zone, from, to, count) => {
    const all = due(cron, zone, from, to);
    expect(all).toHaveLength(count);
  });

  it('leaves out a day that there was not', () => {
    expect(due('0 * 30 12 *', 'Pacific/Apia', '2011-12-28T00:00Z', '2012-01-02T00:00Z')).toEqual([]);
  });
});

const expressions = [
  '0 2 * * *',
  '30 2 * * *',
  '0 0 * * *',
  '10,50 1-3 * * *',
  '*/15 * * * *',
  '@hourly',
  '5 */6 * * *',
  '0 4 1 * *',
  '0 5 1 1,4,7,10 *',
  '15 23 L * sun#1',
  '*/10 2 * * sat,sun',
];

describe.each(zones)('two years in %s', (zone) => {
  const from =
    zone === 'Pacific/Apia' ? '2011-01-01T12:00:00Z' : zone === 'America/Sao_Paulo' ? '2017-06-01T12:00:00Z' : '2026-01-01T12:00:00Z';
  const start = ms(from);
  const end = start + 730 * DAY_MS;
  const changes = changesOf(zone, start, end);

  it('every job is due when the clock on the wall says so: around each change minute by minute', () => {
    for (const change of [start + 40 * DAY_MS, ...changes]) {
      const [first, last] = [change - 26 * HOUR_MS, change + 30 * HOUR_MS];
      const shown = clockReadings(zone, first, last);
      for (const text of expressions) {
        const cron = cronOf(text);
        const found = dueBetween(cron, zone, at(first), at(last), 10_000).map((one) => one.epochMilliseconds);
        expect(found, text).toEqual(dueByTheClock(cron, shown));
      }
    }
  });

  it('a daily job is due once on every day there was, in order, and what is last is what was next', () => {
    const cron = cronOf('30 2 * * *');
    const all = dueBetween(cron, zone, at(start), at(end), 10_000);
    const days = all.map((one) => one.toZonedDateTimeISO(zone).toPlainDate().toString());
    expect(all).toHaveLength(730 + (zone === 'Pacific/Apia' ? 1 : 0));
    // Samoa's 31 December 2011 stands for the 30th, too.
    expect(days.length - new Set(days).size).toBe(zone === 'Pacific/Apia' ? 1 : 0);
    for (const [index, one] of all.entries()) {
      if (index % 30 !== 0) continue;
      expect(lastDue(cron, zone, one)).toEqual(one);
      expect(lastDue(cron, zone, one.subtract({ nanoseconds: 1 }))).toEqual(index === 0 ? lastDue(cron, zone, at(start)) : all[index - 1]);
    }
  });
});

describe('whatever the expression and the zone', () => {
  const number = (least: number, most: number) =>
    fc.oneof(
      fc.constant('*'),
      fc.integer({ min: least, max: most }).map(String),
      fc.uniqueArray(fc.integer({ min: least, max: most }), { minLength: 1, maxLength: 3 }).map((list) => list.join(',')),
      fc.integer({ min: 2, max: 5 }).map((step) => `*/${step}`),
    );
  const expression = fc
    .tuple(number(0, 59), number(0, 23), fc.oneof(number(1, 28), fc.constant('L')), fc.constantFrom('*', '*/2', '3,10'), number(0, 6))
    .map((parts) => parts.join(' '));
  const moment = fc
    .tuple(fc.constantFrom(...zones), fc.integer({ min: ms('2010-01-01T00:00:00Z') / 60_000, max: ms('2030-01-01T00:00:00Z') / 60_000 }))
    .map(([zone, minutes]) => ({ zone, from: minutes * 60_000 }));

  it('what is due is what the slow look at the clock finds, and the last is the last of it', () => {
    fc.assert(
      fc.property(expression, moment, (text, { zone, from }) => {
        const cron = cronOf(text);
        // Away from a repeated hour, as the slow look wants to begin.
        fc.pre(changesOf(zone, from - 4 * HOUR_MS, from).length === 0);
        const to = from + 36 * HOUR_MS;
        const slow = dueByTheClock(cron, clockReadings(zone, from, to));
        expect(dueBetween(cron, zone, at(from), at(to), 10_000).map((one) => one.epochMilliseconds)).toEqual(slow);
        const last = slow.at(-1);
        if (last !== undefined) expect(lastDue(cron, zone, at(to))?.epochMilliseconds).toBe(last);
      }),
      { numRuns: 60 },
    );
  });

  it('the next is later, and nothing lies between the last and the next', () => {
    fc.assert(
      fc.property(expression, moment, (text, { zone, from }) => {
        const cron = cronOf(text);
        const next = nextDue(cron, zone, at(from));
        const last = lastDue(cron, zone, at(from));
        if (next !== undefined) expect(Temporal.Instant.compare(next, at(from))).toBe(1);
        if (last !== undefined) {
          expect(Temporal.Instant.compare(last, at(from))).toBeLessThan(1);
          expect(nextDue(cron, zone, last)).toEqual(next);
        }
      }),
      { numRuns: 80 },
    );
  });
});
