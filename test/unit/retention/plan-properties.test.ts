import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { localTime, slotOf, tiers } from '../../../retention/calendar.ts';
import { FUTURE_TOLERANCE_MS } from '../../../retention/decide.ts';
import { describeNote, planRetention, type RetentionPlan } from '../../../retention/plan.ts';
import { comparePoints, type RecoveryPoint } from '../../../retention/points.ts';
import { limitsAnything, type Policy, resolvePolicy } from '../../../retention/policy.ts';
import { describeReason } from '../../../retention/reasons.ts';
import { backups, clock, DAY, extremeInstant, instant, noInstant, policy, zone } from './arbitraries.ts';
import { referenceKeep } from './reference.ts';

const runs = { numRuns: 2000 };
/** After every backup there may be, so nothing is dated in the future. */
const late = Date.parse('2200-01-01T00:00:00Z');
const ok = fc.constant('ok' as const);

function plan(points: readonly RecoveryPoint[], policy: Policy, timeZone: string, now = late): RetentionPlan {
  return planRetention(points, policy, { now, timeZone });
}

const pointsOf = (entries: readonly { readonly point: RecoveryPoint }[]) => entries.map(({ point }) => point);
const idsOf = (entries: readonly { readonly point: RecoveryPoint }[]) => entries.map(({ point }) => point.id).sort();

/** What the rules count: readable backups, not in the future. */
function counted(points: readonly RecoveryPoint[], now: number): RecoveryPoint[] {
  return points.filter((point) => point.state === 'ok' && point.instant <= now + FUTURE_TOLERANCE_MS).sort(comparePoints);
}

