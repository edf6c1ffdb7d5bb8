import type { Difference, Fingerprint, InventoryEntry, SequenceFingerprint, TableFingerprint } from '../core/fingerprint.ts';
import { OWNER, withoutMaintain } from './inventory-privileges.ts';

export interface CompareOptions {
  /** The restore gave everything to one role (`--no-owner`). */
  readonly noOwner?: boolean;
  /** The restore left all grants out (`--no-privileges`). Default: `noOwner`, because grants to roles that nobody asked for make no sense. */
  readonly noPrivileges?: boolean;
  /** The restore brought these tables alone: nothing else is compared. */
  readonly tables?: readonly { readonly schema: string; readonly name: string }[];
}

interface Sides {
  readonly expected: Fingerprint;
  readonly actual: Fingerprint;
  readonly options: CompareOptions;
  readonly sameMajor: boolean;
  /** An extension is of another version: what it brings along rightly differs. */
  readonly otherExtensions: boolean;
  /** The majors lie on both sides of this one. */
  crosses(major: number): boolean;
}

/**
 * What differs in `actual` (the restored database) from `expected` (the source, at the snapshot). Empty when there is
 * nothing to report, also when either is of mode `off`. Between two majors, texts that the server deparses are left
 * out; between servers whose hashes disagree (byte order, encoding), content is. `notes` tells of what rightly differs.
 */
export function compareFingerprints(expected: Fingerprint, actual: Fingerprint, options: CompareOptions = {}): Difference[] {
  if (expected.mode === 'off' || actual.mode === 'off') return [];
  const majors = [expected, actual].map((side) => Math.floor((side.server?.versionNum ?? 0) / 10_000));
  const [older = 0, newer = 0] = majors.toSorted((a, b) => a - b);
  const sides: Sides = {
    expected,
    actual,
    options: { ...options, noPrivileges: options.noPrivileges ?? options.noOwner === true },
    sameMajor: older === newer,
    otherExtensions: otherVersions(expected, actual).length > 0,
    crosses: (major) => older < major && newer >= major,
  };
  const tables = [...compareEncodings(sides), ...compareTables(sides)];
  if (options.tables !== undefined) return tables;
  const missing = new Set(tables.filter((found) => found.kind === 'table-missing').map((found) => found.object));
  return [...tables, ...compareSequences(sides), ...compareLargeObjects(sides), ...compareInventories(sides, missing)];
}

function compareEncodings({ expected, actual }: Sides): Difference[] {
  const before = expected.server?.encoding;
  const now = actual.server?.encoding;
  if (before === now) return [];
  return [
    {
      kind: 'object-changed',
      object: 'encoding',
      message: `the database is in ${now}, at backup in ${before}: its content was not compared`,
    },
  ];
}

