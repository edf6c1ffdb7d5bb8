import { type Decision, decide } from './decide.ts';
import { compareText, type RecoveryPoint } from './points.ts';
import type { Policy } from './policy.ts';
import type { ExpireReason, HoldReason, KeepReason } from './reasons.ts';
import { place } from './tiers.ts';

export interface RetentionContext {
  /** Epoch ms. Only tells what is dated in the future; nothing ages by it. */
  readonly now: number;
  /** IANA name: whose days, weeks and months the slots are. */
  readonly timeZone: string;
  /** Databases whose newest backup run failed, or may have since its record may not be read: nothing of them goes. */
  readonly newestRunFailed?: ReadonlySet<string>;
  /** Databases that nothing may go of until an operator lifts it, and why. */
  readonly frozen?: ReadonlyMap<string, string>;
}

export interface RetentionPlan {
  /** Together with `expire` exactly the input; both by database, then time, then id. At least one reason each. */
  readonly keep: readonly { readonly point: RecoveryPoint; readonly reasons: readonly KeepReason[] }[];
  readonly expire: readonly { readonly point: RecoveryPoint; readonly reasons: readonly ExpireReason[] }[];
  /** What somebody should know about a whole database, by database. */
  readonly notes: readonly RetentionNote[];
}

export type RetentionNote = { readonly database: string } & (
  | { readonly kind: 'held'; readonly hold: HoldReason; readonly count: number }
  | { readonly kind: 'no-policy' }
  | { readonly kind: 'nothing-proven' }
  | { readonly kind: 'set-aside'; readonly reason: SetAside; readonly count: number }
);

const setAsides = ['listed-twice', 'unreadable', 'unknown-format', 'incomplete', 'no-instant', 'future'] as const;
type SetAside = (typeof setAsides)[number];

/**
 * What stays and what goes, by the rules of README.md, each with its reasons. Pure and total; deletes nothing.
 * Throws RangeError for a time zone that does not exist: a plan made in another one would be a different plan.
 */
export function planRetention(points: readonly RecoveryPoint[], policy: Policy, context: RetentionContext): RetentionPlan {
  const plan = {
    keep: [] as RetentionPlan['keep'][number][],
    expire: [] as RetentionPlan['expire'][number][],
    notes: [] as RetentionNote[],
  };
  const databases = [...Map.groupBy(points, ({ database }) => database)].sort(([a], [b]) => compareText(a, b));
  for (const [database, own] of databases) {
    const placed = own.map((point) => place(point, policy, context.timeZone));
    const decisions = decide(placed, policy, { now: context.now, timeZone: context.timeZone, hold: holdOn(database, context) });
    for (const { point, keep, expire } of decisions) {
      if (keep.length > 0) plan.keep.push({ point, reasons: keep });
      else plan.expire.push({ point, reasons: expire });
    }
    plan.notes.push(...notesOn(database, decisions));
  }
  return plan;
}

function holdOn(database: string, { frozen, newestRunFailed }: RetentionContext): HoldReason | undefined {
  // The freeze first: it stays until somebody acts, a failed run only until the next one.
  const why = frozen?.get(database);
  if (why !== undefined) return { kind: 'frozen', why };
  return newestRunFailed?.has(database) === true ? { kind: 'newest-run-failed' } : undefined;
}

function notesOn(database: string, decisions: readonly Decision[]): RetentionNote[] {
  const reasons = decisions.flatMap(({ keep }) => keep);
  const notes: RetentionNote[] = [];
  const holds = reasons.filter((reason) => reason.kind === 'frozen' || reason.kind === 'newest-run-failed');
  const [hold] = holds;
  if (hold !== undefined) notes.push({ database, kind: 'held', hold, count: holds.length });
  if (reasons.some(({ kind }) => kind === 'no-policy')) notes.push({ database, kind: 'no-policy' });
  if (!reasons.some(({ kind }) => kind === 'newest-proven')) notes.push({ database, kind: 'nothing-proven' });
  for (const reason of setAsides) {
    const count = reasons.filter(({ kind }) => kind === reason).length;
    if (count > 0) notes.push({ database, kind: 'set-aside', reason, count });
  }
  return notes;
}

/** One line for a person. */
export function describeNote(note: RetentionNote): string {
  const backups = (count: number) => (count === 1 ? '1 backup' : `${count} backups`);
  switch (note.kind) {
    case 'held':
      return note.hold.kind === 'frozen'
        ? `${note.database}: ${backups(note.count)} would go, but deletion is frozen: ${note.hold.why}`
        : `${note.database}: ${backups(note.count)} would go, but the newest backup run failed, or its record may not be read`;
    case 'no-policy':
      return `${note.database}: no tier and no keepWithin is set, so everything stays`;
    case 'nothing-proven':
      return `${note.database}: no backup has been proven restorable`;
    case 'set-aside':
      return `${note.database}: ${backups(note.count)} set aside and kept: ${asideWords[note.reason]}`;
  }
}

const asideWords: Record<SetAside, string> = {
  'listed-twice': 'id listed twice',
  unreadable: 'manifest unreadable',
  'unknown-format': 'format unknown',
  incomplete: 'objects missing or cut off',
  'no-instant': 'no valid instant',
  future: 'dated in the future',
};
