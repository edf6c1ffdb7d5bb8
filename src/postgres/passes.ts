import type { ArchiveEntry } from './archive.ts';

export interface Selection {
  /** `schema.table`, or `table` in whatever schema. */
  readonly tables?: readonly string[];
  readonly schemas?: readonly string[];
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
 * and the refresh of materialized views.
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

function isGrant(desc: string): boolean {
  return desc === 'ACL' || desc === 'DEFAULT ACL' || desc === 'ACL LANGUAGE';
}

const relations = new Set(['TABLE', 'VIEW', 'FOREIGN TABLE', 'MATERIALIZED VIEW', 'SEQUENCE']);

/** Without a selection, all. With one: the relations named, and what hangs on them alone (rows, indexes, constraints, triggers, owned sequences). */
function select(entries: readonly ArchiveEntry[], { tables, schemas }: Selection): readonly ArchiveEntry[] {
  if (tables === undefined && schemas === undefined) return entries;
  const wantedTables = new Set(tables ?? []);
  const wantedSchemas = new Set(schemas ?? []);
  const chosen = new Set<number>();
  for (const { dumpId, desc, tag, namespace } of entries) {
    const ofSchema = (namespace !== null && wantedSchemas.has(namespace)) || (desc === 'SCHEMA' && wantedSchemas.has(tag));
    const ofTable = relations.has(desc) && (wantedTables.has(`${namespace}.${tag}`) || wantedTables.has(tag));
    if (ofSchema || ofTable) chosen.add(dumpId);
  }
  // A dependant comes along when all that it depends on is there: an index does, a foreign key to a table left out does not.
  const known = new Set(entries.map(({ dumpId }) => dumpId));
  const isSchema = new Set(entries.filter(({ desc }) => desc === 'SCHEMA').map(({ dumpId }) => dumpId));
  const dependants = new Set([
    'VIEW',
    'FUNCTION',
    'PROCEDURE',
    'AGGREGATE',
    'MATERIALIZED VIEW',
    'TABLE',
    'FOREIGN TABLE',
    'PUBLICATION',
    'PUBLICATION TABLE',
  ]);
  for (let grew = true; grew; ) {
    grew = false;
    for (const { dumpId, desc, dependencies } of entries) {
      const within = dependencies.filter((dependency) => known.has(dependency) && !isSchema.has(dependency));
      if (chosen.has(dumpId) || dependants.has(desc) || within.length === 0 || !within.every((dependency) => chosen.has(dependency)))
        continue;
      chosen.add(dumpId);
      grew = true;
    }
  }
  return entries.filter(({ dumpId }) => chosen.has(dumpId));
}
