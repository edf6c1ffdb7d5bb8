/*
 * The words of alerting that configuration and alerts share: what can be raised, and how loud it is.
 */

/** From the quietest to the loudest. `critical` is for what cannot wait until the morning. */
export const severities = ['info', 'warning', 'critical'] as const;
export type Severity = (typeof severities)[number];

/** Whether the one is at least as loud as the other. */
export function isAtLeast(severity: Severity, least: Severity): boolean {
  return severities.indexOf(severity) >= severities.indexOf(least);
}

/** Everything that may be raised (`src/alerts/rules.ts` says when). Stable: filters and receivers name them. */
export const ruleIds = [
  'backup-failed',
  'backup-overdue',
  'recovery-point-old',
  'proof-old',
  'objective-unknown',
  'verification-failed',
  'verification-impossible',
  'rto-missed',
  'rto-forecast',
  'drill-overdue',
  'drill-failed',
  'prune-failed',
  'retention-frozen',
  'collapse',
  'storage-nearly-full',
  'escrow-overdue',
  'key-rotation-due',
  'alert-delivery',
] as const;
export type RuleId = (typeof ruleIds)[number];

/** Runs that a heartbeat may tell of. */
export const beatingOperations = ['backup', 'verify', 'drill', 'prune'] as const;
export type BeatingOperation = (typeof beatingOperations)[number];
