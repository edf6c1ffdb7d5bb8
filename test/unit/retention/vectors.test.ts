import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { expect, test } from 'vitest';
import * as z from 'zod';
import { planRetention } from '../../../retention/plan.ts';
import type { RecoveryPoint } from '../../../retention/points.ts';
import { RetentionPolicySchema, resolvePolicy } from '../../../retention/policy.ts';
import type { Reason } from '../../../retention/reasons.ts';
import { referenceKeep } from './reference.ts';

/*
 * Each vector is held against three things that do not come from each other: the planner, with every reason; the slow
 * second planner of reference.ts; and the table below, which a person worked out with a calendar.
 */

const folder = path.resolve(import.meta.dirname, '../../../retention/vectors');

const ReasonsSchema = z.record(z.string(), z.array(z.string()).min(1));
const VectorSchema = z.strictObject({
  title: z.string(),
  points: z.array(z.union([z.string(), z.strictObject({ at: z.string(), proof: z.enum(['proven', 'failed', 'unproven']) })])),
  plans: z.array(
    z.strictObject({
      title: z.string(),
      timeZone: z.string(),
      now: z.iso.datetime(),
      policy: RetentionPolicySchema,
      without: z.array(z.string()).default([]),
      keep: ReasonsSchema,
      expire: ReasonsSchema,
    }),
  ),
});
type Vector = z.output<typeof VectorSchema>;

async function readVector(name: string): Promise<Vector> {
  return VectorSchema.parse(JSON.parse(await readFile(path.join(folder, `${name}.json`), 'utf8')));
}

function pointsOf(vector: Vector, without: readonly string[]): RecoveryPoint[] {
  return vector.points
    .map((entry) => (typeof entry === 'string' ? { at: entry, proof: 'unproven' as const } : entry))
    .filter(({ at }) => !without.includes(at))
    .map(({ at, proof }) => ({ id: at, database: 'shop', instant: Date.parse(at), state: 'ok', proof, bytes: 1 }));
}

function brief(reason: Reason): string {
  switch (reason.kind) {
    case 'tier':
      return `${reason.tier} ${reason.slot} ${reason.place}/${reason.of}`;
    case 'superseded':
      return `${reason.tier} ${reason.slot} by ${reason.by} (${reason.because})`;
    case 'beyond':
      return `${reason.tier} ${reason.slot} beyond ${reason.oldestKeptSlot}`;
    case 'keep-within':
    case 'outside-within':
      return `${reason.kind} ${reason.within} since ${new Date(reason.since).toISOString()}`;
    default:
      return reason.kind;
  }
}

/** `2026-11-24..30` is seven days; each of them at `time`. */
function days(text: string, time: string): string[] {
  return text.split(' ').flatMap((part) => {
    const [first = '', last] = part.split('..');
    const from = Number(first.slice(-2));
    return Array.from({ length: last === undefined ? 1 : Number(last) - from + 1 }, (_, index) => {
      return `${first.slice(0, -2)}${String(from + index).padStart(2, '0')}T${time}:00Z`;
    });
  });
}

