import {
  attributeNames,
  collationName,
  entry,
  functionName,
  type InventoryQuery,
  ident,
  notOfExtension,
  options,
  qualified,
  relation,
  typeName,
  userSchema,
} from './inventory-sql.ts';

const inUserSchema = `JOIN pg_namespace n ON n.oid = c.relnamespace AND ${userSchema('n.nspname')}`;
const name = qualified('n.nspname', 'c.relname');
const ours = `c.relpersistence <> 't' AND ${notOfExtension('pg_class', 'c.oid')}`;
const ordered = (array: string) => `(SELECT string_agg(item, ',' ORDER BY item COLLATE "C") FROM unnest(${array}) AS item)`;
const parents = (child: string) =>
  `(SELECT string_agg(${relation('i.inhparent')}, ',' ORDER BY i.inhseqno) FROM pg_inherits i WHERE i.inhrelid = ${child})`;
// `pg_attver` is a mark of the server's own (security releases of November 2026), which a dump leaves out.
const attributeOptions = ordered(`ARRAY(SELECT o FROM unnest(a.attoptions) AS o WHERE o NOT LIKE 'pg\\_attver=%')`);
const onTable = (object: string) => `${ident(object)} || ' on ' || ${name}`;

// pg_dump leaves the NOT NULL of an inherited column to the parents: it comes back under the name that the first of them
// gives it, and may be the table's own where it was not before.
const ofInheritedColumn = `o.contype = 'n' AND EXISTS (
  SELECT FROM pg_attribute ia WHERE ia.attrelid = c.oid AND ia.attnum = o.conkey[1] AND ia.attinhcount > 0)`;
const constraintName = `CASE WHEN ${ofInheritedColumn} THEN 'of inherited column ' || ${attributeNames('c.oid', 'o.conkey')}
  ELSE ${ident('o.conname')} END`;
/** Kind and identity of a constraint in the inventory, of `pg_constraint o JOIN pg_class c JOIN pg_namespace n`. */
export const constraintKind = `CASE o.contype WHEN 'n' THEN 'not-null constraint' ELSE 'constraint' END`;
export const constraintIdentity = `${constraintName} || ' on ' || ${name}`;

