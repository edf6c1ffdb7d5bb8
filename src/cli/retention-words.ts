import { type Tier, tiers } from '../../retention/calendar.ts';
import { limitsAnything, type Policy } from '../../retention/policy.ts';
import { describeReason, type Reason } from '../../retention/reasons.ts';
import { daysToGo } from '../operations/forecast.ts';
import type { RetentionSurvey } from '../operations/retention.ts';
import type { Instant } from '../platform/clock.ts';
import type { RetentionFields } from './json-retention.ts';

type Point = RetentionSurvey['databases'][number]['points'][number];

/** What retention says of one backup. */
export interface Verdict {
  readonly point: Point;
  readonly stays: boolean;
  readonly reasons: readonly Reason[];
  /** The day of the zone on which it is expected to go; undefined where it outlasts the look ahead. */
  readonly goesOn: string | undefined;
}

/** By database and id. */
export type Verdicts = ReadonlyMap<string, Verdict>;

export function verdictKey({ database, id }: { readonly database: string; readonly id: string }): string {
  return `${database}/${id}`;
}

export function verdictsOf({ databases }: RetentionSurvey, now: Instant, timeZone: string): Verdicts {
  const verdicts = new Map<string, Verdict>();
  for (const survey of databases) {
    const days = daysToGo(survey, now, timeZone);
    const { keep, expire } = survey.plan;
    const add = (stays: boolean, point: Point, reasons: readonly Reason[]) =>
      verdicts.set(verdictKey(point), { point, stays, reasons, goesOn: days.get(point.id) });
    for (const { point, reasons } of keep) add(true, point, reasons);
    for (const { point, reasons } of expire) add(false, point, reasons);
  }
  return verdicts;
}

/** The fields of `list --json` and `show --json`; without a verdict nothing is known, and nothing is promised. */
export function retentionFields(verdict: Verdict | undefined, timeZone: string): RetentionFields {
  if (verdict === undefined) return { tiers: [], reasons: [], goesOn: null, proof: null };
  const { point, reasons, goesOn } = verdict;
  return {
    tiers: tierReasons(reasons).map(({ tier, slot, place, of }) => ({ tier, slot, place, of })),
    reasons: reasons.map((reason) => describeReason(reason, timeZone)),
    goesOn: goesOn ?? null,
    proof: point.proof,
  };
}

export function tierReasons(reasons: readonly Reason[]): Extract<Reason, { kind: 'tier' }>[] {
  return reasons.filter((reason) => reason.kind === 'tier');
}

/** In a column: `daily 3/7, weekly`, `pinned`, `newest`; `-` where nothing in particular keeps it. */
export function tierLabel({ stays, reasons }: Verdict): string {
  if (!stays) return 'goes';
  const [first, ...others] = tierReasons(reasons);
  const words = first === undefined ? [] : [`${first.tier} ${first.place}/${first.of}`, ...others.map(({ tier }) => tier)];
  const kinds = new Set(reasons.map(({ kind }) => kind));
  if (kinds.has('pin')) words.push('pinned');
  if (words.length > 0) return words.join(', ');
  for (const [kind, label] of labels) if (kinds.has(kind)) return label;
  return '-';
}

/** For what no tier and no pin keeps, the first that holds. */
const labels: readonly (readonly [Reason['kind'], string])[] = [
  ['keep-until', 'kept until'],
  ['keep-within', 'recent'],
  ['minimum', 'minimum'],
  ['newest', 'newest'],
  ['newest-proven', 'newest proven'],
  ['newest-not-failed', 'newest not failed'],
  ['frozen', 'frozen'],
  ['newest-run-failed', 'held'],
  ['unreadable', 'set aside'],
  ['unknown-format', 'set aside'],
  ['incomplete', 'incomplete'],
  ['future', 'set aside'],
  ['no-instant', 'set aside'],
  ['listed-twice', 'set aside'],
];

/** In a column: the day on which it goes, `next prune`, or `-`. */
export function keptUntilText({ stays, goesOn }: Verdict): string {
  return stays ? (goesOn ?? '-') : 'next prune';
}

const counted: Readonly<Record<Tier, string>> = { hourly: 'hour', daily: 'day', weekly: 'week', monthly: 'month', yearly: 'year' };

/** `7 days, 4 weeks, 12 months`. */
export function policyText(policy: Policy): string {
  if (!limitsAnything(policy)) return 'everything';
  const { minimumKeep, keepWithin } = policy;
  return [
    ...tiers.flatMap((tier) => (policy[tier] === 0 ? [] : [`${policy[tier]} ${counted[tier]}${policy[tier] === 1 ? '' : 's'}`])),
    ...(keepWithin === undefined ? [] : [`all within ${keepWithin.text}`]),
    ...(minimumKeep === 0 ? [] : [`the newest ${minimumKeep}`]),
  ].join(', ');
}

/** What to say where no policy lets anything go. */
export function configureText(database: string): string {
  return `nothing of ${database} ever goes: no retention is configured. To keep 7 days, 4 weeks and 12 months, write into jetbackup.yaml
  retention: { preset: production-checklist }
or, without a file, set JETBACKUP_RETENTION=production-checklist. See first what it would do: jetbackup prune --dry-run`;
}