describe('for any backups, policy, zone and clock', () => {
  test('each backup either stays or goes, and each with a reason that fits on a line', () => {
    const instants = fc.oneof({ weight: 9, arbitrary: extremeInstant }, { weight: 1, arbitrary: noInstant });
    const listing = fc
      .tuple(backups({ instants, databases: ['shop', 'crm', 'crm-2'] }), fc.array(fc.nat({ max: 30 }), { maxLength: 4 }))
      // The same entry again, and the same id in another database.
      .map(([points, again]) => [
        ...points,
        ...again.flatMap((index) => {
          const point = points[index];
          return point === undefined ? [] : index % 2 === 0 ? [point] : [{ ...point, database: 'crm' }];
        }),
      ]);
    fc.assert(
      fc.property(listing, policy, zone, fc.oneof(clock, fc.constant(Number.NaN)), (points, policy, timeZone, now) => {
        const { keep, expire, notes } = plan(points, policy, timeZone, now);
        const left = [...points];
        for (const point of pointsOf([...keep, ...expire])) {
          const at = left.indexOf(point);
          expect(at).toBeGreaterThanOrEqual(0);
          left.splice(at, 1);
        }
        expect(left).toEqual([]);
        for (const { reasons } of [...keep, ...expire]) {
          expect(reasons.length).toBeGreaterThan(0);
          for (const reason of reasons) expect(describeReason(reason, timeZone)).toMatch(/^[^\n]+$/);
        }
        for (const note of notes) expect(describeNote(note)).toContain(note.database);
      }),
      runs,
    );
  });

  test('the order of the listing makes no difference', () => {
    const shuffled = backups({ databases: ['shop', 'crm'] }).chain((points) =>
      fc.tuple(fc.constant(points), fc.shuffledSubarray(points, { minLength: points.length })),
    );
    fc.assert(
      fc.property(shuffled, policy, zone, clock, ([points, other], policy, timeZone, now) => {
        expect(plan(other, policy, timeZone, now)).toEqual(plan(points, policy, timeZone, now));
      }),
      runs,
    );
  });

  test('a database is planned as if it were alone', () => {
    fc.assert(
      fc.property(backups({ databases: ['shop', 'crm', 'a'] }), policy, zone, clock, (points, policy, timeZone, now) => {
        const together = plan(points, policy, timeZone, now);
        const alone = ['a', 'crm', 'shop'].map((name) =>
          plan(
            points.filter(({ database }) => database === name),
            policy,
            timeZone,
            now,
          ),
        );
        expect(together.keep).toEqual(alone.flatMap(({ keep }) => keep));
        expect(together.expire).toEqual(alone.flatMap(({ expire }) => expire));
      }),
      runs,
    );
  });

  test('what stays is what the slow second planner keeps', () => {
    fc.assert(
      fc.property(backups(), policy, zone, clock, (points, policy, timeZone, now) => {
        const expected = referenceKeep(points, policy, now, timeZone);
        expect(new Set(idsOf(plan(points, policy, timeZone, now).keep))).toEqual(expected);
      }),
      runs,
    );
  });

  test('the newest, the newest proven, the newest not failed, pins, promises, the future and the unreadable stay', () => {
    fc.assert(
      fc.property(backups(), policy, zone, clock, (points, policy, timeZone, now) => {
        const kept = new Set(pointsOf(plan(points, policy, timeZone, now).keep));
        const sound = counted(points, now);
        const newest = sound.at(-1);
        const mustStay = [
          newest,
          sound.findLast(({ proof }) => proof === 'proven'),
          sound.findLast(({ proof }) => proof !== 'failed'),
          ...sound.slice(sound.length - Math.min(policy.minimumKeep, sound.length)),
          ...points.filter((point) => !sound.includes(point)),
          ...points.filter(
            ({ pin }) => pin !== undefined && (pin.until === undefined || newest === undefined || pin.until >= newest.instant),
          ),
          ...points.filter(({ keepUntil }) => keepUntil !== undefined && (newest === undefined || keepUntil >= newest.instant)),
        ];
        for (const point of mustStay) if (point !== undefined) expect(kept).toContain(point);
      }),
      runs,
    );
  });

  test('each of the last slots that hold a backup keeps one, a proven one if there is any', () => {
    fc.assert(
      fc.property(backups({ states: ok }), policy, zone, (points, policy, timeZone) => {
        const { keep } = plan(points, policy, timeZone);
        for (const tier of tiers) {
          const slots = Map.groupBy(points, ({ instant }) => slotOf(tier, localTime(instant, timeZone)).order);
          const last = [...slots].sort(([a], [b]) => b - a).slice(0, policy[tier]);
          for (const [, held] of last) {
            const stays = held.filter((point) => keep.some((entry) => entry.point === point));
            expect(stays.length).toBeGreaterThan(0);
            expect(stays.some(({ proof }) => proof === 'proven')).toBe(held.some(({ proof }) => proof === 'proven'));
          }
        }
      }),
      runs,
    );
  });

  test('a policy that limits nothing, a failed run and a freeze let nothing go', () => {
    const hold = fc.constantFrom('no policy', 'failed run', 'freeze');
    fc.assert(
      fc.property(backups(), policy, zone, clock, hold, fc.nat(4), (points, drawn, timeZone, now, hold, minimumKeep) => {
        const policy = hold === 'no policy' ? resolvePolicy({ minimumKeep }) : drawn;
        const { keep, expire } = planRetention(points, policy, {
          now,
          timeZone,
          ...(hold === 'failed run' ? { newestRunFailed: new Set(['shop']) } : {}),
          ...(hold === 'freeze' ? { frozen: new Map([['shop', 'rows fell to 0']]) } : {}),
        });
        expect(expire).toEqual([]);
        expect(keep).toHaveLength(points.length);
        // The others keep their own reasons: only who would have gone stays because of the hold.
        if (hold === 'no policy' || !limitsAnything(policy)) return;
        const held = keep.filter(({ reasons }) => reasons.some(({ kind }) => kind === 'frozen' || kind === 'newest-run-failed'));
        expect(idsOf(held)).toEqual(idsOf(plan(points, policy, timeZone, now).expire));
      }),
      runs,
    );
  });
});