/** Per vector and plan what stays, worked out by hand. */
const byHand: Record<string, readonly (readonly string[])[]> = (() => {
  // Berlin is an hour ahead of UTC in winter and two in summer: 02:00 there is 01:00Z or 00:00Z, and 03:00 on 29 March.
  // November ends on a Monday: week 49 has that day alone, week 48 ends on the 29th, 47 on the 22nd, 46 on the 15th.
  const thirteenMonths = [
    ...days('2025-12-31 2026-01-31 2026-02-28', '01:00'),
    ...days('2026-03-31 2026-04-30 2026-05-31 2026-06-30 2026-07-31 2026-08-31 2026-09-30', '00:00'),
    ...days('2026-10-31 2026-11-15 2026-11-22 2026-11-24..30', '01:00'),
  ];
  return {
    'thirteen-months-daily': [thirteenMonths, thirteenMonths],
    'three-week-outage': [
      // 31 October is a Saturday: weeks 44 to 41 end, as far as there are backups, on the 31st, 25th, 18th and 11th.
      days('2026-09-30 2026-10-11 2026-10-18 2026-10-25..31', '02:00'),
      // 22 November is the Sunday of week 47. Weeks 45 and 46 hold nothing and count for nothing; week 41 falls out,
      // and of the days the 25th, which week 43 still holds.
      days('2026-09-30 2026-10-18 2026-10-25..31 2026-11-22', '02:00'),
    ],
    'two-a-day': [
      // 9 November is a Monday, and its morning was proven: it stands for its day and for week 46.
      [...days('2026-11-08', '14:00'), ...days('2026-11-09', '02:00'), ...days('2026-11-10..14', '14:00')],
    ],
    'moved-time-zone': [
      // In Berlin 23:30Z is already the next day, so noon is the last of each day, and 1 December has begun.
      [...days('2026-11-29..30', '12:00'), ...days('2026-11-30', '23:30')],
      // In New York 23:30Z is half past six in the evening, the last of its day.
      days('2026-11-28..30', '23:30'),
      // Moved with what Berlin kept: both of the 30th are of one day there.
      [...days('2026-11-29', '12:00'), ...days('2026-11-30', '23:30')],
    ],
    // The clock goes from 02:00 to 03:00 at 01:00Z: the hours are 04, 03, 01 and 00, and 23:00 of the day before.
    'summer-time-berlin-begins': [
      [
        ...days('2026-03-28', '22:45'),
        ...days('2026-03-28', '23:45'),
        ...days('2026-03-29', '00:45'),
        ...days('2026-03-29', '01:45'),
        ...days('2026-03-29', '02:45'),
      ],
    ],
    // 02:00 comes twice, from 00:00Z and from 01:00Z; the hours are 03, 02, 02 and 01.
    'summer-time-berlin-ends': [
      [
        ...days('2026-10-24', '21:45'),
        ...days('2026-10-24', '23:45'),
        ...days('2026-10-25', '00:45'),
        ...days('2026-10-25', '01:45'),
        ...days('2026-10-25', '02:45'),
      ],
    ],
    // 02:00 to 03:00 at 07:00Z; midnight was at 05:00Z.
    'summer-time-new-york-begins': [['04:45', '05:45', '06:45', '07:45', '08:45'].flatMap((time) => days('2026-03-08', time))],
    // 01:00 comes twice, from 05:00Z and from 06:00Z; midnight was at 04:00Z.
    'summer-time-new-york-ends': [['03:45', '04:45', '05:45', '06:45', '07:45'].flatMap((time) => days('2026-11-01', time))],
    // 02:00 to 02:30 at 15:30Z: 15:10Z is 01:40, 15:40Z is 02:40; 13:10Z is the last of 3 October, at 23:40.
    'summer-time-lord-howe-begins': [['13:10', '14:10', '15:10', '15:40', '16:40', '17:10'].flatMap((time) => days('2026-10-03', time))],
    // 02:00 to 01:30 at 15:00Z: 14:40Z and 15:10Z both are 01:40; 12:40Z is the last of 4 April, at 23:40.
    'summer-time-lord-howe-ends': [['12:40', '13:40', '14:40', '15:10', '16:10', '16:40'].flatMap((time) => days('2026-04-04', time))],
    // Midnight is at 18:15Z: 18:10Z is the end of a day, 18:20Z the beginning of the next.
    kathmandu: [[...days('2026-10-31', '18:10'), ...days('2026-11-01..02', '18:10'), ...days('2026-11-02', '18:20')]],
    // 12:00Z is 02:00 of the same date until the 29th, and of the next date from the 30th on; there is no 30 December to count.
    // 1 January 2012 was a Sunday, of week 52.
    'date-line-apia': [days('2011-12-29..31 2012-01-01..02', '12:00')],
    'iso-week-53': [days('2020-12-27 2021-01-03 2021-01-10 2021-01-12', '02:00')],
    // A year back from 29 February 2028 is 28 February 2027, from its first moment.
    'leap-days': [[...days('2024-02-29 2024-03-01', '12:00'), ...days('2027-02-28', '00:00'), ...days('2028-02-28..29', '12:00')]],
    // Nothing in August, and September ended on the 4th.
    'interrupted-month': [days('2026-07-31 2026-09-04 2026-10-31 2026-11-08..10', '02:00')],
    'only-failed-verifications': [days('2026-11-02 2026-11-08..14', '02:00'), days('2026-11-08..14', '02:00')],
    // The three of 2036 stay and take no day from the others.
    'clock-years-ahead': [days('2026-11-23..25 2036-01-01..03', '02:00')],
  };
})();

test('every vector has been worked out by hand, and every one of those exists', async () => {
  const files = (await readdir(folder)).map((file) => path.basename(file, '.json'));
  expect(files.sort()).toEqual(Object.keys(byHand).sort());
});

test.each(Object.keys(byHand))('%s', async (name) => {
  const vector = await readVector(name);
  expect(vector.plans).toHaveLength(byHand[name]?.length ?? 0);
  vector.plans.forEach(({ title, timeZone, now, policy, without, keep, expire }, index) => {
    const points = pointsOf(vector, without);
    const plan = planRetention(points, resolvePolicy(policy), { now: Date.parse(now), timeZone });
    const reasons = (entries: readonly { readonly point: RecoveryPoint; readonly reasons: readonly Reason[] }[]) =>
      Object.fromEntries(entries.map(({ point, reasons }) => [point.id, reasons.map(brief)]));
    expect(reasons(plan.keep), title).toEqual(keep);
    expect(reasons(plan.expire), title).toEqual(expire);

    const kept = Object.keys(keep).sort();
    expect([...referenceKeep(points, resolvePolicy(policy), Date.parse(now), timeZone)].sort(), title).toEqual(kept);
    expect(kept, title).toEqual([...(byHand[name]?.[index] ?? [])].sort());
  });
});
