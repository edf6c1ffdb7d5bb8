import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { RecoveryPoint } from '../../../retention/points.ts';
import { type Candidate, chooseSample, chooseUnproven } from '../../../src/operations/verify-choice.ts';

const DAY = 86_400_000;

function candidate(day: number, change: Partial<RecoveryPoint> & Partial<Omit<Candidate, 'point'>> = {}): Candidate {
  const { provenAt, stays = 'days', ...point } = change;
  const id = `2026${String(day).padStart(4, '0')}T020000Z-aaaaaa`;
  return {
    ...{ provenAt, stays },
    point: {
      id,
      database: 'shop',
      instant: day * DAY,
      state: 'ok',
      proof: provenAt === undefined ? 'unproven' : 'proven',
      bytes: 1,
      ...point,
    },
  };
}

describe('--all-unproven', () => {
  it('takes the newest first, and neither what is proven nor what has failed', () => {
    const all = [candidate(1), candidate(2, { provenAt: 3 * DAY }), candidate(3, { proof: 'failed' }), candidate(4)];
    expect(chooseUnproven(all)).toEqual([all[3]?.point.id, all[0]?.point.id]);
  });
});

describe('--sample', () => {
  it('leaves the newest to the plain verification, and damaged ones to whoever asks for them', () => {
    const all = [candidate(1), candidate(2, { state: 'incomplete' }), candidate(3)];
    expect(chooseSample(all, 9)).toEqual([all[0]?.point.id]);
  });

  it('prefers what stays long', () => {
    const all = [candidate(1), candidate(2, { stays: 'weeks' }), candidate(3, { stays: 'long' }), candidate(4)];
    expect(chooseSample(all, 2)).toEqual([all[2]?.point.id, all[1]?.point.id]);
  });

  it('proves each of twelve monthly backups again within a year and a month, one a month, though a new one joins each month', () => {
    // Day 30 × n is the monthly backup of month n; dailies come and go, the thirteenth month drops out.
    const provenAt = new Map<string, number>();
    const longest = new Map<string, number>();
    for (let month = 12; month < 60; month += 1) {
      const now = (month * 30 + 1) * DAY;
      const monthlies = Array.from({ length: 12 }, (_, age) => candidate((month - 11 + age) * 30, { stays: 'long' }));
      const withProofs = monthlies.map((one) => ({ ...one, provenAt: provenAt.get(one.point.id) }));
      const newest = candidate(month * 30 + 1);
      for (const { point } of monthlies) {
        const since = Math.max(point.instant, provenAt.get(point.id) ?? 0);
        longest.set(point.id, Math.max(longest.get(point.id) ?? 0, now - since));
      }
      for (const id of chooseSample([...withProofs, newest], 1)) provenAt.set(id, now);
    }
    expect(Math.max(...longest.values()) / DAY).toBeLessThanOrEqual(13 * 31);
  });

  it('takes as many as there are, each once, whatever is proven', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.integer({ min: 1, max: 9_999 }), { maxLength: 40 }),
        fc.array(fc.option(fc.integer({ min: 0, max: 9_999 }), { nil: undefined }), { minLength: 40, maxLength: 40 }),
        fc.integer({ min: 1, max: 50 }),
        (days, proofs, count) => {
          const all = days
            .toSorted((a, b) => a - b)
            .map((day, index) => candidate(day, proofs[index] === undefined ? {} : { provenAt: proofs[index] * DAY }));
          const chosen = chooseSample(all, count);
          expect(new Set(chosen).size).toBe(chosen.length);
          expect(chosen).toHaveLength(Math.min(count, Math.max(0, all.length - 1)));
        },
      ),
    );
  });
});
