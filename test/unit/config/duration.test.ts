import { describe, expect, it } from 'vitest';
import { isTimeZone, parseDuration, parseMilliseconds } from '../../../src/config/duration.ts';

describe('a duration', () => {
  it.each([
    ['500ms', 500],
    ['10s', 10_000],
    ['5m', 300_000],
    ['26h', 93_600_000],
    ['30d', 2_592_000_000],
    ['2w', 1_209_600_000],
  ])('%s is %d ms', (text, ms) => expect(parseMilliseconds(text)).toBe(ms));

  it.each(['', '10', 's', '-1s', '1.5h', '10 parsecs', '1h30m', '9999999999s'])('"%s" is refused', (text) =>
    expect(parseDuration(text)).toBeUndefined(),
  );

  it('in months has no length in milliseconds', () => {
    expect(parseDuration('13mo')?.months).toBe(13);
    expect(parseMilliseconds('13mo')).toBeUndefined();
  });
});

describe('a time zone', () => {
  it.each(['UTC', 'Europe/Berlin', 'America/Argentina/Buenos_Aires'])('%s is known', (name) => expect(isTimeZone(name)).toBe(true));
  it.each(['Europe/Berlni', '', '+02:00', 'local'])('"%s" is refused', (name) => expect(isTimeZone(name)).toBe(false));
});
