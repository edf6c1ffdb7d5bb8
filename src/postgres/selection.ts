import { distance } from 'fastest-levenshtein';
import { JetbackupError } from '../core/errors.ts';
import type { ArchiveEntry } from './archive.ts';

export interface Choice {
  /** `schema.table`, or `table` in whatever schema. */
  readonly tables?: readonly string[];
  readonly schemas?: readonly string[];
}

const holdsRows = new Set(['TABLE', 'FOREIGN TABLE', 'MATERIALIZED VIEW', 'VIEW']);
const relations = new Set([...holdsRows, 'SEQUENCE']);

const annotations = new Set(['COMMENT', 'SECURITY LABEL', 'ACL']);

/** What is part of another object, and of no use without it. */
const parts = new Set([
  ...['TABLE DATA', 'MATERIALIZED VIEW DATA', 'STATISTICS DATA', 'SEQUENCE SET', 'SEQUENCE OWNED BY', 'DEFAULT', 'TABLE ATTACH'],
  ...['INDEX', 'INDEX ATTACH', 'CONSTRAINT', 'CHECK CONSTRAINT', 'FK CONSTRAINT', 'TRIGGER', 'RULE', 'POLICY', 'ROW SECURITY'],
  ...['STATISTICS', ...annotations],
]);
/** A sequence may be part of a column. */
const isPart = (desc: string) => parts.has(desc) || desc === 'SEQUENCE';

/** Those without which not even the definition of the object is as it was. */
const partsOfDefinition = new Set(['SEQUENCE', 'SEQUENCE OWNED BY', 'SEQUENCE SET', 'DEFAULT', 'TABLE ATTACH', ...annotations]);

/** The query of a view that stands apart from it, because it depends on a primary key. */
const isViewQuery = ({ desc, tag }: ArchiveEntry) => desc === 'RULE' && tag.endsWith(' _RETURN');

/**
 * The relations and schemas chosen, with rows and all that is part of them, and what they depend on: the definitions
 * alone of the schemas, types, functions, sequences, extensions and relations that their own definitions ask for. A
 * part that needs the rows of a relation that is not chosen, as a foreign key does, is left out. A partitioned table
 * is chosen with its partitions. All where nothing is chosen. In the archive's order. Throws `usage` when the archive
 * lacks what was chosen.
 */
export function select(entries: readonly ArchiveEntry[], choice: Choice): readonly ArchiveEntry[] {
  const tables = new Set(choice.tables);
  const schemas = new Set(choice.schemas);
  if (tables.size === 0 && schemas.size === 0) return entries;
  assertKnown(entries, tables, schemas);

  const byId = new Map(entries.map((entry) => [entry.dumpId, entry]));
  const on = ({ dependencies }: ArchiveEntry) => dependencies.map((id) => byId.get(id)).filter((entry) => entry !== undefined);
  /** With their rows. */
  const chosen = new Set<ArchiveEntry>();
  /** Without. */
  const needed = new Set<ArchiveEntry>();
  const has = (entry: ArchiveEntry) => chosen.has(entry) || needed.has(entry);

  const need = (entry: ArchiveEntry) => {
    for (const dependency of on(entry)) {
      if (has(dependency) || dependency.section === 'data') continue;
      needed.add(dependency);
      need(dependency);
    }
  };
  const take = (entry: ArchiveEntry) => {
    needed.delete(entry);
    chosen.add(entry);
    need(entry);
  };

  for (const entry of entries) {
    const { desc, tag, namespace } = entry;
    const ofSchema = desc === 'SCHEMA' ? schemas.has(tag) : namespace !== null && schemas.has(namespace) && !parts.has(desc);
    const ofTable = relations.has(desc) && (tables.has(`${namespace}.${tag}`) || tables.has(tag));
    if (ofSchema || ofTable) take(entry);
  }

  const seesNoRows = (entry: ArchiveEntry): boolean =>
    on(entry).some((source) => (source.desc === 'VIEW' ? seesNoRows(source) : holdsRows.has(source.desc) && needed.has(source)));
  const belongs = (entry: ArchiveEntry): boolean => {
    const { desc } = entry;
    const dependencies = on(entry);
    const owners = dependencies.filter((owner) => chosen.has(owner));
    if (owners.length === 0) return false;
    if (owners.every((owner) => owner.desc === 'SCHEMA')) return annotations.has(desc);
    if (desc === 'TABLE ATTACH' || desc === 'INDEX ATTACH') return dependencies.every(has);
    // Refreshed from tables without rows, it would show something that never was.
    if (desc === 'MATERIALIZED VIEW DATA') return dependencies.every((view) => chosen.has(view) && !seesNoRows(view));
    return dependencies.every((dependency) => {
      if (holdsRows.has(dependency.desc)) return chosen.has(dependency);
      // A partition's index asks for the index of the whole; an index on a table without rows is a definition.
      return has(dependency) || !parts.has(dependency.desc) || dependency.desc === 'INDEX' || dependency.desc === 'CONSTRAINT';
    });
  };
  const takePartition = (attach: ArchiveEntry) => {
    const tables = on(attach);
    const child = tables.find((table) => isChild(attach, table));
    if (child !== undefined && !chosen.has(child) && tables.some((table) => table !== child && chosen.has(table))) take(child);
  };
  const defines = (entry: ArchiveEntry): boolean => {
    const dependencies = on(entry);
    if (isViewQuery(entry)) return dependencies.some((view) => has(view) && entry.tag === `${view.tag} _RETURN`);
    if (dependencies.length === 0 || !dependencies.every(has)) return false;
    if (entry.desc === 'CAST' || entry.desc === 'CHECK CONSTRAINT') return !dependencies.some(({ desc }) => holdsRows.has(desc));
    if (!partsOfDefinition.has(entry.desc)) return false;
    return entry.desc !== 'SEQUENCE' || dependencies.some(({ desc }) => holdsRows.has(desc));
  };

  // One entry makes room for another, and an entry only ever moves up (none, needed, chosen): this ends.
  for (let before = -1; before !== chosen.size * 2 + needed.size; ) {
    before = chosen.size * 2 + needed.size;
    for (const entry of entries) {
      if (entry.desc === 'TABLE ATTACH') takePartition(entry);
      if (chosen.has(entry)) continue;
      if (isPart(entry.desc) && !isViewQuery(entry) && belongs(entry)) take(entry);
      else if (!has(entry) && defines(entry)) {
        needed.add(entry);
        need(entry);
      }
    }
  }
  return entries.filter(has);
}

