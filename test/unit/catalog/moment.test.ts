import fc from 'fast-check';
import { Temporal } from 'temporal-polyfill';
import { describe, expect, test } from 'vitest';
import { parseMoment } from '../../../src/catalog/moment.ts';

const now = Temporal.Instant.from('2026-11-23T06:30:00Z');
const berlin = { timeZone: 'Europe/Berlin', now };

function instantOf(text: string, context = berlin): string {
  const moment = parseMoment(text, context);
  if (moment.kind !== 'at-or-before') throw new Error(moment.kind);
  return moment.instant.toString();
}

describe('WHEN', () => {
  test('latest and an id are taken as they are', () => {
    expect(parseMoment('latest', berlin)).toEqual({ kind: 'latest' });
    expect(parseMoment('20261120T020000Z-k3f9qa', berlin)).toEqual({ kind: 'id', id: '20261120T020000Z-k3f9qa' });
  });

  test('a bare date means its end in the configured zone', () => {
    expect(instantOf('2026-11-20')).toBe('2026-11-20T22:59:59.999999999Z');
    expect(instantOf('2026-11-20', { timeZone: 'Pacific/Apia', now })).toBe('2026-11-20T10:59:59.999999999Z');
  });

  test('a date that the zone skipped ends where it would have begun', () => {
    expect(instantOf('2011-12-30', { timeZone: 'Pacific/Apia', now })).toBe('2011-12-30T09:59:59.999999999Z');
  });

  test('yesterday and today are days of the configured zone, not of UTC', () => {
    const late = { timeZone: 'Europe/Berlin', now: Temporal.Instant.from('2026-11-22T23:30:00Z') };
    expect(instantOf('yesterday', late)).toBe('2026-11-22T22:59:59.999999999Z');
    expect(instantOf('today', late)).toBe('2026-11-23T22:59:59.999999999Z');
  });

  test('a local time is read in the configured zone, an offset or a zone of its own wins', () => {
    expect(instantOf('2026-11-20T14:00')).toBe('2026-11-20T13:00:00Z');
    expect(instantOf('2026-11-20 14:00:30')).toBe('2026-11-20T13:00:30Z');
    expect(instantOf('2026-11-20T14:00Z')).toBe('2026-11-20T14:00:00Z');
    expect(instantOf('2026-11-20T14:00-05:00')).toBe('2026-11-20T19:00:00Z');
    expect(instantOf('2026-11-20T14:00[America/New_York]')).toBe('2026-11-20T19:00:00Z');
  });

  test('a local time that a clock change repeats or skips is refused with both readings', () => {
    const hint = (text: string) => {
      try {
        parseMoment(text, berlin);
      } catch (error) {
        return error;
      }
      return undefined;
    };
    expect(hint('2026-10-25T02:30')).toMatchObject({ code: 'usage', hint: expect.stringContaining('2026-10-25T02:30:00+02:00') });
    expect(hint('2026-10-25T02:30')).toMatchObject({ hint: expect.stringContaining('2026-10-25T02:30:00+01:00') });
    expect(hint('2026-03-29T02:30')).toMatchObject({ code: 'usage' });
  });

  test.each(['', 'never', '2026-13-01', '2026-02-30', '2026-11-20T25:00', '20261120', '2026-11-20T14:00[Mars/Base]', '11/20/2026'])(
    '%j is refused with the forms that are understood',
    (text) => {
      expect(() => parseMoment(text, berlin)).toThrowError(
        expect.objectContaining({ code: 'usage', hint: expect.stringContaining('latest') }),
      );
    },
  );

  test('any instant written with an offset comes back exactly', () => {
    fc.assert(
      fc.property(
        fc.date({ min: new Date('1990-01-01'), max: new Date('2090-01-01'), noInvalidDate: true }),
        fc.constantFrom('UTC', 'Asia/Kathmandu', 'Australia/Lord_Howe', 'America/New_York'),
        (date, zone) => {
          const instant = Temporal.Instant.fromEpochMilliseconds(Math.floor(date.getTime() / 60_000) * 60_000);
          const text = instant.toZonedDateTimeISO(zone).toString({ timeZoneName: 'never' });
          expect(instantOf(text)).toBe(instant.toString());
        },
      ),
    );
  });
});
