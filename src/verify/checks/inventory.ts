import type { Difference } from '../../core/fingerprint.ts';
import { otherExtensionVersions } from '../../postgres/fingerprint.ts';
import type { RestoreCheck } from '../check.ts';
import { type Compared, compare, expectedOf } from './compare.ts';
import { anotherBackup, counted, failed, passed, skipped } from './result.ts';

const words: Partial<Record<Difference['kind'], string>> = {
  'object-missing': 'missing',
  'object-extra': 'not there at backup',
  'object-changed': 'not as at backup',
};

/**
 * Every object is there with its definition, owner and privileges. An extension of another version is told and no failure: a
 * dump says CREATE EXTENSION without a version, so that every restore gets the one that the server has.
 */
export const inventory: RestoreCheck = {
  id: 'inventory',
  async run(context) {
    const expected = expectedOf(context);
    if (typeof expected === 'string') return skipped(expected);
    const compared = await compare(context, expected);
    const found = compared.differences.filter(({ kind }) => words[kind] !== undefined);
    const versions = otherExtensionVersions(compared.expected, compared.actual);
    const limits = limitsOf(compared, { versions: versions.length, noOwner: context.noOwner });
    if (found.length === 0)
      return passed([`all ${counted(expected.inventory.length, 'object')} as at backup`, ...limits].join('; '), versions);
    const told = Object.entries(words).flatMap(([kind, say]) => {
      const count = new Set(
        found.filter((difference) => difference.kind === kind).map(({ message, object }) => `${kindOf(message)} ${object}`),
      ).size;
      return count === 0 ? [] : [`${count} ${say}`];
    });
    return failed([`of ${counted(expected.inventory.length, 'object')}: ${told.join(', ')}`, ...limits].join('; '), anotherBackup, [
      ...found.map(({ message }) => message),
      ...versions,
    ]);
  },
};

/** An object that changed in two ways is one object; its name alone is not unique. */
function kindOf(message: string): string {
  return message.split(' ', 1)[0] ?? '';
}

/** What was not looked at, or is rightly otherwise: said, so that nobody takes it for compared. */
function limitsOf({ majors }: Compared, { versions, noOwner }: { readonly versions: number; readonly noOwner: boolean }): string[] {
  return [
    ...(versions === 0 ? [] : [`${counted(versions, 'extension')} of another version than at backup`]),
    ...(majors === undefined ? [] : [`expressions and queries were not compared between PostgreSQL ${majors[0]} and ${majors[1]}`]),
    ...(noOwner ? ['owners and privileges were not compared, because the server lacks roles'] : []),
  ];
}
