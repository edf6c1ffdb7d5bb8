import * as z from 'zod';
import { type Tier, tiers } from './calendar.ts';
import { presetNames, presets } from './presets/presets.ts';

const HOUR_MS = 3_600_000;

/** A length of time: fixed for hours, days (of 24 h) and weeks, by the calendar for months and years. One of the two figures is 0. */
export interface Duration {
  /** As it was written. */
  readonly text: string;
  readonly milliseconds: number;
  readonly months: number;
}

/** Per unit: what one is, and how many make a hundred years, beyond which it is a typing error. */
const units = {
  h: { milliseconds: HOUR_MS, months: 0, most: 876_600 },
  d: { milliseconds: 24 * HOUR_MS, months: 0, most: 36_525 },
  w: { milliseconds: 7 * 24 * HOUR_MS, months: 0, most: 5_217 },
  mo: { milliseconds: 0, months: 1, most: 1_200 },
  y: { milliseconds: 0, months: 12, most: 100 },
} as const;

const DURATION_FORM = 'a number and a unit (h, d, w, mo, y): 36h, 30d, 8w, 12mo, 1y';

/** `36h`, `30d`, `8w`, `12mo`, `1y`, up to a hundred years; or what is wrong with it, in words that fit behind the name of the key. */
export function parseDuration(text: string): Duration | { readonly problem: string } {
  const match = /^(\d{1,9})(h|d|w|mo|y)$/.exec(text);
  const unit = match?.[2] as keyof typeof units | undefined;
  if (match?.[1] === undefined || unit === undefined) return { problem: `must be ${DURATION_FORM}` };
  const count = Number(match[1]);
  const { milliseconds, months, most } = units[unit];
  if (count === 0) return { problem: 'must be longer than nothing' };
  if (count > most) return { problem: `must be at most a hundred years: ${most}${unit}` };
  return { text, milliseconds: count * milliseconds, months: count * months };
}

const DurationSchema = z.string().transform((text, context): Duration => {
  const parsed = parseDuration(text);
  if (!('problem' in parsed)) return parsed;
  context.addIssue({ code: 'custom', message: parsed.problem });
  return z.NEVER;
});

const CountSchema = z.int('must be a whole number').min(0, 'must not be negative').max(100_000, 'must be at most 100000');

/** A policy as a person writes it. Unknown keys are refused: a misspelt tier would otherwise keep nothing of it. */
export const RetentionPolicySchema = z.strictObject({
  /** Figures to start from; the keys given beside it win. */
  preset: z.enum(presetNames).optional(),
  hourly: CountSchema.optional(),
  daily: CountSchema.optional(),
  weekly: CountSchema.optional(),
  monthly: CountSchema.optional(),
  yearly: CountSchema.optional(),
  /** The newest so many always stay. */
  minimumKeep: CountSchema.optional(),
  /** Whatever is no older than this, counted back from the newest backup and not from now. */
  keepWithin: DurationSchema.optional(),
});
export type RetentionPolicy = z.output<typeof RetentionPolicySchema>;

/** A policy with every figure in place: how many slots each tier has, 0 for none. */
export interface Policy extends Readonly<Record<Tier, number>> {
  readonly minimumKeep: number;
  readonly keepWithin: Duration | undefined;
}

/** Fills in the preset's figures and then zeros. No policy at all is the one that keeps everything. */
export function resolvePolicy(input: RetentionPolicy | undefined): Policy {
  const preset: Partial<Record<Tier, number>> = input?.preset === undefined ? {} : presets[input.preset];
  const slots = (tier: Tier) => input?.[tier] ?? preset[tier] ?? 0;
  return {
    hourly: slots('hourly'),
    daily: slots('daily'),
    weekly: slots('weekly'),
    monthly: slots('monthly'),
    yearly: slots('yearly'),
    minimumKeep: input?.minimumKeep ?? 0,
    keepWithin: input?.keepWithin,
  };
}

/**
 * Whether the policy says of any backup that it may go. A `minimumKeep` alone does not: it is a floor under the other
 * rules, and somebody who wrote only that has asked for nothing to be deleted.
 */
export function limitsAnything(policy: Policy): boolean {
  return policy.keepWithin !== undefined || tiers.some((tier) => policy[tier] > 0);
}
