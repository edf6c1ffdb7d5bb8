import type { Severity } from '../core/alert.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

/** What the rules and the incidents go by; times in ms. */
export interface AlertPolicy {
  /** How old the newest proven recovery point may be; null: it is not asked for. */
  readonly provenWithinMs: number | null;
  /** Share of a directory repository's file system. */
  readonly storage: { readonly warning: number; readonly critical: number };
  /** How often somebody must prove that the identity in escrow still opens backups; null: it is not asked for. */
  readonly escrowEveryMs: number | null;
  /** How long before a key is to be replaced that is told. */
  readonly rotationNoticeMs: number;
  /** How far ahead an objective at risk is told, and from when on it is a warning. */
  readonly forecast: { readonly noticeMs: number; readonly warningMs: number };
  /** After how long what still holds is told again; 0: never. */
  readonly repeatMs: Readonly<Record<Severity, number>>;
}

export const defaultPolicy: AlertPolicy = {
  // A verification each week, and a day for it to be late.
  provenWithinMs: 8 * DAY_MS,
  // The threshold of the production checklist; above 90 % a file system may not take the next full backup.
  storage: { warning: 0.7, critical: 0.9 },
  escrowEveryMs: 180 * DAY_MS,
  rotationNoticeMs: 30 * DAY_MS,
  forecast: { noticeMs: 90 * DAY_MS, warningMs: 14 * DAY_MS },
  // A page that nobody heard must come again in the same night; what may wait for the morning comes once a day.
  repeatMs: { critical: 4 * HOUR_MS, warning: DAY_MS, info: 7 * DAY_MS },
};
