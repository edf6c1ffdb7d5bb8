import { isInstant, monthsBefore } from './calendar.ts';
import { comparePoints, type RecoveryPoint } from './points.ts';
import { type Duration, limitsAnything, type Policy } from './policy.ts';
import type { ExpireReason, HoldReason, KeepReason } from './reasons.ts';
import { type FilledTier, fillTiers, type PlacedPoint } from './tiers.ts';

/** How far ahead of the clock an instant may lie before it counts as dated in the future: two hosts' clocks are never equal. In ms. */
export const FUTURE_TOLERANCE_MS = 10 * 60_000;

export interface DecisionContext {
  /** Epoch ms. Only tells what is dated in the future; nothing ages by it. */
  readonly now: number;
  readonly timeZone: string;
  /** Why nothing may go for now. */
  readonly hold: HoldReason | undefined;
}

/** It stays if there is a reason to keep it; otherwise there is at least one to let it go. */
export interface Decision {
  readonly point: RecoveryPoint;
  readonly keep: readonly KeepReason[];
  readonly expire: readonly ExpireReason[];
}

/** Decides about the backups of one database; in order of time, then id. */
export function decide(points: readonly PlacedPoint[], policy: Policy, context: DecisionContext): Decision[] {
  const sorted = [...points].sort((a, b) => comparePoints(a.point, b.point));
  const twice = idsListedTwice(sorted);
  const asides = sorted.map(({ point }) => setAside(point, twice, context.now));
  const counted = sorted.filter((_, index) => asides[index] === undefined);
  const rules = rulesFor(counted, policy, context);
  return sorted.map((placed, index) => {
    const aside = asides[index];
    if (aside !== undefined) return { point: placed.point, keep: [aside, ...promises(placed.point, rules.asOf)], expire: [] };
    const keep = keepReasons(placed, rules);
    if (keep.length > 0) return { point: placed.point, keep, expire: [] };
    if (!rules.limited) return { point: placed.point, keep: [{ kind: 'no-policy' }], expire: [] };
    if (context.hold !== undefined) return { point: placed.point, keep: [context.hold], expire: [] };
    return { point: placed.point, keep: [], expire: expireReasons(placed, rules) };
  });
}

/** One id that stands for two entries says that the listing is wrong, and by id the one that goes takes along the one that stays. */
function idsListedTwice(sorted: readonly PlacedPoint[]): ReadonlySet<string> {
  const seen = new Set<string>();
  const twice = new Set<string>();
  for (const { point } of sorted) {
    if (seen.has(point.id)) twice.add(point.id);
    seen.add(point.id);
  }
  return twice;
}

/**
 * What always stays and takes part in nothing: it fills no slot and is nobody's newest. Otherwise a clock that once ran
 * years ahead, or a handful of damaged manifests, would push real backups out of every tier.
 */
function setAside(point: RecoveryPoint, twice: ReadonlySet<string>, now: number): KeepReason | undefined {
  if (twice.has(point.id)) return { kind: 'listed-twice' };
  if (point.state !== 'ok') return { kind: point.state };
  if (!isInstant(point.instant)) return { kind: 'no-instant' };
  // So written that a clock that gives no number makes everything future, and nothing old.
  if (!(point.instant <= now + FUTURE_TOLERANCE_MS)) return { kind: 'future' };
  return undefined;
}

/** The rules as they stand for the backups that count. */
interface Rules {
  readonly limited: boolean;
  /** The instant of the newest backup: what lapses, lapses as of it, so that silence never deletes. */
  readonly asOf: number | undefined;
  readonly newest: RecoveryPoint | undefined;
  readonly newestProven: RecoveryPoint | undefined;
  readonly newestNotFailed: RecoveryPoint | undefined;
  readonly minimum: { readonly of: number; readonly points: ReadonlySet<RecoveryPoint> };
  readonly within: { readonly text: string; readonly since: number } | undefined;
  readonly tiers: readonly FilledTier[];
}

