/**
 * The digest of a row, as a SQL expression. Three things decide its form:
 *
 * - Equal must mean equal to the byte. PostgreSQL's own hash functions follow its `=`, for which 1.0 and 1.00,
 *   '1 day' and '24:00:00', 'A' and 'a' (citext), {1} and [5:5]={1} are the same. Only types whose `=` is exact are
 *   hashed as they are; the others by their binary form, or by the text that COPY would write.
 * - No value may depend on what a restore changes: the OIDs in enums, reg* types, arrays of those, composites.
 *   They go through text.
 * - hash_record_extended is a polynomial in the columns' hashes, so it is linear: two rows that swap the values of
 *   one column leave the sum of all rows as it was. A second hash over the eight bytes of the first undoes that.
 *
 * Neither the encoding of the client nor DateStyle and its like take part: the binary forms used have no text in
 * them, and the text goes through output functions, which do not convert. `fixedSettings` settles the rest.
 */

export interface DigestColumn {
  readonly name: string;
  /** OID of the type with domains resolved to what they stand on. */
  readonly baseType: number;
  /** `schema.name` of that type, quoted. */
  readonly baseTypeName: string;
  /** For arrays: OID of the element type (domains not resolved); 0 for everything else. */
  readonly elementType: number;
  /** `schema.name` of the type's output function, quoted; undefined where the type borrows another's, which cannot be called for it by name. */
  readonly output: string | undefined;
}

/** What the output functions depend on; to be set at the start of the transaction, whatever the role's or the database's own settings are. */
export const fixedSettings: Readonly<Record<string, string>> = {
  DateStyle: 'ISO, YMD',
  IntervalStyle: 'postgres',
  TimeZone: 'UTC',
  extra_float_digits: '1',
  bytea_output: 'hex',
  lc_monetary: 'C',
  lc_numeric: 'C',
  lc_time: 'C',
  xmlbinary: 'base64',
  xmloption: 'content',
  search_path: '',
  quote_all_identifiers: 'off',
  row_security: 'off',
  statement_timeout: '0',
  idle_in_transaction_session_timeout: '0',
  // Compiling costs more than it brings for one pass over a few columns.
  jit: 'off',
};

/** `=` and the hash function behind it are exact to the byte: bool, bytea, int2, int4, oid, inet, cidr, date, uuid, macaddr, macaddr8. */
const exact = new Set([16, 17, 21, 23, 26, 869, 650, 1082, 2950, 829, 774]);
/** text, varchar: exact under the collation "C". */
const characters = new Set([25, 1043]);
const int8 = 20;
/** Their hash is exact but for the sign of zero (and NaN counts as one value, as it does in a dump). */
const floats: ReadonlyMap<number, string> = new Map([
  [700, 'float4send'],
  [701, 'float8send'],
]);
/** Types whose binary form is one to one with the value and holds no text: time, timetz, timestamp, timestamptz, interval, numeric, money, bit, varbit, pg_lsn, xid8. */
const binary: ReadonlyMap<number, string> = new Map([
  [1083, 'time_send'],
  [1266, 'timetz_send'],
  [1114, 'timestamp_send'],
  [1184, 'timestamptz_send'],
  [1186, 'interval_send'],
  [1700, 'numeric_send'],
  [790, 'cash_send'],
  [1560, 'bit_send'],
  [1562, 'varbit_send'],
  [3220, 'pg_lsn_send'],
  [5069, 'xid8send'],
]);

/** Own quoting, not quote_ident's: which words need quotes there differs from major to major. */
export function quoteIdentifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

function columnTerms(column: DigestColumn): string[] {
  const value = quoteIdentifier(column.name);
  const plain = `${value}::pg_catalog.`;
  const { baseType, elementType } = column;
  if (exact.has(baseType)) return [`${value}::${column.baseTypeName}`];
  if (characters.has(baseType)) return [`${plain}text COLLATE pg_catalog."C"`];
  // Its own hash folds the two halves together; with the upper half beside it nothing is lost, at less than int8send costs.
  if (baseType === int8) return [`${plain}int8`, `(${plain}int8 OPERATOR(pg_catalog.>>) 32)::pg_catalog.int4`];
  const floatSend = floats.get(baseType);
  if (floatSend !== undefined) {
    const number = `${value}::${column.baseTypeName}`;
    return [number, `CASE WHEN ${number} OPERATOR(pg_catalog.=) 0 THEN pg_catalog.${floatSend}(${number}) END`];
  }
  const send = binary.get(baseType);
  if (send !== undefined) return [`pg_catalog.${send}(${value}::${column.baseTypeName})`];
  // The binary form of an array holds its element type's OID, which is the same everywhere for these.
  if (elementType === int8 || exact.has(elementType) || binary.has(elementType))
    return [`pg_catalog.array_send(${value}::${column.baseTypeName})`];
  // format() calls whatever output function there is, more slowly; %L keeps NULL apart from 'NULL'.
  if (column.output === undefined) return [`pg_catalog.format('%L', ${value}::${column.baseTypeName}) COLLATE pg_catalog."C"`];
  return [`pg_catalog.textin(${column.output}(${value}::${column.baseTypeName})) COLLATE pg_catalog."C"`];
}

