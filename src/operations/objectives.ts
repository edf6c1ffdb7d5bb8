import type { Id } from '../core/ids.ts';
import type { Instant } from '../platform/clock.ts';
import type { RtoForecast } from './rto-forecast.ts';
import type { RtoSummary, VerificationEntry } from './verification-history.ts';

/**
 * `missed`: measured, and not as it should be. `at risk`: met now, and about to break, or broken lately. `unknown`: never measured,
 * which is said and is no reason for an exit status of its own.
 */
export const objectiveStates = ['met', 'missed', 'at risk', 'unknown'] as const;
export type ObjectiveState = (typeof objectiveStates)[number];
export const objectiveKinds = ['rpo', 'rto', 'proven'] as const;

/** Why an objective is where it is; put into words where it is shown. Seconds. */
export type ObjectiveReason =
  | { readonly kind: 'no-recovery-point' }
  | { readonly kind: 'age'; readonly seconds: number }
  | { readonly kind: 'gap'; readonly seconds: number }
  | { readonly kind: 'never-measured' }
  | { readonly kind: 'measured'; readonly seconds: number; readonly at: Instant; readonly isFast: boolean }
  | { readonly kind: 'expected-now'; readonly seconds: number }
  | { readonly kind: 'breaks-expected'; readonly at: Instant }
  | { readonly kind: 'breaks-possible'; readonly at: Instant }
  | { readonly kind: 'proven'; readonly backup: Id }
  | { readonly kind: 'found-bad'; readonly backup: Id }
  | { readonly kind: 'never-proven' }
  | { readonly kind: 'no-proof-attached'; readonly backup: Id | null }
  | { readonly kind: 'last-verification-open'; readonly at: Instant };

export interface Verdict {
  readonly objective: (typeof objectiveKinds)[number];
  readonly state: ObjectiveState;
  /** What was wanted; null for `proven`, which is always wanted. */
  readonly wantedSeconds: number | null;
  readonly why: ObjectiveReason;
}

/** What is wanted, ms; undefined where nothing is. */
export interface Objectives {
  readonly rpoMs: number | undefined;
  readonly rtoMs: number | undefined;
}

/** A backup that is whole and authentic, by its snapshot instant. */
export interface Point {
  readonly id: Id;
  readonly at: Instant;
}

export interface Figures {
  readonly objectives: Objectives;
  readonly now: Instant;
  /** Whole, authentic, and not found bad. */
  readonly newest: Point | undefined;
  readonly newestProven: Point | undefined;
  readonly newestFailed: Point | undefined;
  readonly worstGapSeconds: number | null;
  readonly rto: RtoSummary | undefined;
  readonly forecast: RtoForecast | undefined;
  /** The newest verification, however it ended. */
  readonly lastVerification: VerificationEntry | undefined;
}

/** An objective that may break within this time is at risk. */
const WARN_DAYS = 90;
const DAY_MS = 24 * 3_600_000;

/** Pure. One verdict for each objective that is set, and one for whether there is a proven backup. */
export function judgeObjectives(figures: Figures): readonly Verdict[] {
  const { rpoMs, rtoMs } = figures.objectives;
  return [
    ...(rpoMs === undefined ? [] : [judgeRpo(figures, rpoMs / 1000)]),
    ...(rtoMs === undefined ? [] : [judgeRto(figures, rtoMs / 1000)]),
    judgeProof(figures),
  ];
}

export function secondsSince(at: Instant, now: Instant): number {
  return Math.max(0, (now.epochMilliseconds - at.epochMilliseconds) / 1000);
}

function judgeRpo({ newest, worstGapSeconds, now }: Figures, wantedSeconds: number): Verdict {
  const verdict = (state: ObjectiveState, why: ObjectiveReason): Verdict => ({ objective: 'rpo', state, wantedSeconds, why });
  if (newest === undefined) return verdict('missed', { kind: 'no-recovery-point' });
  const seconds = secondsSince(newest.at, now);
  if (seconds > wantedSeconds) return verdict('missed', { kind: 'age', seconds });
  // It was missed, and an incident then would have shown it. Now it is met again.
  if (worstGapSeconds !== null && worstGapSeconds > wantedSeconds) return verdict('at risk', { kind: 'gap', seconds: worstGapSeconds });
  return verdict('met', { kind: 'age', seconds });
}

function judgeRto({ rto, forecast, now }: Figures, wantedSeconds: number): Verdict {
  const verdict = (state: ObjectiveState, why: ObjectiveReason): Verdict => ({ objective: 'rto', state, wantedSeconds, why });
  if (rto === undefined) return verdict('unknown', { kind: 'never-measured' });
  const { rtoSeconds: seconds, at, profile } = rto.newest;
  const measured = { kind: 'measured', seconds, at, isFast: profile === 'fast' } as const;
  if (seconds > wantedSeconds) return verdict('missed', measured);
  if (forecast !== undefined && forecast.now.seconds > wantedSeconds) {
    return verdict('at risk', { kind: 'expected-now', seconds: forecast.now.seconds });
  }
  const isNear = (instant: Instant | undefined): instant is Instant =>
    instant !== undefined && instant.epochMilliseconds - now.epochMilliseconds <= WARN_DAYS * DAY_MS;
  const { expected, earliest } = forecast?.breaks ?? {};
  if (isNear(expected)) return verdict('at risk', { kind: 'breaks-expected', at: expected });
  if (isNear(earliest)) return verdict('at risk', { kind: 'breaks-possible', at: earliest });
  return verdict('met', measured);
}

/** By signed proofs; run records, which anybody with the bucket may write, only say why there is none. */
function judgeProof({ newestProven, newestFailed, lastVerification }: Figures): Verdict {
  const verdict = (state: ObjectiveState, why: ObjectiveReason): Verdict => ({ objective: 'proven', state, wantedSeconds: null, why });
  const isBad =
    newestFailed !== undefined && (newestProven === undefined || newestFailed.at.epochMilliseconds > newestProven.at.epochMilliseconds);
  if (isBad) return verdict('missed', { kind: 'found-bad', backup: newestFailed.id });
  if (lastVerification?.outcome === 'failed' && !lastVerification.attached && lastVerification.backup !== null) {
    return verdict('missed', { kind: 'found-bad', backup: lastVerification.backup });
  }
  if (newestProven !== undefined && lastVerification !== undefined && lastVerification.outcome === null) {
    return verdict('at risk', { kind: 'last-verification-open', at: lastVerification.at });
  }
  if (newestProven !== undefined) return verdict('met', { kind: 'proven', backup: newestProven.id });
  if (lastVerification?.outcome === 'proven' && !lastVerification.attached) {
    return verdict('unknown', { kind: 'no-proof-attached', backup: lastVerification.backup });
  }
  return verdict('unknown', { kind: 'never-proven' });
}
