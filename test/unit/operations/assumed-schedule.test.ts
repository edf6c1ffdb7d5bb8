import { describe, expect, it } from 'vitest';
import type { RecoveryPoint } from '../../../retention/points.ts';
import { assumeSchedule, occurrences, scheduleText } from '../../../src/operations/assumed-schedule.ts';
import type { DatabaseSurvey } from '../../../src/operations/retention.ts';

const backups = (...instants: string[]): RecoveryPoint[] =>
  instants.map((text) => ({ id: text, database: 'shop', instant: Date.parse(text), state: 'ok', proof: 'unproven', bytes: 1 }));

/** What is assumed, and the next three. */
function expectNext(
  points: RecoveryPoint[],
  now: string,
  timeZone = 'UTC',
  history: DatabaseSurvey['history'] = [],
): { words: string; next: string[] } {
  const at = Date.parse(now);
  const schedule = assumeSchedule({ points, history }, { now: at, timeZone });
  const next = occurrences(schedule, { after: at, until: at + 400 * 86_400_000, timeZone, most: 3 });
  return { words: scheduleText(schedule, timeZone), next: next.map((instant) => new Date(instant).toISOString().slice(0, 16)) };
}

describe('the schedule that is assumed', () => {
  it('of nightly backups is one a day at their median time, also where one was late and one was extra', () => {
    const points = backups(
      '2026-11-16T02:00:04Z',
      '2026-11-17T02:00:07Z',
      '2026-11-17T15:30:00Z',
      '2026-11-18T02:00:05Z',
      '2026-11-19T04:40:00Z',
      '2026-11-20T02:00:03Z',
    );
    expect(expectNext(points, '2026-11-20T12:00:00Z')).toEqual({
      words: 'a backup a day at 02:00 (UTC), as the last 6 were',
      next: ['2026-11-21T02:00', '2026-11-22T02:00', '2026-11-23T02:00'],
    });
  });

  it('keeps to the clock on the wall where clocks are changed', () => {
    const points = backups('2026-10-21T00:00:00Z', '2026-10-22T00:00:00Z', '2026-10-23T00:00:00Z');
    // 02:00 in Berlin; on the 25th the clock goes back at 03:00.
    expect(expectNext(points, '2026-10-23T12:00:00Z', 'Europe/Berlin').next).toEqual([
      '2026-10-24T00:00',
      '2026-10-25T00:00',
      '2026-10-26T01:00',
    ]);
  });

  it('around midnight does not land at noon', () => {
    const points = backups('2026-11-17T23:58:00Z', '2026-11-19T00:02:00Z', '2026-11-19T23:58:00Z');
    expect(expectNext(points, '2026-11-20T12:00:00Z').words).toContain('at 23:58');
  });

  it('of weekly backups is every seven days', () => {
    const points = backups('2026-11-01T03:00:00Z', '2026-11-08T03:00:00Z', '2026-11-15T03:00:00Z');
    expect(expectNext(points, '2026-11-20T12:00:00Z')).toEqual({
      words: 'a backup every 7 days at 03:00 (UTC), as the last 3 were',
      next: ['2026-11-22T03:00', '2026-11-29T03:00', '2026-12-06T03:00'],
    });
  });

  it('of several a day is an interval', () => {
    const points = backups('2026-11-19T20:00:20Z', '2026-11-20T02:00:00Z', '2026-11-20T08:00:00Z');
    expect(expectNext(points, '2026-11-20T12:00:00Z')).toEqual({
      words: 'a backup every 6 hours, as the last 3 were',
      next: ['2026-11-20T14:00', '2026-11-20T20:00', '2026-11-21T02:00'],
    });
  });

  it('is not due again on a day whose backup came a little early', () => {
    const points = backups('2026-11-18T02:00:00Z', '2026-11-19T02:00:00Z', '2026-11-20T01:50:00Z');
    expect(expectNext(points, '2026-11-20T01:55:00Z').next[0]).toBe('2026-11-21T02:00');
  });

  it('counts also those that retention has let go: what is left of nightly backups may look weekly', () => {
    const left = backups('2026-11-01T02:00:00Z', '2026-11-08T02:00:00Z', '2026-11-15T02:00:00Z', '2026-11-20T02:00:00Z');
    const made = Array.from({ length: 14 }, (_, day) => `2026-11-${String(day + 7).padStart(2, '0')}T02:00:00Z`);
    expect(expectNext(left, '2026-11-20T12:00:00Z').words).toContain('every 7 days');
    const history = made.map((id) => ({ id, instant: Date.parse(id) + 5000 }));
    expect(expectNext(left, '2026-11-20T12:00:00Z', 'UTC', history)).toMatchObject({
      words: 'a backup a day at 02:00 (UTC), as the last 14 were',
    });
  });

  it('goes on in step after an outage, and does not make up for what was missed', () => {
    const points = backups('2026-10-01T02:00:00Z', '2026-10-02T02:00:00Z', '2026-10-03T02:00:00Z');
    expect(expectNext(points, '2026-11-20T12:00:00Z').next[0]).toBe('2026-11-21T02:00');
  });

  it('looks at no more than the last fourteen: what was once hourly is nightly now', () => {
    const hourly = Array.from({ length: 24 }, (_, hour) => `2026-11-01T${String(hour).padStart(2, '0')}:00:00Z`);
    const nightly = Array.from({ length: 14 }, (_, day) => `2026-11-${String(day + 5).padStart(2, '0')}T02:00:00Z`);
    expect(expectNext(backups(...hourly, ...nightly), '2026-11-20T12:00:00Z').words).toContain('a backup a day at 02:00');
  });

  it('of one backup, or of none, is one a day, and says that it is a guess', () => {
    expect(expectNext(backups('2026-11-20T05:30:00Z'), '2026-11-20T12:00:00Z')).toEqual({
      words: 'a backup a day at 05:30 (UTC), for there are too few to go by',
      next: ['2026-11-21T05:30', '2026-11-22T05:30', '2026-11-23T05:30'],
    });
    expect(expectNext([], '2026-11-20T01:00:00Z').next[0]).toBe('2026-11-20T02:00');
  });

  it('counts nothing that is dated in the future or cannot be read', () => {
    const points = backups('2026-11-19T02:00:00Z', '2026-11-20T02:00:00Z', '2031-01-01T00:00:00Z');
    const unreadable = backups('2026-11-20T02:05:00Z').map((one) => ({ ...one, state: 'unreadable' as const }));
    expect(expectNext([...points, ...unreadable], '2026-11-20T12:00:00Z').words).toBe('a backup a day at 02:00 (UTC), as the last 2 were');
  });
});
