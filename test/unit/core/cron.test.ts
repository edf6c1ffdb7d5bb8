import { describe, expect, it } from 'vitest';
import { parseCron } from '../../../src/core/cron.ts';

const problems = (text: string) => {
  const cron = parseCron(text);
  return 'problems' in cron ? cron.problems : [];
};

describe('a schedule', () => {
  it('is read with numbers, names, ranges, steps and lists', () => {
    expect(parseCron(' 0,30 2-4  1-31/10 Jan,MARCH mon-fri ')).toEqual({
      text: '0,30 2-4  1-31/10 Jan,MARCH mon-fri',
      minutes: [0, 30],
      hours: [2, 3, 4],
      daysOfMonth: [1, 11, 21, 31],
      lastDayOfMonth: false,
      months: [1, 3],
      weekdays: [1, 2, 3, 4, 5],
      nthWeekdays: [],
      eitherDay: true,
    });
  });

  it('may name the last day of a month, or the first Sunday', () => {
    expect(parseCron('0 4 L * *')).toMatchObject({ daysOfMonth: [], lastDayOfMonth: true, eitherDay: false });
    expect(parseCron('0 4 * * Sun#1,7#3')).toMatchObject({
      weekdays: [],
      nthWeekdays: [
        { weekday: 0, nth: 1 },
        { weekday: 0, nth: 3 },
      ],
    });
  });

  it('counts Sunday as 0 and as 7, and goes over the end of a range', () => {
    expect(parseCron('0 0 * * 7')).toMatchObject({ weekdays: [0] });
    expect(parseCron('0 0 * * fri-mon')).toMatchObject({ weekdays: [0, 1, 5, 6] });
    expect(parseCron('0 22-2 * * *')).toMatchObject({ hours: [0, 1, 2, 22, 23] });
  });

  it.each([
    ['@daily', { minutes: [0], hours: [0], eitherDay: false }],
    ['@Monthly', { minutes: [0], hours: [0], daysOfMonth: [1], eitherDay: false }],
    ['@weekly', { weekdays: [0], eitherDay: false }],
  ])('may be %s', (text, expected) => {
    expect(parseCron(text)).toMatchObject(expected);
  });

  it('means days that fit either field when both say something', () => {
    expect(parseCron('0 0 13 * fri')).toMatchObject({ eitherDay: true });
    expect(parseCron('0 0 */2 * fri')).toMatchObject({ eitherDay: false });
    expect(parseCron('0 0 13 * *')).toMatchObject({ eitherDay: false });
  });
});

describe('a schedule that is wrong is refused in words', () => {
  it.each([
    ['', '"" has 1 of the five fields (minute, hour, day of month, month, day of week)'],
    ['0 0 2 * * *', '"0 0 2 * * *" has 6 of the five fields (minute, hour, day of month, month, day of week)'],
    ['60 2 * * *', 'minute: "60" is not from 0 to 59'],
    ['0 24 * * *', 'hour: "24" is not from 0 to 23'],
    ['0 2 0 * *', 'day of month: "0" is not from 1 to 31'],
    ['0 2 * janfeb *', 'month: "janfeb" is not from 1 to 12, or a name such as dec'],
    ['0 2 * * funday', 'day of week: "funday" is not from 0 to 7, or a name such as sat'],
    ['0 2 * * foo#1', 'day of week: "foo#1" is no number, range (1-5), step (*/2) or list (1,3)'],
    ['2* 2 * * *', 'minute: "2*" is no number, range (1-5), step (*/2) or list (1,3)'],
    ['0 2, * * *', 'hour: there is nothing before or after a comma'],
    ['0 2- * * *', 'hour: "2-" is no number, range (1-5), step (*/2) or list (1,3)'],
    ['*/0 2 * * *', 'minute: a step is a number from 1, not "0"'],
    ['*/90 2 * * *', 'minute: a step of 90 leads out of 0 to 59'],
    ['5/15 2 * * *', 'minute: "5/15" has a step and no range; write 5-59/15'],
    ['0 2 ? * *', 'day of month: "?" is no number, range (1-5), step (*/2) or list (1,3)'],
    ['0 2 L-3 * *', 'day of month: "l" is not from 1 to 31'],
    ['0 2 30 2 *', 'no month that is meant has a day 30: "30 2" is never due'],
    ['0 2 31 apr,jun *', 'no month that is meant has a day 31: "31 apr,jun" is never due'],
    ['@reboot', '"@reboot" is none of @yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly'],
    ['@every 5m', '"@every 5m" is none of'],
    ['nightly', '"nightly" has 1 of the five fields'],
  ])('%s', (text, expected) => {
    expect(problems(text).map((one) => one.toLowerCase())).toEqual([expect.stringContaining(expected.toLowerCase())]);
  });

  it('with everything that is wrong at once', () => {
    expect(problems('61 25 * * mon,xyz')).toHaveLength(3);
  });
});
