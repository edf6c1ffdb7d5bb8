import type { RuleId } from '../core/alert.ts';
import { type Condition, keyOf, type Verdict } from './condition.ts';
import type { ChannelFacts, DatabaseFacts, Facts } from './facts.ts';
import type { AlertPolicy } from './policy.ts';
import {
  backupFailed,
  backupOverdue,
  collapsed,
  drillFailed,
  drillOverdue,
  objectiveUnknown,
  proofOld,
  pruneFailed,
  recoveryPointOld,
  retentionFrozen,
  rtoForecast,
  rtoMissed,
  verificationFailed,
  verificationImpossible,
} from './rules-database.ts';
import { alertDelivery, escrowOverdue, keyRotationDue, storageNearlyFull } from './rules-installation.ts';

interface Damping {
  /** How long it must hold before anybody is told; default 0, for what cannot come and go by itself. */
  readonly holdMs?: number;
  /** How long it must be gone before that counts; default 0. */
  readonly clearMs?: number;
}

type Rule = Damping &
  (
    | { readonly of: 'database'; readonly check: (database: DatabaseFacts, facts: Facts, policy: AlertPolicy) => Verdict }
    | { readonly of: 'installation'; readonly check: (facts: Facts, policy: AlertPolicy) => Verdict }
    | { readonly of: 'channel'; readonly check: (channel: ChannelFacts) => Verdict }
  );

const MINUTE_MS = 60_000;

/** Every rule. What a measured value passes back and forth is damped; what a run decided is so at once. */
const rules: Readonly<Record<RuleId, Rule>> = {
  'backup-failed': { of: 'database', check: backupFailed },
  // What waits for another job, or for the minute of its host, begins by itself.
  'backup-overdue': { of: 'database', check: backupOverdue, holdMs: 30 * MINUTE_MS },
  'recovery-point-old': { of: 'database', check: recoveryPointOld },
  'proof-old': { of: 'database', check: proofOld },
  // A store that is away for some minutes is not worth a word.
  'objective-unknown': { of: 'database', check: objectiveUnknown, holdMs: 60 * MINUTE_MS, clearMs: 5 * MINUTE_MS },
  'verification-failed': { of: 'database', check: verificationFailed },
  'verification-impossible': { of: 'database', check: verificationImpossible },
  'rto-missed': { of: 'database', check: rtoMissed },
  // A line through measurements moves with each of them.
  'rto-forecast': { of: 'database', check: rtoForecast, clearMs: 24 * 60 * MINUTE_MS },
  'drill-overdue': { of: 'database', check: drillOverdue },
  'drill-failed': { of: 'database', check: drillFailed },
  'prune-failed': { of: 'database', check: pruneFailed },
  'retention-frozen': { of: 'database', check: retentionFrozen },
  collapse: { of: 'database', check: collapsed },
  'storage-nearly-full': { of: 'installation', check: storageNearlyFull, holdMs: 10 * MINUTE_MS, clearMs: 30 * MINUTE_MS },
  'escrow-overdue': { of: 'installation', check: escrowOverdue },
  'key-rotation-due': { of: 'installation', check: keyRotationDue },
  'alert-delivery': { of: 'channel', check: alertDelivery, clearMs: 5 * MINUTE_MS },
};

/** What is wrong, and which incidents the facts say nothing about: these are neither open nor over because of them. */
export interface Evaluation {
  readonly conditions: readonly Condition[];
  readonly unknown: readonly string[];
}

/** Asks every rule about the facts. */
export function evaluate(facts: Facts, policy: AlertPolicy): Evaluation {
  const conditions: Condition[] = [];
  const unknown: string[] = [];
  const take = (rule: RuleId, { holdMs = 0, clearMs = 0 }: Damping, verdict: Verdict, database: string | null, subject: string | null) => {
    const key = keyOf(rule, database, subject);
    if (verdict === 'unknown') unknown.push(key);
    if (typeof verdict === 'string') return;
    const { severity, summary, detail = [], hint = null } = verdict;
    conditions.push({ key, rule, database, subject, severity, summary, detail, hint, holdMs, clearMs });
  };
  for (const [id, rule] of Object.entries(rules) as [RuleId, Rule][]) {
    if (rule.of === 'installation') take(id, rule, rule.check(facts, policy), null, null);
    else if (rule.of === 'channel') for (const channel of facts.channels ?? []) take(id, rule, rule.check(channel), null, channel.name);
    else for (const database of facts.databases) take(id, rule, rule.check(database, facts, policy), database.name, null);
  }
  return { conditions, unknown };
}
