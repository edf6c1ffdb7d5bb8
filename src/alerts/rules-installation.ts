import prettyBytes from 'pretty-bytes';
import { ageMs, instantText, timeText, type Verdict } from './condition.ts';
import type { ChannelFacts, Facts } from './facts.ts';
import type { AlertPolicy } from './policy.ts';

/* The rules about what all databases share: the repository, the keys, the alert channels. */

type Check = (facts: Facts, policy: AlertPolicy) => Verdict;

export const storageNearlyFull: Check = ({ repository }, { storage }) => {
  const capacity = repository?.capacity;
  if (repository === undefined || capacity === undefined) return 'unknown';
  if (capacity === null || capacity.bytes === 0) return 'clear';
  const share = capacity.usedBytes / capacity.bytes;
  if (share < storage.warning) return 'clear';
  const size = (bytes: number) => prettyBytes(bytes, { binary: true });
  const own = repository.usedBytes === undefined ? [] : [`${size(repository.usedBytes)} of it are this repository's`];
  return {
    // A full disk ends all backups at once; before that it is housekeeping.
    severity: share >= storage.critical ? 'critical' : 'warning',
    summary: `the storage of the repository is ${Math.floor(share * 100)} % full`,
    detail: [`${repository.location}: ${size(capacity.usedBytes)} of ${size(capacity.bytes)}`, ...own],
    hint: 'jetbackup prune --dry-run',
  };
};

export const escrowOverdue: Check = ({ keys, now }, { escrowEveryMs }) => {
  if (escrowEveryMs === null) return 'clear';
  const checkedAt = keys?.escrowCheckedAt;
  if (checkedAt === undefined) return 'unknown';
  const age = checkedAt === null ? undefined : ageMs(checkedAt, now);
  if (age !== undefined && age <= escrowEveryMs) return 'clear';
  // The identity that is in use may still be at hand; without escrow its loss is the loss of every backup.
  return {
    severity: 'warning',
    summary:
      age === undefined
        ? 'nobody has checked that the identity in escrow opens the backups'
        : `the identity in escrow was last checked ${timeText(age)} ago`,
    detail: [`it is to be checked every ${timeText(escrowEveryMs)}`],
    hint: 'On a machine that has only the identity from escrow: jetbackup restore latest --dry-run',
  };
};

/** Below this a key's end is a warning, above it a note. */
const ROTATION_WARNING_MS = 7 * 86_400_000;

export const keyRotationDue: Check = ({ keys, now }, { rotationNoticeMs }) => {
  const rotations = keys?.rotations;
  if (rotations === undefined) return 'unknown';
  const due = rotations.filter(({ dueAt }) => -ageMs(dueAt, now) <= rotationNoticeMs);
  if (due.length === 0) return 'clear';
  const first = Math.min(...due.map(({ dueAt }) => -ageMs(dueAt, now)));
  return {
    // Backups go on with the old key; but who takes it out without a successor leaves backups that nobody opens.
    severity: first <= ROTATION_WARNING_MS ? 'warning' : 'info',
    summary: due.length === 1 ? `the key ${due[0]?.key} is about to be rotated out` : `${due.length} keys are about to be rotated out`,
    detail: due.map(({ key, dueAt }) => `${key}: on ${instantText(dueAt)}`),
    hint: 'Add the next key beside it first, in the configuration and in escrow.',
  };
};

export function alertDelivery({ name, failure }: ChannelFacts): Verdict {
  if (failure === null) return 'clear';
  // The other channels work, or nobody would read this.
  return {
    severity: 'warning',
    summary: `alerts cannot be delivered through ${name}`,
    detail: [
      `since ${instantText(failure.since)}`,
      `${failure.code}: ${failure.message}`,
      ...(failure.settled ? ['what was refused is not sent again; this ends with the next that is taken, or within a day'] : []),
    ],
    hint: `jetbackup alerts test --channel ${name}`,
  };
}