function rulesFor(counted: readonly PlacedPoint[], policy: Policy, { timeZone }: DecisionContext): Rules {
  const points = counted.map(({ point }) => point);
  const newest = points.at(-1);
  return {
    limited: limitsAnything(policy),
    asOf: newest?.instant,
    newest,
    newestProven: points.findLast(({ proof }) => proof === 'proven'),
    newestNotFailed: points.findLast(({ proof }) => proof !== 'failed'),
    minimum: { of: policy.minimumKeep, points: new Set(points.slice(Math.max(0, points.length - policy.minimumKeep))) },
    within:
      policy.keepWithin === undefined || newest === undefined
        ? undefined
        : { text: policy.keepWithin.text, since: before(newest.instant, policy.keepWithin, timeZone) },
    tiers: fillTiers(counted, policy),
  };
}

function before(instant: number, { months, milliseconds }: Duration, timeZone: string): number {
  return months > 0 ? monthsBefore(instant, months, timeZone) : instant - milliseconds;
}

function keepReasons(placed: PlacedPoint, rules: Rules): KeepReason[] {
  const { point } = placed;
  const reasons: KeepReason[] = [];
  if (point === rules.newest) reasons.push({ kind: 'newest' });
  if (point === rules.newestProven) reasons.push({ kind: 'newest-proven' });
  // Said only where it is a backup of its own: behind failed ones.
  if (point === rules.newestNotFailed && point !== rules.newest && point !== rules.newestProven)
    reasons.push({ kind: 'newest-not-failed' });
  reasons.push(...promises(point, rules.asOf));
  if (rules.minimum.points.has(point)) reasons.push({ kind: 'minimum', of: rules.minimum.of });
  const { within } = rules;
  if (within !== undefined && point.instant >= within.since) {
    reasons.push({ kind: 'keep-within', within: within.text, since: within.since });
  }
  for (const { tier, of, filled } of rules.tiers) {
    const slot = filled.get(placed.slots[tier]?.key ?? '');
    if (slot?.holder === point) reasons.push({ kind: 'tier', tier, slot: slot.slot.key, place: slot.place, of });
  }
  return reasons;
}

/** What somebody promised for this very backup and what has not lapsed. Until there is a backup to go by, nothing lapses. */
function promises({ pin, keepUntil }: RecoveryPoint, asOf: number | undefined): KeepReason[] {
  const reasons: KeepReason[] = [];
  if (pin !== undefined && !hasLapsed(pin.until, asOf)) reasons.push({ kind: 'pin', reason: pin.reason, until: pin.until });
  if (keepUntil !== undefined && !hasLapsed(keepUntil, asOf)) reasons.push({ kind: 'keep-until', until: keepUntil });
  return reasons;
}

function hasLapsed(until: number | undefined, asOf: number | undefined): until is number {
  return until !== undefined && asOf !== undefined && asOf > until;
}

function expireReasons(placed: PlacedPoint, rules: Rules): ExpireReason[] {
  const { point } = placed;
  const reasons: ExpireReason[] = [];
  if (point.pin?.until !== undefined) reasons.push({ kind: 'pin-lapsed', reason: point.pin.reason, until: point.pin.until });
  if (point.keepUntil !== undefined) reasons.push({ kind: 'keep-until-lapsed', until: point.keepUntil });
  if (rules.within !== undefined) reasons.push({ kind: 'outside-within', within: rules.within.text, since: rules.within.since });
  for (const { tier, of, filled, oldest } of rules.tiers) {
    const slot = placed.slots[tier];
    if (slot === undefined || oldest === undefined) continue;
    const holder = filled.get(slot.key)?.holder;
    if (holder === undefined) reasons.push({ kind: 'beyond', tier, slot: slot.key, oldestKeptSlot: oldest.key, of });
    else reasons.push({ kind: 'superseded', tier, slot: slot.key, by: holder.id, because: advantage(holder, point) });
  }
  return reasons;
}

function advantage(holder: RecoveryPoint, point: RecoveryPoint): 'newer' | 'proven' | 'not-failed' {
  if (holder.proof === point.proof) return 'newer';
  return holder.proof === 'proven' ? 'proven' : 'not-failed';
}
