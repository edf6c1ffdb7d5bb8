import { describe, expect, test } from 'vitest';
import { describeNote, planRetention, type RetentionContext } from '../../../retention/plan.ts';
import type { RecoveryPoint } from '../../../retention/points.ts';
import { RetentionPolicySchema, resolvePolicy } from '../../../retention/policy.ts';
import { describeReason } from '../../../retention/reasons.ts';

const berlin = { now: Date.parse('2026-11-25T12:00:00Z'), timeZone: 'Europe/Berlin' };

function point(text: string, rest: Partial<RecoveryPoint> = {}): RecoveryPoint {
  return { id: text, database: 'shop', instant: Date.parse(text), state: 'ok', proof: 'unproven', bytes: 1, ...rest };
}

/** Per backup the lines that a person reads. */
function shown(points: readonly RecoveryPoint[], policy: unknown, context: RetentionContext = berlin): Record<string, string[]> {
  const plan = planRetention(points, resolvePolicy(RetentionPolicySchema.parse(policy)), context);
  const line = (sign: string) => (entry: (typeof plan.keep)[number] | (typeof plan.expire)[number]) => [
    `${sign} ${entry.point.id}`,
    entry.reasons.map((reason) => describeReason(reason, context.timeZone)),
  ];
  return Object.fromEntries([...plan.keep.map(line('+')), ...plan.expire.map(line('-'))]);
}

describe('the reasons', () => {
  test('name the tier, the slot, and the backup that took it', () => {
    const points = [
      point('2026-11-23T01:00Z', { proof: 'proven' }),
      point('2026-11-23T13:00Z'),
      point('2026-11-24T01:00Z', { proof: 'failed' }),
      point('2026-11-24T13:00Z', { proof: 'failed' }),
      point('2026-11-25T01:00Z'),
      point('2026-11-25T11:00Z', { proof: 'failed' }),
    ];
    expect(shown(points, { daily: 2, weekly: 1 })).toEqual({
      '+ 2026-11-23T01:00Z': ['the newest backup proven restorable', 'weekly 1 of 1: stands for 2026-W48'],
      '+ 2026-11-24T13:00Z': ['daily 2 of 2: stands for 2026-11-24'],
      '+ 2026-11-25T01:00Z': ['the newest backup that has not failed a verification', 'daily 1 of 2: stands for 2026-11-25'],
      '+ 2026-11-25T11:00Z': ['the newest backup'],
      '- 2026-11-23T13:00Z': [
        'daily 2026-11-23 is beyond the 2 that are kept, back to 2026-11-24',
        'weekly 2026-W48 is held by 2026-11-23T01:00Z, which is proven',
      ],
      '- 2026-11-24T01:00Z': [
        'daily 2026-11-24 is held by 2026-11-24T13:00Z, which is newer',
        'weekly 2026-W48 is held by 2026-11-23T01:00Z, which is proven',
      ],
    });
  });

  test('name promises, and say when they lapsed', () => {
    const until = (text: string) => Date.parse(text);
    const points = [
      point('2026-11-01T01:00Z', { pin: { reason: 'before\nthe migration' } }),
      point('2026-11-02T01:00Z', { pin: { reason: 'release', until: until('2026-11-25T01:00Z') } }),
      point('2026-11-03T01:00Z', { keepUntil: until('2026-11-25T01:00Z') }),
      point('2026-11-04T01:00Z', { pin: { reason: 'release', until: until('2026-11-25T00:59Z') }, keepUntil: until('2026-11-20T00:00Z') }),
      point('2026-11-24T01:00Z'),
      point('2026-11-25T01:00Z'),
    ];
    expect(shown(points, { keepWithin: '24h', minimumKeep: 1 })).toEqual({
      '+ 2026-11-01T01:00Z': ['pinned: "before\\nthe migration"'],
      '+ 2026-11-02T01:00Z': ['pinned until 2026-11-25 02:00 +01:00: "release"'],
      '+ 2026-11-03T01:00Z': ['to be kept until 2026-11-25 02:00 +01:00'],
      '+ 2026-11-24T01:00Z': ['within 24h of the newest backup, since 2026-11-24 02:00 +01:00'],
      '+ 2026-11-25T01:00Z': [
        'the newest backup',
        'the newest, which always stays',
        'within 24h of the newest backup, since 2026-11-24 02:00 +01:00',
      ],
      '- 2026-11-04T01:00Z': [
        'its pin lapsed on 2026-11-25 01:59 +01:00: "release"',
        'was to be kept until 2026-11-20 01:00 +01:00',
        'more than 24h older than the newest backup, before 2026-11-24 02:00 +01:00',
      ],
    });
  });
});

test('a month of keepWithin reaches back to the beginning of its day, so that a later backup never has more kept', () => {
  const points = [point('2026-02-27T23:00Z'), point('2026-02-28T00:00Z'), point('2026-03-31T23:00Z')];
  const kept = Object.keys(shown(points, { keepWithin: '1mo' }, { ...berlin, timeZone: 'UTC' }));
  expect(kept).toEqual(['+ 2026-02-28T00:00Z', '+ 2026-03-31T23:00Z', '- 2026-02-27T23:00Z']);
});

test('an entry that is listed twice stays, both times, and the others are planned without it', () => {
  const twice = point('2026-11-20T01:00Z');
  const plan = planRetention([twice, point('2026-11-21T01:00Z'), point('2026-11-22T01:00Z'), twice], resolvePolicy({ daily: 1 }), berlin);
  expect(plan.keep.map(({ point, reasons }) => [point.id, reasons[0]?.kind])).toEqual([
    ['2026-11-20T01:00Z', 'listed-twice'],
    ['2026-11-20T01:00Z', 'listed-twice'],
    ['2026-11-22T01:00Z', 'newest'],
  ]);
});