/** Whether the table is the partition that the entry attaches, which bears its name. */
const isChild = (attach: ArchiveEntry, table: ArchiveEntry) => table.tag === attach.tag && table.namespace === attach.namespace;

/** At most so many names are offered for one that is not there. */
const NEAR_MISSES = 3;

function assertKnown(entries: readonly ArchiveEntry[], tables: ReadonlySet<string>, schemas: ReadonlySet<string>): void {
  const found = entries.filter(({ desc }) => relations.has(desc)).map(({ namespace, tag }) => ({ full: `${namespace}.${tag}`, tag }));
  const names = new Set(found.flatMap(({ full, tag }) => [full, tag]));
  const spaces = new Set(entries.flatMap(({ desc, tag, namespace }) => (desc === 'SCHEMA' ? [tag] : (namespace ?? []))));
  const unknown = [
    ...[...tables].filter((name) => !names.has(name)).map((name) => ({ kind: 'table', name, near: nearTables(name, found) })),
    ...[...schemas].filter((name) => !spaces.has(name)).map((name) => ({ kind: 'schema', name, near: near(name, [...spaces], String) })),
  ];
  if (unknown.length === 0) return;
  const tell = unknown.map(({ kind, name, near: others }) => {
    const meant = others.map((other) => JSON.stringify(other)).join(' or ');
    return `the backup has no ${kind} ${JSON.stringify(name)}${meant === '' ? '' : ` (did you mean ${meant}?)`}`;
  });
  throw new JetbackupError('usage', tell.join('; '), {
    hint: 'Write a table as schema.table and a schema by its name, as PostgreSQL shows them: upper and lower case count, and quotes are left out.',
  });
}

function nearTables(name: string, found: readonly { readonly full: string; readonly tag: string }[]): string[] {
  const bare = name.slice(name.indexOf('.') + 1);
  // The right name in another schema comes first.
  const elsewhere = found.filter(({ tag }) => tag === bare).map(({ full }) => full);
  const alike = near(name, found, ({ full, tag }) => (name.includes('.') ? full : tag)).map(({ full }) => full);
  return [...new Set([...elsewhere, ...alike])].slice(0, NEAR_MISSES);
}

/** Those that differ by a third of their letters at most, or contain it, nearest first. */
function near<T>(name: string, candidates: readonly T[], text: (candidate: T) => string): T[] {
  const wanted = name.toLowerCase();
  return candidates
    .map((candidate) => ({ candidate, other: text(candidate).toLowerCase() }))
    .map(({ candidate, other }) => ({ candidate, far: distance(wanted, other), contains: other.includes(wanted) }))
    .filter(({ far, contains }) => contains || far <= Math.max(1, Math.floor(wanted.length / 3)))
    .sort((one, two) => one.far - two.far)
    .slice(0, NEAR_MISSES)
    .map(({ candidate }) => candidate);
}
