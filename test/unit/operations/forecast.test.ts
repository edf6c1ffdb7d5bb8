import { Temporal } from 'temporal-polyfill';
import { describe, expect, it } from 'vitest';
import { planRetention } from '../../../retention/plan.ts';
import type { RecoveryPoint } from '../../../retention/points.ts';
import { type Policy, resolvePolicy } from '../../../retention/policy.ts';
import { daysToGo, endOf, forecast } from '../../../src/operations/forecast.ts';
import type { DatabaseSurvey } from '../../../src/operations/retention.ts';

const now = Temporal.Instant.from('2026-11-20T12:00:00Z');
const DAY = 86_400_000;
const checklist = resolvePolicy({ preset: 'production-checklist' });

/** A backup a day at 02:00 UTC, the newest on 20 November 2026; the first is the oldest. */
function nightly(count: number, rest: (index: number) => Partial<RecoveryPoint> = () => ({})): RecoveryPoint[] {
  return Array.from({ length: count }, (_, index) => {
    const instant = Date.parse('2026-11-20T02:00:00Z') - (count - 1 - index) * DAY;
    const id = new Date(instant).toISOString().slice(0, 10);
    return { id, database: 'shop', instant, state: 'ok', proof: 'unproven', bytes: 100, ...rest(index) };
  });
}

function survey(points: RecoveryPoint[], policy: Policy = checklist, frozenBy?: string): DatabaseSurvey {
  const plan = planRetention(points, policy, { now: now.epochMilliseconds, timeZone: 'UTC' });
  return {
    of: { database: 'shop', policy, collapseRatio: 0.5 },
    folders: [],
    proofs: new Map(),
    points,
    plan,
    history: [],
    frozenBy,
    collapse: undefined,
  };
}

describe('a forecast', () => {
  const until = endOf(now, Temporal.Duration.from({ months: 13 }), 'UTC');

  it('ends with what the policy promises, each with the rules that keep it', () => {
    const { atEnd, simulation, instants } = forecast(survey(nightly(10)), now, until, 'UTC');
    expect(atEnd.map(({ point }) => point.id)).toEqual(simulation.days.at(-1)?.kept);
    for (const { reasons } of atEnd) expect(reasons.some(({ kind }) => kind === 'tier' || kind === 'newest')).toBe(true);
    expect(instants).toHaveLength(10 + 395);
  });

  it('takes each coming backup for as large as the median of the last seven', () => {
    const points = nightly(10, (index) => ({ bytes: index < 3 ? 1_000_000 : ([100, 100, 100, 200, 300, 900, 0][index - 3] ?? 0) }));
    expect(forecast(survey(points), now, until, 'UTC').bytesPerBackup).toBe(100);
  });
});

describe('the day on which a backup goes', () => {
  it('is when its place in the last tier is taken', () => {
    const days = daysToGo(survey(nightly(3)), now, 'UTC');
    expect(Object.fromEntries(days)).toEqual({ '2026-11-18': '2026-11-25', '2026-11-19': '2026-11-26', '2026-11-20': '2026-11-27' });
  });

  it('is not known for what outlasts the next thirteen months', () => {
    const yearly = resolvePolicy({ yearly: 3 });
    const points = [...nightly(1, () => ({ instant: Date.parse('2025-12-31T02:00:00Z'), id: '2025-12-31' })), ...nightly(5)];
    const days = daysToGo(survey(points, yearly), now, 'UTC');
    expect(days.has('2025-12-31')).toBe(false);
    expect(days.get('2026-11-20')).toBe('2026-11-21');
  });

  it('is none where everything is kept, or deletion is frozen', () => {
    expect(daysToGo(survey(nightly(10), resolvePolicy(undefined)), now, 'UTC').size).toBe(0);
    expect(daysToGo(survey(nightly(10), checklist, '2026-11-20'), now, 'UTC').size).toBe(0);
  });
});
