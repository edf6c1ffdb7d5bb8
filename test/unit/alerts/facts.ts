import { Temporal } from 'temporal-polyfill';
import type { DatabaseFacts, Facts } from '../../../src/alerts/facts.ts';
import type { RuleId, Severity } from '../../../src/core/alert.ts';

export const NOW = Temporal.Instant.from('2026-11-25T12:00:00Z');
export const ago = (duration: Temporal.DurationLike) => NOW.subtract(duration);
export const ahead = (duration: Temporal.DurationLike) => NOW.add(duration);

const ok = { result: 'succeeded', at: ago({ hours: 2 }) } as const;

/** A database of which nothing is wrong and everything is known. */
export function healthyDatabase(changes: Partial<DatabaseFacts> = {}): DatabaseFacts {
  return {
    name: 'shop',
    objectives: { rpoMs: 26 * 3_600_000, rtoMs: 3_600_000 },
    newestPoint: ago({ hours: 2 }),
    newestProven: ago({ hours: 26 }),
    backup: ok,
    verify: ok,
    drill: ok,
    prune: ok,
    rto: { seconds: 600, profile: 'durable' },
    forecast: { atRiskAt: null },
    frozenBy: null,
    collapse: null,
    schedule: { backup: { overdueSince: null }, drill: { overdueSince: null } },
    ...changes,
  };
}

export function healthy(database: Partial<DatabaseFacts> = {}, changes: Partial<Facts> = {}): Facts {
  return {
    now: NOW,
    databases: [healthyDatabase(database)],
    repository: { location: 'file:///backups', usedBytes: 10e9, capacity: { bytes: 100e9, usedBytes: 50e9 } },
    keys: { escrowCheckedAt: ago({ hours: 24 * 30 }), rotations: [] },
    channels: [],
    ...changes,
  };
}

const failed = (code: 'dump-failed' | 'check-failed' | 'sandbox-unavailable' | 'storage-denied') =>
  ({ result: 'failed', at: ago({ hours: 1 }), code, message: `it was ${code}` }) as const;

/** For each rule facts by which exactly this one is raised, and how severe that is. */
export const raising: Readonly<Record<Exclude<RuleId, 'alert-delivery'>, readonly [severity: Severity, facts: Facts]>> = {
  'backup-failed': ['warning', healthy({ backup: failed('dump-failed') })],
  'backup-overdue': ['warning', healthy({ schedule: { backup: { overdueSince: ago({ hours: 3 }) } } })],
  'recovery-point-old': ['critical', healthy({ newestPoint: ago({ hours: 27 }) })],
  'proof-old': ['warning', healthy({ newestProven: ago({ hours: 24 * 9 }) })],
  'objective-unknown': ['warning', healthy({ newestPoint: undefined })],
  'verification-failed': ['critical', healthy({ verify: failed('check-failed') })],
  'verification-impossible': ['warning', healthy({ verify: failed('sandbox-unavailable') })],
  'rto-missed': ['warning', healthy({ rto: { seconds: 4000, profile: 'fast' } })],
  'rto-forecast': ['info', healthy({ forecast: { atRiskAt: ahead({ hours: 24 * 60 }) } })],
  'drill-overdue': ['warning', healthy({ schedule: { drill: { overdueSince: ago({ hours: 24 * 9 }) } } })],
  'drill-failed': ['critical', healthy({ drill: failed('check-failed') })],
  'prune-failed': ['warning', healthy({ prune: failed('storage-denied') })],
  'retention-frozen': ['warning', healthy({ frozenBy: '20261120T020000Z-k3f9qa' })],
  collapse: ['critical', healthy({ collapse: { backup: '20261120T020000Z-k3f9qa', of: 'rows', share: 0.04 } })],
  'storage-nearly-full': [
    'warning',
    healthy({}, { repository: { location: 'file:///backups', capacity: { bytes: 100e9, usedBytes: 71e9 } } }),
  ],
  'escrow-overdue': ['warning', healthy({}, { keys: { escrowCheckedAt: ago({ hours: 24 * 181 }), rotations: [] } })],
  'key-rotation-due': [
    'info',
    healthy({}, { keys: { escrowCheckedAt: ago({ hours: 1 }), rotations: [{ key: 'age1first', dueAt: ahead({ hours: 24 * 20 }) }] } }),
  ],
};

/** The same facts so much later: everything in them is as old as before. */
export function later(facts: Facts, ms: number): Facts {
  const move = (value: unknown): unknown => {
    if (value instanceof Temporal.Instant) return value.add({ milliseconds: ms });
    if (Array.isArray(value)) return value.map(move);
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, move(inner)]));
  };
  return move(facts) as Facts;
}