function hashOf(terms: readonly string[]): string {
  const row = `pg_catalog.hash_record_extended(ROW(${terms.join(', ')}), 0)`;
  return `pg_catalog.hash_record_extended(ROW(pg_catalog.int8send(${row})), 0)`;
}

/** Sum of the hashes of all rows; 0 for a table without columns. Columns are taken by name: a dump may rightly reorder those of inheritance children. */
export function digestExpression(columns: readonly DigestColumn[]): string {
  if (columns.length === 0) return `'0'::pg_catalog.text`;
  const ordered = columns.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  return `COALESCE(pg_catalog.sum(${hashOf(ordered.flatMap(columnTerms))}), 0)::pg_catalog.text`;
}

/** See `server.probe` of the fingerprint: one value of each family that is hashed. */
export const probeQuery = `SELECT ${hashOf([
  `'jetbackup'::pg_catalog.text COLLATE pg_catalog."C"`,
  '7::pg_catalog.int4',
  '7::pg_catalog.int8',
  'true',
  `'1.5'::pg_catalog.float8`,
  `'\\x0102030405060708090a0b0c0d0e0f'::pg_catalog.bytea`,
  `'2000-02-29'::pg_catalog.date`,
  `'00112233-4455-6677-8899-aabbccddeeff'::pg_catalog.uuid`,
  `'192.0.2.1/24'::pg_catalog.inet`,
])}::pg_catalog.text AS probe`;

/**
 * Large objects, through the table that only superusers (and pg_read_all_data) may read. Pages that hold zeros alone
 * count for nothing and zeros at a page's end are cut: a dump fills the holes of a sparse object with them.
 */
export const largeObjectsByTable = `
SELECT pg_catalog.count(*)::text AS count, COALESCE(pg_catalog.sum(size), 0)::text AS bytes,
  (COALESCE(pg_catalog.sum(content), 0) + COALESCE(pg_catalog.sum(${hashOf(['loid', 'size'])}), 0))::text AS digest
FROM (
  SELECT m.oid AS loid, COALESCE(pg_catalog.max(p.pageno::pg_catalog.int8 * 2048 + pg_catalog.length(p.data)), 0) AS size,
    pg_catalog.sum(CASE WHEN p.used <> '' THEN ${hashOf(['p.loid', 'p.pageno', 'p.used'])} END) AS content
  FROM pg_catalog.pg_largeobject_metadata m
  LEFT JOIN (SELECT loid, pageno, data, pg_catalog.rtrim(data, '\\x00'::pg_catalog.bytea) AS used FROM pg_catalog.pg_largeobject) p ON p.loid = m.oid
  GROUP BY m.oid
) objects`;

/** The same figures through the functions that anyone with SELECT on the objects may call, and for servers with another page size. */
export const largeObjectsByFunction = `
SELECT pg_catalog.count(*)::text AS count, COALESCE(pg_catalog.sum(size), 0)::text AS bytes,
  (COALESCE(pg_catalog.sum(content), 0) + COALESCE(pg_catalog.sum(${hashOf(['loid', 'size'])}), 0))::text AS digest
FROM (
  SELECT o.loid, o.size, pages.content
  FROM (
    SELECT f.loid, s.size, pg_catalog.lo_close(f.fd + (s.size * 0)::pg_catalog.int4) AS closed
    FROM (SELECT oid AS loid, pg_catalog.lo_open(oid, 262144) AS fd FROM pg_catalog.pg_largeobject_metadata OFFSET 0) f,
      LATERAL (SELECT pg_catalog.lo_lseek64(f.fd, 0, 2) AS size OFFSET 0) s
    OFFSET 0
  ) o,
  LATERAL (
    SELECT pg_catalog.sum(CASE WHEN used <> '' THEN ${hashOf(['o.loid', 'pageno', 'used'])} END) AS content
    FROM (
      SELECT n::pg_catalog.int4 AS pageno, pg_catalog.rtrim(pg_catalog.lo_get(o.loid, n * 2048, 2048), '\\x00'::pg_catalog.bytea) AS used
      FROM pg_catalog.generate_series(0, (o.size - 1) / 2048) AS n WHERE o.size > 0 OFFSET 0
    ) page
  ) pages
) objects`;

/** Owners and privileges of all large objects in one figure: there may be millions of them. */
export const largeObjectOwners = `
SELECT COALESCE(pg_catalog.sum(${hashOf(['oid', `pg_catalog.pg_get_userbyid(lomowner)::text COLLATE pg_catalog."C"`, 'acl COLLATE pg_catalog."C"'])}), 0)::text AS digest
FROM (
  SELECT oid, lomowner, (
    SELECT pg_catalog.string_agg(item, ',' ORDER BY item) FROM (
      SELECT DISTINCT (COALESCE(pg_catalog.pg_get_userbyid(NULLIF(a.grantee, 0))::text, 'PUBLIC') || '=' || a.privilege_type || a.is_grantable) COLLATE pg_catalog."C" AS item
      FROM pg_catalog.aclexplode(COALESCE(lomacl, pg_catalog.acldefault('L', lomowner))) a
    ) items
  ) AS acl
  FROM pg_catalog.pg_largeobject_metadata
) objects`;
