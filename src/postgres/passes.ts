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
 * `deadlock detected`. So first the indexes, then each part to its whole, then the rest: with it what depends on something of the rest, as
 * the index of a materialized view that pg_dump makes only after the key by which it groups.
 */
export function stagesOf(entries: readonly ArchiveEntry[], postData: readonly number[]): readonly Stage[] {
  const wanted = new Set(postData);
  const byId = new Map(entries.flatMap((entry) => (wanted.has(entry.dumpId) ? [[entry.dumpId, entry] as const] : [])));
  // In the archive's order: what an entry depends on stands before it.
  const takeAfter = (done: ReadonlySet<number>, ...descs: string[]) => {
    const taken = new Set(done);
    for (const id of postData) {
      const entry = byId.get(id);
      if (entry === undefined || !descs.includes(entry.desc)) continue;
      if (entry.dependencies.every((needed) => !wanted.has(needed) || taken.has(needed))) taken.add(id);
    }
    return taken;
  };
  const indexes = takeAfter(new Set(), 'INDEX', 'CONSTRAINT');
  const attached = takeAfter(indexes, 'INDEX ATTACH');
  if (attached.size === indexes.size) return [{ ids: postData, isSerial: false }];
  return [
    { ids: postData.filter((id) => indexes.has(id)), isSerial: false },
    { ids: postData.filter((id) => attached.has(id) && !indexes.has(id)), isSerial: true },
    { ids: postData.filter((id) => !attached.has(id)), isSerial: false },
  ];
}

function isGrant(desc: string): boolean {
  return desc === 'ACL' || desc === 'DEFAULT ACL' || desc === 'ACL LANGUAGE';
}
