import prettyMs from 'pretty-ms';
import type { RuleId, Severity } from '../core/alert.ts';
import type { Instant } from '../platform/clock.ts';

/** Something that is wrong now. */
export interface Condition {
  readonly key: string;
  readonly rule: RuleId;
  readonly database: string | null;
  readonly subject: string | null;
  readonly severity: Severity;
  readonly summary: string;
  readonly detail: readonly string[];
  readonly hint: string | null;
  /** How long it must hold before anybody is told, and how long it must be gone before that is. */
  readonly holdMs: number;
  readonly clearMs: number;
}

/** What a rule makes of the facts. `unknown`: they do not say, so whatever was so before is taken to be so still. */
export type Verdict = Raised | 'clear' | 'unknown';

export interface Raised {
  readonly severity: Severity;
  readonly summary: string;
  readonly detail?: readonly string[];
  readonly hint?: string;
}

/** Names an incident within one installation. */
export function keyOf(rule: RuleId, database: string | null, subject: string | null): string {
  return [rule, ...(database === null ? [] : [database]), ...(subject === null ? [] : [subject])].join('/');
}

/** `1d 4h`. */
export function timeText(ms: number): string {
  return prettyMs(Math.max(0, ms), { unitCount: 2, secondsDecimalDigits: 0 });
}

/** UTC to the second: whoever reads an alert may sit in any zone. */
export function instantText(instant: Instant): string {
  return instant.toString({ smallestUnit: 'second' });
}

export function ageMs(instant: Instant, now: Instant): number {
  return now.epochMilliseconds - instant.epochMilliseconds;
}