const keyOf = ({ schema, name }: { readonly schema: string; readonly name: string }) => JSON.stringify([schema, name]);
const word = (name: string) => (/^[a-z_][a-z0-9_$]*$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`);
const displayed = ({ schema, name }: { readonly schema: string; readonly name: string }) => `${word(schema)}.${word(name)}`;
const rowsOf = (count: number) => `${count} ${count === 1 ? 'row' : 'rows'}`;

/** Whether the digests of the two say anything about each other: the servers hash alike and the databases are of one encoding. */
export function digestsCompare({ expected, actual }: Pick<Sides, 'expected' | 'actual'>): boolean {
  return expected.server?.probe === actual.server?.probe && expected.server?.encoding === actual.server?.encoding;
}

function compareTables(sides: Sides): Difference[] {
  const { expected, actual, options } = sides;
  const only = options.tables === undefined ? undefined : new Set(options.tables.map(keyOf));
  const unread = new Set([...(expected.unread ?? []), ...(actual.unread ?? [])].map(keyOf));
  const relevant = (table: TableFingerprint) =>
    table.kind !== 'materialized-view' && !unread.has(keyOf(table)) && (only === undefined || only.has(keyOf(table)));
  const before = new Map(expected.tables.filter(relevant).map((table) => [keyOf(table), table]));
  const after = new Map(actual.tables.filter(relevant).map((table) => [keyOf(table), table]));
  const content = digestsCompare(sides);
  const differences: Difference[] = [];
  for (const [key, table] of before) {
    const object = displayed(table);
    const now = after.get(key);
    const ofOther = table.kind === 'extension' && sides.otherExtensions;
    if (now === undefined) {
      if (ofOther && table.rows === 0) continue;
      differences.push({ kind: 'table-missing', object, message: `${object}: the table is missing (${rowsOf(table.rows)} at backup)` });
    } else if (now.rows < table.rows || (now.rows > table.rows && !ofOther)) {
      const gap = now.rows < table.rows ? `${rowsOf(table.rows - now.rows)} missing` : `${rowsOf(now.rows - table.rows)} too many`;
      differences.push({ kind: 'rows', object, message: `${object}: ${gap} (${table.rows} at backup, ${now.rows} now)` });
    } else if (content && !ofOther && table.digest !== null && now.digest !== null && table.digest !== now.digest) {
      differences.push({ kind: 'content', object, message: `${object}: as many rows (${table.rows}), but their content is not the same` });
    }
  }
  for (const [key, table] of after) {
    if (before.has(key) || only !== undefined || (table.kind === 'extension' && sides.otherExtensions)) continue;
    const object = displayed(table);
    differences.push({ kind: 'table-extra', object, message: `${object}: the table was not there at backup (${rowsOf(table.rows)} now)` });
  }
  return differences;
}

/** How far a sequence has gone, in the direction it goes: the next nextval() would be above this. */
function progress({ lastValue, isCalled, increment }: SequenceFingerprint): bigint {
  const step = BigInt(increment);
  const value = BigInt(lastValue);
  const used = isCalled ? value : value - step;
  return step < 0n ? -used : used;
}

function compareSequences({ expected, actual }: Sides): Difference[] {
  const after = new Map(actual.sequences.map((sequence) => [keyOf(sequence), sequence]));
  const differences: Difference[] = [];
  for (const sequence of expected.sequences) {
    const now = after.get(keyOf(sequence));
    // A missing one is told by the inventory. One that cycles may rightly be anywhere by the time of the dump.
    if (now === undefined || sequence.cycle || progress(now) >= progress(sequence)) continue;
    const object = displayed(sequence);
    const state = (one: SequenceFingerprint) => `${one.lastValue}${one.isCalled ? '' : ', not yet given out'}`;
    differences.push({
      kind: 'sequence',
      object,
      message: `${object}: the sequence is behind (${state(sequence)} at backup, ${state(now)} now): it would give out values that are taken`,
    });
  }
  return differences;
}

function compareLargeObjects(sides: Sides): Difference[] {
  const before = sides.expected.largeObjects;
  const after = sides.actual.largeObjects;
  const found = (message: string): Difference[] => [
    { kind: 'large-objects', object: 'large objects', message: `large objects: ${message}` },
  ];
  if (before.count !== after.count) return found(`${before.count} at backup, ${after.count} now`);
  if (before.bytes !== after.bytes) return found(`${before.bytes} bytes at backup, ${after.bytes} now`);
  if (!digestsCompare(sides)) return [];
  if (before.digest !== null && after.digest !== null && before.digest !== after.digest) {
    return found(`as many (${before.count}), but their content is not the same`);
  }
  const { noOwner, noPrivileges } = sides.options;
  if (noOwner || noPrivileges || before.owners === undefined || after.owners === undefined || before.owners === after.owners) return [];
  return found('owners or privileges are not the same');
}

/** Every database is born with these, whatever the source had made of them. */
const innate = new Set(['schema public', 'extension plpgsql']);

function compareInventories(sides: Sides, missingTables: ReadonlySet<string>): Difference[] {
  const { expected, actual, options, sameMajor } = sides;
  const relevant = ({ kind, identity }: InventoryEntry) => {
    // Catalogued since 17 for domains and 18 for tables; the column says it on every major.
    if (kind === 'not-null constraint' && !sameMajor) return false;
    if ((kind === 'trigger of a partition' || kind === 'privileges on a system object') && !sameMajor) return false;
    if ((kind === 'default privileges' || kind === 'privileges on a system object') && options.noPrivileges === true) return false;
    // Told by what was changed since the extension was made, and another version starts from others.
    if (kind === 'privileges on a system object' && sides.otherExtensions && !/^\w+ pg_catalog\./.test(identity)) return false;
    // CREATE EXTENSION writes its version's own, and whoever is no superuser may not put the old one back.
    return !(kind === 'comment' && identity.startsWith('on extension '));
  };
  const key = (entry: InventoryEntry) => `${entry.kind} ${entry.identity}`;
  const before = new Map(expected.inventory.filter(relevant).map((entry) => [key(entry), entry]));
  const after = new Map(actual.inventory.filter(relevant).map((entry) => [key(entry), entry]));
  const differences: Difference[] = [];
  for (const [object, entry] of before) {
    const now = after.get(object);
    if (now === undefined) {
      // What is gone with its table has been told.
      if (missingTables.has(entry.identity.replace(/^.* on /, '')) || isColumnOf(entry, missingTables) || innate.has(object)) continue;
      differences.push({ kind: 'object-missing', object: entry.identity, message: `${object} is missing` });
      continue;
    }
    for (const change of changes(entry, now, sides)) {
      differences.push({ kind: 'object-changed', object: entry.identity, message: `${object} ${change}` });
    }
  }
  for (const [object, entry] of after) {
    if (before.has(object) || innate.has(object)) continue;
    differences.push({ kind: 'object-extra', object: entry.identity, message: `${object} was not there at backup` });
  }
  return differences;
}

function isColumnOf({ kind, identity }: InventoryEntry, tables: ReadonlySet<string>): boolean {
  return kind === 'column' && [...tables].some((table) => identity.startsWith(`${table}.`));
}

function changes(before: InventoryEntry, now: InventoryEntry, sides: Sides): string[] {
  const { options, sameMajor, crosses } = sides;
  const found: string[] = [];
  if (before.definition !== now.definition) found.push('is not as it was at backup');
  else if (sameMajor && before.kind !== 'extension' && before.deparsed !== now.deparsed) found.push('is not defined as it was at backup');
  // The schema public has another owner and other privileges by default from major to major.
  if (`${before.kind} ${before.identity}` === 'schema public' && !sameMajor) return found;
  if (options.noOwner !== true && before.owner !== now.owner)
    found.push(`belongs to ${now.owner ?? 'nobody'}, at backup to ${before.owner ?? 'nobody'}`);
  if (options.noPrivileges === true) return found;
  const list = (entry: InventoryEntry) => {
    const all = entry.privileges ?? (options.noOwner === true ? (publicByDefault[entry.kind] ?? []) : undefined);
    const kept = options.noOwner === true ? all?.filter((item) => !isOwners(item, before, now)) : all;
    return crosses(17) ? kept && withoutMaintain(kept) : kept;
  };
  const wanted = list(before);
  const given = list(now);
  if (JSON.stringify(wanted) !== JSON.stringify(given)) {
    const say = (items: readonly string[] | undefined) =>
      items === undefined ? 'the default ones' : items.length === 0 ? 'none' : items.join(', ');
    found.push(`has other privileges: ${say(wanted)} at backup, ${say(given)} now`);
  }
  return found;
}

/** What PUBLIC may do with a new object of the kind (GRANT, section "Privileges" of PostgreSQL's documentation). */
const publicByDefault: Readonly<Record<string, readonly string[]>> = {
  function: ['PUBLIC=X'],
  procedure: ['PUBLIC=X'],
  aggregate: ['PUBLIC=X'],
  type: ['PUBLIC=U'],
  domain: ['PUBLIC=U'],
  language: ['PUBLIC=U'],
};

function isOwners(item: string, before: InventoryEntry, now: InventoryEntry): boolean {
  const names = [OWNER, ...[before.owner, now.owner].filter((owner) => owner !== undefined).map((owner) => JSON.stringify(owner))];
  return names.some((name) => item.startsWith(`${name}=`));
}

/**
 * What is not as it was and rightly so, in words. A dump says CREATE EXTENSION without a version, so the target's own
 * is installed; materialized views hold what their queries gave at the time, and the restore has refreshed them.
 */
export function notes(expected: Fingerprint, actual: Fingerprint): string[] {
  return [...otherExtensionVersions(expected, actual), ...refreshedViews(expected, actual)];
}

/** The first half of `notes`: extensions. */
export function otherExtensionVersions(expected: Fingerprint, actual: Fingerprint): string[] {
  return otherVersions(expected, actual).map(
    ({ name, before, now }) => `the extension ${name} is of version ${now}, at backup ${before}: a restore installs the target's own`,
  );
}

