import { describe, expect, it } from 'vitest';
import { calendarText, type DayMark, markOf, stronger } from '../../../src/cli/retention-calendar.ts';
import { colorsFor } from '../../../src/cli/text.ts';

const plain = colorsFor({}, { NO_COLOR: '1' });
const colored = colorsFor({}, { FORCE_COLOR: '1' });
// biome-ignore lint/suspicious/noControlCharactersInRegex: colours are control characters.
const uncolored = (text: string) => text.replaceAll(/\u001b\[\d+m/g, '');

const days = new Map<string, DayMark>([
  ['2028-01-31', 'monthly'],
  ['2028-02-01', 'gone'],
  ['2028-02-27', 'weekly'],
  ['2028-02-28', 'daily'],
  ['2028-02-29', 'pinned'],
]);
const calendar = { from: '2028-01', to: '2028-03', days, notes: new Map([['2028-02', '3 kept, 3 GiB']]) };

describe('the calendar', () => {
  it('has a row for each month and a cell for each day, and says what the letters mean', () => {
    const gap = (cells: number) => '  '.repeat(cells);
    expect(calendarText(calendar, plain).split('\n')).toEqual([
      '         1       5         10        15        20        25        30',
      `2028-01  ${gap(30)}M`,
      `2028-02  · ${gap(25)}W D P${gap(2)}  3 kept, 3 GiB`,
      '2028-03',
      'P pinned   M monthly   W weekly   D daily   · made, and gone by then',
    ]);
  });

  it('says the same with colours as without', () => {
    expect(calendarText(calendar, colored)).toContain('\u001b[');
    expect(uncolored(calendarText(calendar, colored))).toBe(calendarText(calendar, plain));
  });

  it('of thirteen months with notes is at most 100 columns wide', () => {
    const notes = new Map([['2028-01', '1,024 kept, 1023.9 GiB']]);
    for (const line of calendarText({ from: '2028-01', to: '2029-01', days, notes }, plain).split('\n')) {
      expect(line.length).toBeLessThanOrEqual(100);
    }
  });

  it('puts each day of a leap February into its column', () => {
    const row = calendarText(calendar, plain).split('\n')[2] ?? '';
    expect(row.indexOf('P')).toBe(9 + 2 * 28);
  });
});

describe('a day', () => {
  const tier = (name: 'daily' | 'monthly') => ({ kind: 'tier', tier: name, slot: 's', place: 1, of: 1 }) as const;

  it('shows the longest-lived tier that keeps its backup, and a pin before any', () => {
    expect(markOf([tier('daily'), tier('monthly')])).toBe('monthly');
    expect(markOf([{ kind: 'pin', reason: 'x', until: undefined }, tier('monthly')])).toBe('pinned');
    expect(markOf([{ kind: 'newest' }])).toBe('otherwise');
  });

  it('with several backups shows the longest-lived of them', () => {
    expect(stronger('gone', 'weekly')).toBe('weekly');
    expect(stronger('weekly', 'gone')).toBe('weekly');
    expect(stronger('daily', undefined)).toBe('daily');
  });
});
