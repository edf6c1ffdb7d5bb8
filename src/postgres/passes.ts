import type { ArchiveEntry } from './archive.ts';
import { type Choice, select } from './selection.ts';

export interface Selection extends Choice {
  readonly noPrivileges?: boolean;
  /** A comment on an extension belongs to the extension's owner; whoever is no superuser often is not (managed services), and CREATE EXTENSION has set it anyway. */
  readonly skipExtensionComments?: boolean;
}

/** Dump ids for each pass, in the archive's order. */
export interface Passes {
  readonly preData: readonly number[];
  readonly data: readonly number[];
  readonly postData: readonly number[];
}

/**
 * Spreads the table of contents over three runs of pg_restore. Rights are granted in the last one, whatever section
 * they stand in: pg_restore itself leaves them to the end, because a table whose owner has revoked his own rights
 * could not be filled any more. In that last run pg_restore keeps its own order: objects, rights, then event triggers
 * and the refresh of materialized views. Throws `usage` when the archive lacks what was selected.
 */
export function planPasses(entries: readonly ArchiveEntry[], selection: Selection): Passes {
  const selected = select(entries, selection).filter(({ desc, tag }) => {
    if (selection.noPrivileges === true && isGrant(desc)) return false;
    if (selection.skipExtensionComments === true && desc === 'COMMENT' && tag.startsWith('EXTENSION ')) return false;
    return true;
  });
  const ids = (keep: (entry: ArchiveEntry) => boolean) => selected.filter(keep).map(({ dumpId }) => dumpId);
  return {
    preData: ids(({ section, desc }) => section === 'pre-data' && !isGrant(desc)),
    data: ids(({ section, desc }) => section === 'data' && !isGrant(desc)),
    postData: ids(({ section, desc }) => section === 'post-data' || isGrant(desc)),
  };
}

/** A run of pg_restore over some of what comes after the rows. */
export interface Stage {
  readonly ids: readonly number[];
  /** By one connection alone. */
  readonly isSerial: boolean;
}

/**
 * One run for all, but where a partitioned index gets its parts. A parallel pg_restore attaches one beside a foreign key that it checks:
 * each waits for a lock of the other (the check reads all indexes of the partitions), and the server ends one of them with
 * `deadlock detected`. So first all indexes, then each part to its whole, then the rest.
 */
export function stagesOf(entries: readonly ArchiveEntry[], postData: readonly number[]): readonly Stage[] {
  const descOf = new Map(entries.map(({ dumpId, desc }) => [dumpId, desc]));
  const isOf = (...descs: string[]) => postData.filter((id) => descs.includes(descOf.get(id) ?? ''));
  const [indexes, attached] = [isOf('INDEX', 'CONSTRAINT'), isOf('INDEX ATTACH')];
  if (attached.length === 0) return [{ ids: postData, isSerial: false }];
  const before = new Set([...indexes, ...attached]);
  return [
    { ids: indexes, isSerial: false },
    { ids: attached, isSerial: true },
    { ids: postData.filter((id) => !before.has(id)), isSerial: false },
  ];
}

function isGrant(desc: string): boolean {
  return desc === 'ACL' || desc === 'DEFAULT ACL' || desc === 'ACL LANGUAGE';
}