interface OtherVersion {
  readonly name: string;
  readonly before: string;
  readonly now: string;
}

function otherVersions(expected: Fingerprint, actual: Fingerprint): OtherVersion[] {
  const isExtension = ({ kind }: InventoryEntry) => kind === 'extension';
  const after = new Map(actual.inventory.filter(isExtension).map((entry) => [entry.identity, entry.deparsed]));
  return expected.inventory.filter(isExtension).flatMap(({ identity: name, deparsed: before }) => {
    const now = after.get(name);
    return before === undefined || now === undefined || before === now ? [] : [{ name, before, now }];
  });
}

/** The second half: materialized views that hold something else after their refresh. They were stale, or their queries give what differs each time. */
export function refreshedViews(expected: Fingerprint, actual: Fingerprint): string[] {
  const content = digestsCompare({ expected, actual });
  const after = new Map(actual.tables.map((table) => [keyOf(table), table]));
  return expected.tables.flatMap((view) => {
    const now = after.get(keyOf(view));
    if (view.kind !== 'materialized-view' || now === undefined) return [];
    const differs = view.rows !== now.rows || (content && view.digest !== null && now.digest !== null && view.digest !== now.digest);
    return differs
      ? [`${displayed(view)} was refreshed by the restore and is not as it was (${rowsOf(view.rows)} at backup, ${now.rows} now)`]
      : [];
  });
}
