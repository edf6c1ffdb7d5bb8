const name = String.raw`(?:"(?:[^"]|"")*"|[^\s".,();]+)`;
const qualified = String.raw`${name}(?:\.${name})?`;
/** Names, operator classes and orders, but no parenthesis: no function is called. */
const columns = String.raw`\((?:"(?:[^"]|"")*"|[^()"])*\)`;
const end = String.raw`(?: INCLUDE ${columns})?(?: NULLS NOT DISTINCT)?(?: TABLESPACE ${name})?;\s*$`;
const plainIndex = new RegExp(`^CREATE (?:UNIQUE )?INDEX ${name} ON ${qualified} USING ${name} ${columns}${end}`);
const plainConstraint = new RegExp(
  String.raw`^ALTER TABLE ONLY ${qualified}\s+ADD CONSTRAINT ${name} (?:PRIMARY KEY|UNIQUE)(?: NULLS NOT DISTINCT)? ${columns}${end}`,
);

/**
 * Whether this statement of a dump (pg_dump.c, dumpIndex and dumpConstraint) makes an index over plain columns. One with
 * an expression or a WHERE calls functions, which may look at other tables that are not loaded yet.
 */
export function isPlainIndex(statement: string): boolean {
  return plainIndex.test(statement) || plainConstraint.test(statement);
}
