import { instantText, type Tier } from './calendar.ts';

/** Why a backup stays. The order within a backup is that of the rules in README.md. */
export type KeepReason =
  | { readonly kind: 'listed-twice' }
  | { readonly kind: 'unreadable' }
  | { readonly kind: 'unknown-format' }
  | { readonly kind: 'incomplete' }
  | { readonly kind: 'no-instant' }
  | { readonly kind: 'future' }
  | { readonly kind: 'newest' }
  | { readonly kind: 'newest-proven' }
  | { readonly kind: 'newest-not-failed' }
  | { readonly kind: 'pin'; readonly reason: string; readonly until: number | undefined }
  | { readonly kind: 'keep-until'; readonly until: number }
  | { readonly kind: 'minimum'; readonly of: number }
  | { readonly kind: 'keep-within'; readonly within: string; readonly since: number }
  | { readonly kind: 'tier'; readonly tier: Tier; readonly slot: string; readonly place: number; readonly of: number }
  | { readonly kind: 'no-policy' }
  | HoldReason;

/** Why nothing of a database is deleted for now: the only reason of those that would have gone. */
export type HoldReason = { readonly kind: 'newest-run-failed' } | { readonly kind: 'frozen'; readonly why: string };

/** Why a backup goes: one for each rule that could have kept it and did not. */
export type ExpireReason =
  | { readonly kind: 'pin-lapsed'; readonly reason: string; readonly until: number }
  | { readonly kind: 'keep-until-lapsed'; readonly until: number }
  | { readonly kind: 'outside-within'; readonly within: string; readonly since: number }
  | {
      readonly kind: 'superseded';
      readonly tier: Tier;
      readonly slot: string;
      /** Id of the backup that stands for the slot, and what makes it the better one. */
      readonly by: string;
      readonly because: 'newer' | 'proven' | 'not-failed';
    }
  | { readonly kind: 'beyond'; readonly tier: Tier; readonly slot: string; readonly oldestKeptSlot: string; readonly of: number };

export type Reason = KeepReason | ExpireReason;

const better = { newer: 'is newer', proven: 'is proven', 'not-failed': 'has not failed its verification' } as const;

/** One line for a person and an auditor; instants in `timeZone`. */
export function describeReason(reason: Reason, timeZone: string): string {
  const at = (instant: number) => instantText(instant, timeZone);
  switch (reason.kind) {
    case 'listed-twice':
      return 'its id occurs twice in the listing: not deleted on a listing that contradicts itself';
    case 'unreadable':
      return 'its manifest cannot be read: never deleted';
    case 'incomplete':
      return 'objects of it are missing or cut off: it stands for nothing, and is not deleted before somebody has looked';
    case 'unknown-format':
      return 'its format is not known to this version: never deleted';
    case 'no-instant':
      return 'it has no valid instant: never deleted';
    case 'future':
      return 'dated in the future: not deleted while a clock may be wrong';
    case 'newest':
      return 'the newest backup';
    case 'newest-proven':
      return 'the newest backup proven restorable';
    case 'newest-not-failed':
      return 'the newest backup that has not failed a verification';
    case 'pin':
      // JSON's quoting, so that a reason of several lines stays on one.
      return `pinned${reason.until === undefined ? '' : ` until ${at(reason.until)}`}: ${JSON.stringify(reason.reason)}`;
    case 'keep-until':
      return `to be kept until ${at(reason.until)}`;
    case 'minimum':
      return reason.of === 1 ? 'the newest, which always stays' : `one of the newest ${reason.of}, which always stay`;
    case 'keep-within':
      return `within ${reason.within} of the newest backup, since ${at(reason.since)}`;
    case 'tier':
      return `${reason.tier} ${reason.place} of ${reason.of}: stands for ${reason.slot}`;
    case 'no-policy':
      return 'no tier and no keepWithin is set: everything stays';
    case 'newest-run-failed':
      return 'would go, but the newest backup run failed, or its record may not be read: nothing goes until one succeeds';
    case 'frozen':
      return `would go, but deletion is frozen: ${reason.why}`;
    case 'pin-lapsed':
      return `its pin lapsed on ${at(reason.until)}: ${JSON.stringify(reason.reason)}`;
    case 'keep-until-lapsed':
      return `was to be kept until ${at(reason.until)}`;
    case 'outside-within':
      return `more than ${reason.within} older than the newest backup, before ${at(reason.since)}`;
    case 'superseded':
      return `${reason.tier} ${reason.slot} is held by ${reason.by}, which ${better[reason.because]}`;
    case 'beyond':
      return `${reason.tier} ${reason.slot} is beyond the ${reason.of} that are kept, back to ${reason.oldestKeptSlot}`;
  }
}
