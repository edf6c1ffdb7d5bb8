import { Temporal } from 'temporal-polyfill';
import * as z from 'zod';
import { ruleIds, severities } from '../core/alert.ts';
import { catalogue, type ErrorCode } from '../core/errors.ts';
import { NoticeSchema } from './alert.ts';

/*
 * What has been told, as it is stored (alerts/state.json), so that neither a restart nor a second instance tells it again.
 */

/** An instant as it is stored, and how long ago that was, ms; negative where a clock was set back since. */
export function storedInstant(instant: Temporal.Instant): string {
  return instant.toString({ smallestUnit: 'millisecond' });
}
export function msSince(stored: string, now: Temporal.Instant): number {
  return now.epochMilliseconds - Temporal.Instant.from(stored).epochMilliseconds;
}

const Instant = z.iso.datetime();
const codes = Object.keys(catalogue) as [ErrorCode, ...ErrorCode[]];

const AcknowledgementSchema = z.strictObject({
  by: z.string(),
  reason: z.string().optional(),
  /** Null: until it is over. */
  until: Instant.nullable(),
});
export type Acknowledgement = z.infer<typeof AcknowledgementSchema>;

export const IncidentSchema = z.strictObject({
  rule: z.enum(ruleIds),
  database: z.string().nullable(),
  subject: z.string().nullable(),
  /** `held`: not long enough to be told. `open`: told. `over`: kept for a while, to notice flapping. */
  phase: z.enum(['held', 'open', 'over']),
  severity: z.enum(severities),
  /** The last severity that was told, and the highest since it opened. */
  toldSeverity: z.enum(severities).nullable(),
  peak: z.enum(severities),
  summary: z.string(),
  detail: z.array(z.string()),
  hint: z.string().nullable(),
  since: Instant,
  toldAt: Instant.nullable(),
  /** Since when it does not hold any more, while that is too short to count; of one that is over, when it ended. */
  goneSince: Instant.nullable(),
  clearMs: z.int().nonnegative(),
  /** How often it came back soon after it was over; each time it must be gone twice as long. */
  flaps: z.int().nonnegative(),
  acknowledged: AcknowledgementSchema.nullable(),
});
export type Incident = z.infer<typeof IncidentSchema>;

export const ChannelHealthSchema = z.strictObject({
  failingSince: Instant,
  attempts: z.int().positive(),
  /** Nothing is tried before. */
  nextAttemptAt: Instant,
  code: z.enum(codes),
  message: z.string(),
  /** What failed last is not sent again: some of its recipients have it, or others of its kind were taken. */
  settled: z.boolean().default(false),
});
export type ChannelHealth = z.infer<typeof ChannelHealthSchema>;

export const AlertStateSchema = z.strictObject({
  format: z.literal(1),
  incidents: z.record(z.string(), IncidentSchema),
  /** Channels whose last delivery failed, by name. */
  failing: z.record(z.string(), ChannelHealthSchema),
  /** What could not be delivered yet: of each incident and channel the newest notice. */
  outbox: z.array(z.strictObject({ channel: z.string(), notice: NoticeSchema })),
});
export type AlertState = z.infer<typeof AlertStateSchema>;

export const emptyState: AlertState = { format: 1, incidents: {}, failing: {}, outbox: [] };

/**
 * The stored state, from the text of its object; undefined is none yet. One that cannot be read begins anew: whatever is
 * wrong is then told once more, which is better than silence. `damaged` says why, for the log.
 */
export function readState(text: string | undefined): { readonly state: AlertState; readonly damaged: string | undefined } {
  if (text === undefined) return { state: emptyState, damaged: undefined };
  try {
    const parsed = AlertStateSchema.safeParse(JSON.parse(text));
    if (parsed.success) return { state: parsed.data, damaged: undefined };
    return { state: emptyState, damaged: z.prettifyError(parsed.error) };
  } catch {
    return { state: emptyState, damaged: 'it is not JSON' };
  }
}
