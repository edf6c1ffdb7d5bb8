/**
 * Words of SQL that the inventory's queries share. Every query returns these columns:
 * `kind`, `identity`, `fixed` (text[]: what reads the same on each major), `deparsed` (text[] or null: what the server
 * turns back into text, which differs from major to major), `owner`, `acl` (text[] or null), `acl_default` (text[] or null) and `acl_owner` (whose privileges are the owner's).
 */
export interface InventoryQuery {
  readonly sql: string;
  /** Objects that only a superuser's dump holds. */
  readonly superuserOnly?: boolean;
}

/** An identifier, quoted by a rule of our own: quote_ident's list of keywords grows with each major. */
export function ident(expression: string): string {
  return `(CASE WHEN ${expression} ~ '^[a-z_][a-z0-9_$]*$' THEN ${expression}::text ELSE '"' || replace(${expression}::text, '"', '""') || '"' END)`;
}

export function qualified(schema: string, name: string): string {
  return `(${ident(schema)} || '.' || ${ident(name)})`;
}

/** Identity of a relation by its OID. */
export function relation(oid: string): string {
  return `(SELECT ${qualified('rn.nspname', 'rc.relname')} FROM pg_class rc JOIN pg_namespace rn ON rn.oid = rc.relnamespace WHERE rc.oid = ${oid})`;
}

export function typeName(oid: string): string {
  return `(SELECT ${qualified('tn.nspname', 'tt.typname')} FROM pg_type tt JOIN pg_namespace tn ON tn.oid = tt.typnamespace WHERE tt.oid = ${oid})`;
}

export function functionName(oid: string): string {
  return `(SELECT ${qualified('fn.nspname', 'fp.proname')} || '(' || oidvectortypes(fp.proargtypes) || ')' FROM pg_proc fp JOIN pg_namespace fn ON fn.oid = fp.pronamespace WHERE fp.oid = ${oid})`;
}

export function operatorName(oid: string): string {
  return `(SELECT ${ident('xn.nspname')} || '.' || xo.oprname || '(' || coalesce(format_type(nullif(xo.oprleft, 0), NULL), 'NONE') || ',' || coalesce(format_type(nullif(xo.oprright, 0), NULL), 'NONE') || ')' FROM pg_operator xo JOIN pg_namespace xn ON xn.oid = xo.oprnamespace WHERE xo.oid = ${oid})`;
}

export function collationName(oid: string): string {
  return `(SELECT ${qualified('cn.nspname', 'cc.collname')} FROM pg_collation cc JOIN pg_namespace cn ON cn.oid = cc.collnamespace WHERE cc.oid = ${oid})`;
}

export function userSchema(name: string): string {
  return `(${name} !~ '^pg_' AND ${name} <> 'information_schema')`;
}

/** What an extension brought comes back with the extension, in the version that the server has. */
export function notOfExtension(catalog: string, oid: string): string {
  return `NOT EXISTS (SELECT FROM pg_depend xd WHERE xd.classid = '${catalog}'::regclass AND xd.objid = ${oid} AND xd.deptype = 'e')`;
}

export function attributeNames(table: string, numbers: string): string {
  return `(SELECT string_agg(coalesce(${ident('na.attname')}, '*'), ',' ORDER BY nu.ord) FROM unnest(${numbers}) WITH ORDINALITY AS nu(num, ord) LEFT JOIN pg_attribute na ON na.attrelid = ${table} AND na.attnum = nu.num AND nu.num > 0)`;
}

/** Options as `name=value`, sorted; values whose name smells of a secret are left out, because a hash of a short secret gives it away. */
export function options(array: string): string {
  return `(SELECT string_agg(CASE WHEN op.name ~* '(pass|secret|token|key|credential)' THEN op.name ELSE op.name || '=' || op.value END, ',' ORDER BY op.name COLLATE "C")
    FROM (SELECT split_part(item, '=', 1) AS name, substr(item, strpos(item, '=') + 1) AS value FROM unnest(${array}) AS item) op)`;
}

interface Columns {
  readonly kind: string;
  readonly identity: string;
  readonly fixed?: readonly string[];
  readonly deparsed?: readonly string[];
  /** Expression for the owner's OID. */
  readonly owner?: string;
  /** The same for objects that have privileges, yet no owner of their own (columns). */
  readonly aclOwner?: string;
  /** Expression for the ACL and the letter that acldefault() knows the kind of object by. */
  readonly acl?: string;
  readonly aclType?: string;
  readonly from: string;
}

export function entry(columns: Columns): string {
  const list = (items: readonly string[]) => `ARRAY[${items.map((item) => `(${item})::text`).join(', ')}]::text[]`;
  const { acl, aclType, owner } = columns;
  const aclOwner = columns.aclOwner ?? owner;
  const defaults = aclType === undefined || owner === undefined ? `'{}'::text[]` : `acldefault(${aclType}, ${owner})::text[]`;
  return `SELECT ${columns.kind} AS kind, ${columns.identity} AS identity,
    ${columns.fixed === undefined ? 'NULL::text[]' : list(columns.fixed)} AS fixed,
    ${columns.deparsed === undefined ? 'NULL::text[]' : list(columns.deparsed)} AS deparsed,
    ${owner === undefined ? 'NULL::text' : `pg_get_userbyid(${owner})::text`} AS owner,
    ${acl === undefined ? 'NULL::text[]' : `${acl}::text[]`} AS acl,
    ${acl === undefined ? 'NULL::text[]' : `CASE WHEN ${acl} IS NOT NULL THEN ${defaults} END`} AS acl_default,
    ${acl === undefined || aclOwner === undefined ? 'NULL::text' : `pg_get_userbyid(${aclOwner})::text`} AS acl_owner
  ${columns.from}`;
}