/** Tables, views, sequences and what belongs to them. */
export function relationQueries(major: number): InventoryQuery[] {
  const tables = entry({
    kind: `CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'f' THEN 'foreign table' WHEN 'c' THEN 'composite type' ELSE 'table' END`,
    identity: name,
    fixed: [
      'c.relkind',
      'c.relpersistence',
      '(SELECT amname FROM pg_am a WHERE a.oid = c.relam)',
      ordered('c.reloptions'),
      `(SELECT ${ordered('t.reloptions')} FROM pg_class t WHERE t.oid = c.reltoastrelid)`,
      'c.relreplident',
      'c.relrowsecurity',
      'c.relforcerowsecurity',
      'c.relispopulated',
      'c.relispartition',
      parents('c.oid'),
      `CASE WHEN c.reloftype <> 0 THEN ${typeName('c.reloftype')} END`,
      `(SELECT ${ident('s.srvname')} || ' ' || coalesce(${options('f.ftoptions')}, '') FROM pg_foreign_table f JOIN pg_foreign_server s ON s.oid = f.ftserver WHERE f.ftrelid = c.oid)`,
    ],
    deparsed: [
      `CASE WHEN c.relkind = 'p' THEN pg_get_partkeydef(c.oid) END`,
      'pg_get_expr(c.relpartbound, c.oid)',
      `CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END`,
    ],
    owner: 'c.relowner',
    acl: 'c.relacl',
    aclType: `'r'::"char"`,
    from: `FROM pg_class c ${inUserSchema} WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'c') AND ${ours}`,
  });
  // Inheritance children come back with their columns in another order, so theirs has no place.
  const columns = entry({
    kind: `'column'`,
    identity: `${name} || '.' || ${ident('a.attname')}`,
    fixed: [
      'format_type(a.atttypid, a.atttypmod)',
      `CASE WHEN a.attcollation <> t.typcollation THEN ${collationName('a.attcollation')} END`,
      'a.attnotnull',
      'a.attidentity',
      'a.attgenerated',
      `CASE WHEN c.relkind IN ('r', 'p', 'm') AND a.attstorage <> t.typstorage THEN a.attstorage END`,
      'a.attcompression',
      'nullif(a.attstattarget, -1)',
      attributeOptions,
      options('a.attfdwoptions'),
      `CASE WHEN c.relispartition OR NOT EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = c.oid)
        THEN (SELECT count(*) FROM pg_attribute b WHERE b.attrelid = c.oid AND b.attnum > 0 AND NOT b.attisdropped AND b.attnum <= a.attnum) END`,
    ],
    deparsed: ['(SELECT pg_get_expr(d.adbin, d.adrelid) FROM pg_attrdef d WHERE d.adrelid = c.oid AND d.adnum = a.attnum)'],
    aclOwner: 'c.relowner',
    acl: 'a.attacl',
    from: `FROM pg_class c ${inUserSchema} JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped JOIN pg_type t ON t.oid = a.atttypid
      WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'c') AND ${ours}`,
  });
  const sequences = entry({
    kind: `'sequence'`,
    identity: name,
    fixed: [
      'c.relpersistence',
      'format_type(s.seqtypid, NULL)',
      's.seqstart',
      's.seqincrement',
      's.seqmin',
      's.seqmax',
      's.seqcache',
      's.seqcycle',
      `(SELECT ${relation('d.refobjid')} || '.' || ${ident('a.attname')} FROM pg_depend d JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
        WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i') LIMIT 1)`,
    ],
    owner: 'c.relowner',
    acl: 'c.relacl',
    aclType: `'s'::"char"`,
    from: `FROM pg_class c ${inUserSchema} JOIN pg_sequence s ON s.seqrelid = c.oid WHERE ${ours}`,
  });
  // A dump leaves invalid indexes out (a partitioned one is invalid until each partition has its part).
  const indexes = entry({
    kind: `'index'`,
    identity: qualified('n.nspname', 'x.relname'),
    fixed: [
      name,
      'x.relkind',
      '(SELECT amname FROM pg_am m WHERE m.oid = x.relam)',
      'i.indisunique',
      'i.indisprimary',
      'i.indisexclusion',
      'i.indimmediate',
      'i.indisclustered',
      'i.indisreplident',
      'i.indisvalid',
      'i.indnatts',
      'i.indnkeyatts',
      major >= 15 ? 'i.indnullsnotdistinct' : 'false',
      ordered('x.reloptions'),
      parents('x.oid'),
      attributeNames('c.oid', 'i.indkey::int2[]'),
      `(SELECT string_agg(xa.attnum || ':' || xa.attstattarget, ',' ORDER BY xa.attnum) FROM pg_attribute xa WHERE xa.attrelid = x.oid AND xa.attstattarget >= 0)`,
    ],
    deparsed: ['pg_get_indexdef(x.oid)'],
    from: `FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_class c ON c.oid = i.indrelid ${inUserSchema}
      WHERE (i.indisvalid OR x.relkind = 'I') AND ${ours}`,
  });
  // Parts of a foreign key on partitioned tables are made anew, under names that depend on the order of that.
  const constraints = entry({
    kind: constraintKind,
    identity: constraintIdentity,
    fixed: [
      'o.contype',
      'o.condeferrable',
      'o.condeferred',
      'o.convalidated',
      `CASE WHEN o.contype IN ('c', 'n') THEN o.connoinherit END`,
      attributeNames('o.conrelid', 'o.conkey'),
      `CASE WHEN o.confrelid <> 0 THEN ${relation('o.confrelid')} END`,
      attributeNames('o.confrelid', 'o.confkey'),
      'o.confupdtype',
      'o.confdeltype',
      'o.confmatchtype',
    ],
    deparsed: ['pg_get_constraintdef(o.oid)', ...(major >= 18 ? ['o.conenforced'] : [])],
    from: `FROM pg_constraint o JOIN pg_class c ON c.oid = o.conrelid ${inUserSchema}
      WHERE o.contype <> 't' AND NOT (o.contype = 'f' AND o.conparentid <> 0) AND ${ours}`,
  });
  const triggers = entry({
    kind: `CASE WHEN g.tgparentid <> 0 THEN 'trigger of a partition' ELSE 'trigger' END`,
    identity: onTable('g.tgname'),
    fixed: [
      'g.tgenabled',
      'g.tgtype',
      functionName('g.tgfoid'),
      'g.tgdeferrable',
      'g.tginitdeferred',
      `encode(g.tgargs, 'hex')`,
      'g.tgoldtable',
      'g.tgnewtable',
      attributeNames('c.oid', 'g.tgattr::int2[]'),
    ],
    deparsed: ['pg_get_triggerdef(g.oid)'],
    from: `FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid ${inUserSchema}
      WHERE (NOT g.tgisinternal OR (g.tgparentid <> 0 AND g.tgconstraint = 0)) AND ${ours}`,
  });
  const rules = entry({
    kind: `'rule'`,
    identity: onTable('r.rulename'),
    fixed: ['r.ev_type', 'r.ev_enabled', 'r.is_instead'],
    deparsed: ['pg_get_ruledef(r.oid)'],
    from: `FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class ${inUserSchema} WHERE r.rulename <> '_RETURN' AND ${ours}`,
  });
  const policies = entry({
    kind: `'policy'`,
    identity: onTable('p.polname'),
    fixed: [
      'p.polcmd',
      'p.polpermissive',
      `(SELECT string_agg(CASE WHEN role = 0 THEN 'PUBLIC' ELSE ${ident('pg_get_userbyid(role)')} END, ',' ORDER BY pg_get_userbyid(role)) FROM unnest(p.polroles) AS role)`,
    ],
    deparsed: ['pg_get_expr(p.polqual, p.polrelid)', 'pg_get_expr(p.polwithcheck, p.polrelid)'],
    from: `FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid ${inUserSchema} WHERE ${ours}`,
  });
  const statistics = entry({
    kind: `'statistics object'`,
    identity: `(SELECT ${qualified('sn.nspname', 's.stxname')} FROM pg_namespace sn WHERE sn.oid = s.stxnamespace)`,
    fixed: [name, `array_to_string(s.stxkind, '')`, attributeNames('c.oid', 's.stxkeys::int2[]'), 'nullif(s.stxstattarget, -1)'],
    deparsed: ['pg_get_statisticsobjdef(s.oid)'],
    owner: 's.stxowner',
    from: `FROM pg_statistic_ext s JOIN pg_class c ON c.oid = s.stxrelid ${inUserSchema} WHERE ${ours}`,
  });
  return [tables, columns, sequences, indexes, constraints, triggers, rules, policies, statistics].map((sql) => ({ sql }));
}