test('two entries of one id never part, whatever they say of themselves', () => {
  const older = point('2026-11-20T01:00Z');
  const points = [older, { ...older, instant: Date.parse('2026-11-24T01:00Z') }, point('2026-11-25T01:00Z')];
  expect(planRetention(points, resolvePolicy({ daily: 2 }), berlin).expire).toEqual([]);
});

test('seven backups that failed their verification do not push out the last one that did not', () => {
  const failed = [19, 20, 21, 22, 23, 24, 25].map((day) => point(`2026-11-${day}T01:00Z`, { proof: 'failed' }));
  const kept = shown([point('2026-11-17T01:00Z'), point('2026-11-18T01:00Z'), ...failed], { daily: 7 });
  expect(kept['+ 2026-11-18T01:00Z']).toEqual(['the newest backup that has not failed a verification']);
  expect(kept).toHaveProperty('- 2026-11-17T01:00Z');
});

test('what is dated in the future, unreadable or of an unknown format takes nobody’s place', () => {
  const points = [
    point('2026-11-23T01:00Z'),
    point('2026-11-24T01:00Z'),
    point('2026-11-25T02:00Z', { state: 'unreadable' }),
    point('2026-11-25T03:00Z', { state: 'unknown-format' }),
    point('2036-01-01T01:00Z', { proof: 'proven' }),
    point('2026-11-22T01:00Z', { instant: Number.NaN }),
  ];
  const plan = planRetention(points, resolvePolicy({ daily: 2 }), berlin);
  expect(plan.expire).toEqual([]);
  expect(plan.keep.map(({ reasons }) => reasons.map(({ kind }) => kind))).toEqual([
    ['no-instant'],
    ['tier'],
    ['newest', 'tier'],
    ['unreadable'],
    ['unknown-format'],
    ['future'],
  ]);
  expect(plan.notes.map(describeNote)).toEqual([
    'shop: no backup has been proven restorable',
    'shop: 1 backup set aside and kept: manifest unreadable',
    'shop: 1 backup set aside and kept: format unknown',
    'shop: 1 backup set aside and kept: no valid instant',
    'shop: 1 backup set aside and kept: dated in the future',
  ]);
});

test('ten minutes ahead of the clock is not yet the future', () => {
  const ahead = (ms: number) => planRetention([point('a', { instant: berlin.now + ms })], resolvePolicy({ daily: 1 }), berlin);
  expect(ahead(600_000).keep[0]?.reasons[0]).toEqual({ kind: 'newest' });
  expect(ahead(600_001).keep[0]?.reasons[0]).toEqual({ kind: 'future' });
});

test('a clock that gives no number makes everything future and nothing old', () => {
  const points = [point('2026-11-24T01:00Z'), point('2026-11-25T01:00Z')];
  expect(planRetention(points, resolvePolicy({ daily: 1 }), { ...berlin, now: Number.NaN }).expire).toEqual([]);
});

test('a time zone that does not exist is an error, not a plan', () => {
  const points = [point('2026-11-24T01:00Z')];
  expect(() => planRetention(points, resolvePolicy({ daily: 1 }), { ...berlin, timeZone: 'Europe/Berlni' })).toThrow(RangeError);
});

test('a freeze and a failed run hold only what would have gone, and say how much', () => {
  const points = ['crm', 'shop', 'wiki'].flatMap((database) => [
    point('2026-11-24T01:00Z', { database }),
    point('2026-11-25T01:00Z', { database, proof: 'proven' }),
  ]);
  const plan = planRetention(points, resolvePolicy({ daily: 1 }), {
    ...berlin,
    newestRunFailed: new Set(['shop', 'crm']),
    frozen: new Map([['crm', 'rows fell to 0']]),
  });
  expect(plan.expire.map(({ point }) => point.database)).toEqual(['wiki']);
  expect(plan.notes.map(describeNote)).toEqual([
    'crm: 1 backup would go, but deletion is frozen: rows fell to 0',
    'shop: 1 backup would go, but the newest backup run failed, or its record may not be read',
  ]);
});

test('with no policy everything stays, and it is said', () => {
  const plan = planRetention([point('2026-11-24T01:00Z'), point('2026-11-25T01:00Z')], resolvePolicy(undefined), berlin);
  expect(plan.keep.map(({ reasons }) => reasons[0]?.kind)).toEqual(['no-policy', 'newest']);
  expect(plan.notes.map(describeNote)).toContain('shop: no tier and no keepWithin is set, so everything stays');
});

test('nothing to plan is a plan', () => {
  expect(planRetention([], resolvePolicy({ daily: 7 }), berlin)).toEqual({ keep: [], expire: [], notes: [] });
});

test('ten thousand backups are planned at once', () => {
  const points = Array.from({ length: 10_000 }, (_, index) =>
    point(String(index).padStart(5, '0'), { instant: berlin.now - (9_999 - index) * 3_600_000 }),
  );
  const plan = planRetention(points, resolvePolicy({ hourly: 24, daily: 7, weekly: 4, monthly: 12, yearly: 2 }), berlin);
  // The newest of each hour, day, week, month and year, by their own count; some hold several.
  const held = (tier: string) =>
    plan.keep.filter(({ reasons }) => reasons.some((reason) => reason.kind === 'tier' && reason.tier === tier));
  expect(['hourly', 'daily', 'weekly', 'monthly', 'yearly'].map((tier) => held(tier).length)).toEqual([24, 7, 4, 12, 2]);
  expect(plan.expire).toHaveLength(10_000 - plan.keep.length);
});