describe('pruning', () => {
  test('a second time changes nothing', () => {
    fc.assert(
      fc.property(backups({ databases: ['shop', 'crm'] }), policy, zone, clock, (points, policy, timeZone, now) => {
        const first = plan(points, policy, timeZone, now);
        const second = plan(pointsOf(first.keep), policy, timeZone, now);
        expect(second.expire).toEqual([]);
        expect(second.keep).toEqual(first.keep);
      }),
      runs,
    );
  });

  test('cut short after any of its deletions, it goes on to the same end', () => {
    fc.assert(
      fc.property(backups(), policy, zone, clock, fc.infiniteStream(fc.boolean()), (points, policy, timeZone, now, coin) => {
        const whole = plan(points, policy, timeZone, now);
        const gone = new Set(pointsOf(whole.expire).filter(() => coin.next().value === true));
        const rest = points.filter((point) => !gone.has(point));
        expect(plan(rest, policy, timeZone, now).keep).toEqual(whole.keep);
      }),
      runs,
    );
  });

  test('after each backup, now and then, or once at the end leaves the same set', () => {
    fc.assert(
      fc.property(backups(), policy, zone, fc.infiniteStream(fc.boolean()), (points, policy, timeZone, coin) => {
        const arriving = [...points].sort(comparePoints);
        const eager: RecoveryPoint[] = [];
        const lazy: RecoveryPoint[] = [];
        for (const point of arriving) {
          eager.push(point);
          eager.splice(0, eager.length, ...pointsOf(plan(eager, policy, timeZone, point.instant).keep));
          lazy.push(point);
          if (coin.next().value === true) lazy.splice(0, lazy.length, ...pointsOf(plan(lazy, policy, timeZone, point.instant).keep));
        }
        const once = idsOf(plan(points, policy, timeZone).keep);
        expect(idsOf(plan(eager, policy, timeZone).keep)).toEqual(once);
        expect(idsOf(plan(lazy, policy, timeZone).keep)).toEqual(once);
        expect(eager.map(({ id }) => id).sort()).toEqual(once);
      }),
      runs,
    );
  });

  test('while backups keep coming, no tier ever holds fewer slots than before', () => {
    fc.assert(
      fc.property(backups({ states: ok }), policy, zone, (points, policy, timeZone) => {
        let kept: RecoveryPoint[] = [];
        let before = tiers.map(() => 0);
        for (const point of [...points].sort(comparePoints)) {
          const made = plan([...kept, point], policy, timeZone, point.instant);
          kept = pointsOf(made.keep);
          const filled = tiers.map(
            (tier) => made.keep.filter(({ reasons }) => reasons.some((reason) => reason.kind === 'tier' && reason.tier === tier)).length,
          );
          for (const [index, count] of filled.entries()) expect(count).toBeGreaterThanOrEqual(before[index] ?? 0);
          before = filled;
        }
        tiers.forEach((tier, index) => {
          const slots = new Set(points.map(({ instant }) => slotOf(tier, localTime(instant, timeZone)).key));
          expect(before[index]).toBe(Math.min(policy[tier], slots.size));
        });
      }),
      runs,
    );
  });
});

describe('the clock', () => {
  test('by itself deletes nothing: without a new backup every later day gives the same plan', () => {
    fc.assert(
      fc.property(backups(), policy, zone, fc.nat(), (points, policy, timeZone, wait) => {
        expect(plan(points, policy, timeZone, late + wait * DAY)).toEqual(plan(points, policy, timeZone, late));
      }),
      runs,
    );
  });

  test('set back, deletes nothing that the right clock would keep', () => {
    fc.assert(
      fc.property(backups(), policy, zone, clock, clock, (points, policy, timeZone, one, other) => {
        const early = new Set(pointsOf(plan(points, policy, timeZone, Math.min(one, other)).keep));
        for (const point of pointsOf(plan(points, policy, timeZone, Math.max(one, other)).keep)) expect(early).toContain(point);
      }),
      runs,
    );
  });

  test('jumping about while backups are made never takes the newest backup or the newest proven one of what the clock has seen', () => {
    const made = fc.array(fc.record({ now: instant, proof: fc.constantFrom('proven', 'failed', 'unproven') }), { maxLength: 12 });
    fc.assert(
      fc.property(made, policy, zone, (steps, policy, timeZone) => {
        let kept: RecoveryPoint[] = [];
        steps.forEach(({ now, proof }, index) => {
          const point: RecoveryPoint = { id: String(index).padStart(2, '0'), database: 'shop', instant: now, state: 'ok', proof, bytes: 1 };
          const before = [...kept, point];
          kept = pointsOf(plan(before, policy, timeZone, now).keep);
          const sound = counted(before, now);
          expect(kept).toContain(sound.at(-1));
          expect(kept).toEqual(expect.arrayContaining(sound.filter(({ proof }) => proof === 'proven').slice(-1)));
          expect(kept).toEqual(expect.arrayContaining(before.filter((other) => !sound.includes(other))));
        });
      }),
      runs,
    );
  });
});
