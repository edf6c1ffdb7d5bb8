import { isInstant, localTime, type Slot, slotOf, type Tier, tiers } from './calendar.ts';
import { comparePoints, type RecoveryPoint } from './points.ts';
import type { Policy } from './policy.ts';

/** A recovery point with its slot in each tier that the policy has; none where its instant is none. */
export interface PlacedPoint {
  readonly point: RecoveryPoint;
  readonly slots: Readonly<Partial<Record<Tier, Slot>>>;
}

export function place(point: RecoveryPoint, policy: Policy, timeZone: string): PlacedPoint {
  const slots: Partial<Record<Tier, Slot>> = {};
  const active = tiers.filter((tier) => policy[tier] > 0);
  if (active.length === 0 || !isInstant(point.instant)) return { point, slots };
  const local = localTime(point.instant, timeZone);
  for (const tier of active) slots[tier] = slotOf(tier, local);
  return { point, slots };
}

/** A slot that a tier keeps, and the backup that stands for it. */
export interface FilledSlot {
  readonly slot: Slot;
  readonly holder: RecoveryPoint;
  /** 1 is the newest slot. */
  readonly place: number;
}

/** The last `of` slots of a tier that hold a backup, newest first, by key. */
export interface FilledTier {
  readonly tier: Tier;
  readonly of: number;
  readonly filled: ReadonlyMap<string, FilledSlot>;
  readonly oldest: Slot | undefined;
}

/** Fills each tier of the policy with the backups of one database. */
export function fillTiers(points: readonly PlacedPoint[], policy: Policy): FilledTier[] {
  return tiers.filter((tier) => policy[tier] > 0).map((tier) => fillTier(points, tier, policy[tier]));
}

/*
 * The best of a slot is the greatest by a fixed order, and slots count only where they hold a backup. So a backup that
 * will be kept in the end has been kept at each moment before: it was the best of its slot from the day it came, and no
 * more slots lay above it then than do now. That is why pruning daily and pruning yearly leave the same set.
 */
function fillTier(points: readonly PlacedPoint[], tier: Tier, of: number): FilledTier {
  const best = new Map<string, { slot: Slot; holder: RecoveryPoint }>();
  for (const { point, slots } of points) {
    const slot = slots[tier];
    if (slot === undefined) continue;
    const rival = best.get(slot.key);
    if (rival === undefined) best.set(slot.key, { slot, holder: point });
    else if (compareWorth(point, rival.holder) > 0) rival.holder = point;
  }
  const kept = [...best.values()].sort((a, b) => compareSlots(b.slot, a.slot)).slice(0, of);
  return {
    tier,
    of,
    filled: new Map(kept.map(({ slot, holder }, index) => [slot.key, { slot, holder, place: index + 1 }])),
    oldest: kept.at(-1)?.slot,
  };
}

/** Two hours can begin at the same instant where a clock is set back within one (St. John's until 2011): then the key decides. */
function compareSlots(a: Slot, b: Slot): number {
  if (a.order !== b.order) return a.order - b.order;
  return a.key < b.key ? -1 : 1;
}

const worth = { proven: 2, unproven: 1, failed: 0 } as const;

/** Which of two backups of a slot should stand for it: proven before unproven before failed, then the newer. */
export function compareWorth(a: RecoveryPoint, b: RecoveryPoint): number {
  return worth[a.proof] - worth[b.proof] || comparePoints(a, b);
}
