const name = String.raw`(?:"(?:[^"]|"")*"|[^\s".,();]+)`;
/** As pg_dump writes it (pg_dump.c, dumpPolicy); without TO it is for everybody. */
const policy = new RegExp(
  String.raw`^CREATE POLICY ${name} ON ${name}(?:\.${name})?(?: AS RESTRICTIVE)?(?: FOR \w+)? TO (${name}(?:, ${name})*)`,
);

/** The roles that a CREATE POLICY of a dump is for. */
export function rolesOfPolicy(definition: string): string[] {
  const list = policy.exec(definition)?.[1] ?? '';
  return [...list.matchAll(new RegExp(name, 'g'))].map(([role]) => (role.startsWith('"') ? role.slice(1, -1).replaceAll('""', '"') : role));
}
