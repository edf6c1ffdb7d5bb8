import type { Difference, Fingerprint } from '../../core/fingerprint.ts';
import { compareFingerprints } from '../../postgres/fingerprint.ts';
import type { CheckContext } from '../check.ts';

export interface Compared {
  readonly expected: Fingerprint;
  readonly actual: Fingerprint;
  readonly differences: readonly Difference[];
  /** The majors, where the two are not of the same. */
  readonly majors: readonly [before: number, now: number] | undefined;
}

/** The fingerprint to hold the restored database against, or why there is none, in words. */
export function expectedOf({ expected, manifest }: Pick<CheckContext, 'expected' | 'manifest'>): Fingerprint | string {
  if (manifest.fingerprint.mode === 'off' || expected?.mode === 'off')
    return 'the backup was made without a fingerprint (fingerprint: off)';
  return expected ?? 'the backup holds no fingerprint';
}

/** What `fingerprint` and `inventory` each tell their half of. The fingerprint is taken once, so the second costs nothing but the comparison. */
export async function compare(context: CheckContext, expected: Fingerprint): Promise<Compared> {
  const actual = await context.actual();
  const [before, now] = [majorOf(expected), majorOf(actual)];
  return {
    ...{ expected, actual },
    differences: compareFingerprints(expected, actual, { noOwner: context.noOwner }).filter(
      (found) => !isEncoding(found, expected, actual),
    ),
    majors: before === now ? undefined : [before, now],
  };
}

/** That one is told by the check of its name. */
function isEncoding({ kind, object, message }: Difference, expected: Fingerprint, actual: Fingerprint): boolean {
  const differs = expected.server?.encoding !== actual.server?.encoding;
  return differs && kind === 'object-changed' && object === 'encoding' && message.startsWith('the database is in ');
}

function majorOf({ server }: Fingerprint): number {
  return Math.floor((server?.versionNum ?? 0) / 10_000);
}

export type AsAtBackup = (kind: string, identity: string) => boolean;

/**
 * Whether an object is just as it was at backup, validity included. Undefined: the backup does not say, because it has no
 * inventory.
 */
export async function asAtBackup(context: CheckContext): Promise<AsAtBackup | undefined> {
  const expected = expectedOf(context);
  if (typeof expected === 'string') return undefined;
  const definitions = ({ inventory }: Fingerprint) =>
    new Map(inventory.map(({ kind, identity, definition }) => [`${kind} ${identity}`, definition]));
  const before = definitions(expected);
  const now = definitions(await context.actual());
  return (kind, identity) => {
    const key = `${kind} ${identity}`;
    return before.has(key) && before.get(key) === now.get(key);
  };
}
