import {
  entry,
  functionName,
  type InventoryQuery,
  ident,
  notOfExtension,
  options,
  qualified,
  relation,
  userSchema,
} from './inventory-sql.ts';

const roleName = (oid: string) => `(CASE WHEN ${oid} = 0 THEN 'PUBLIC' ELSE ${ident(`pg_get_userbyid(${oid})`)} END)`;

/** Schemas, extensions, default privileges, replication, foreign servers, comments and labels. */
export function databaseQueries(major: number): InventoryQuery[] {
  const schemas = entry({
    kind: `'schema'`,
    identity: ident('n.nspname'),
    owner: 'n.nspowner',
    acl: 'n.nspacl',
    aclType: `'n'::"char"`,
    from: `FROM pg_namespace n WHERE ${userSchema('n.nspname')} AND ${notOfExtension('pg_namespace', 'n.oid')}`,
  });
  // A dump says CREATE EXTENSION without a version, so another server rightly has another one. It is told to people as it is, not digested.
  const extensions = entry({
    kind: `'extension'`,
    identity: ident('e.extname'),
    fixed: ['n.nspname'],
    deparsed: ['e.extversion'],
    from: 'FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace',
  });
  const defaults = entry({
    kind: `'default privileges'`,
    identity: `'of ' || ${roleName('d.defaclrole')} || ' for ' || d.defaclobjtype::text || coalesce(' in ' || (SELECT ${ident('n.nspname')} FROM pg_namespace n WHERE n.oid = d.defaclnamespace), '')`,
    aclOwner: 'd.defaclrole',
    acl: 'd.defaclacl',
    from: 'FROM pg_default_acl d',
  });
  const eventTriggers = entry({
    kind: `'event trigger'`,
    identity: ident('g.evtname'),
    fixed: ['g.evtevent', 'g.evtenabled', functionName('g.evtfoid'), `array_to_string(g.evttags, ',')`],
    owner: 'g.evtowner',
    from: `FROM pg_event_trigger g WHERE ${notOfExtension('pg_event_trigger', 'g.oid')}`,
  });
  const publications = entry({
    kind: `'publication'`,
    identity: ident('p.pubname'),
    fixed: ['p.puballtables', 'p.pubinsert', 'p.pubupdate', 'p.pubdelete', 'p.pubtruncate', 'p.pubviaroot'],
    ...(major >= 18 ? { deparsed: ['p.pubgencols'] } : {}),
    owner: 'p.pubowner',
    from: 'FROM pg_publication p',
  });
  const published = entry({
    kind: `'published table'`,
    identity: `${relation('r.prrelid')} || ' in ' || (SELECT ${ident('p.pubname')} FROM pg_publication p WHERE p.oid = r.prpubid)`,
    ...(major >= 15
      ? {
          fixed: [
            `(SELECT string_agg(a.attname, ',' ORDER BY a.attname) FROM pg_attribute a WHERE a.attrelid = r.prrelid AND a.attnum = ANY (r.prattrs::int2[]))`,
          ],
          deparsed: ['pg_get_expr(r.prqual, r.prrelid)'],
        }
      : {}),
    from: 'FROM pg_publication_rel r',
  });
  const publishedSchemas = entry({
    kind: `'published schema'`,
    identity: `(SELECT ${ident('n.nspname')} FROM pg_namespace n WHERE n.oid = s.pnnspid) || ' in ' || (SELECT ${ident('p.pubname')} FROM pg_publication p WHERE p.oid = s.pnpubid)`,
    from: 'FROM pg_publication_namespace s',
  });
  // Neither enabled (a restored one never is) nor where it connects to (a secret).
  const subscriptions = entry({
    kind: `'subscription'`,
    identity: ident('s.subname'),
    fixed: ['s.subslotname', `array_to_string(s.subpublications, ',')`],
    owner: 's.subowner',
    from: 'FROM pg_subscription s WHERE s.subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())',
  });
  const wrappers = entry({
    kind: `'foreign-data wrapper'`,
    identity: ident('w.fdwname'),
    fixed: [functionName('w.fdwhandler'), functionName('w.fdwvalidator'), options('w.fdwoptions')],
    owner: 'w.fdwowner',
    acl: 'w.fdwacl',
    aclType: `'F'::"char"`,
    from: `FROM pg_foreign_data_wrapper w WHERE ${notOfExtension('pg_foreign_data_wrapper', 'w.oid')}`,
  });
  const servers = entry({
    kind: `'foreign server'`,
    identity: ident('s.srvname'),
    fixed: [
      '(SELECT w.fdwname FROM pg_foreign_data_wrapper w WHERE w.oid = s.srvfdw)',
      's.srvtype',
      's.srvversion',
      options('s.srvoptions'),
    ],
    owner: 's.srvowner',
    acl: 's.srvacl',
    aclType: `'S'::"char"`,
    from: `FROM pg_foreign_server s WHERE ${notOfExtension('pg_foreign_server', 's.oid')}`,
  });
  // Their options are passwords, and visible to some roles only.
  const mappings = entry({
    kind: `'user mapping'`,
    identity: `${roleName('u.umuser')} || ' on ' || ${ident('u.srvname')}`,
    from: 'FROM pg_user_mappings u',
  });
  const systemPrivileges = entry({
    kind: `'privileges on a system object'`,
    identity: 'o.identity',
    fixed: [
      `(SELECT string_agg(item, ',' ORDER BY item COLLATE "C") FROM (${granted('o.acl')} EXCEPT ${granted('o.initial')}) AS added(item))`,
      `(SELECT string_agg(item, ',' ORDER BY item COLLATE "C") FROM (${granted('o.initial')} EXCEPT ${granted('o.acl')}) AS lost(item))`,
    ],
    from: `FROM (${systemObjects}) o WHERE o.acl::text[] IS DISTINCT FROM o.initial::text[]`,
  });
  const described = (table: string, object: string, column: string) =>
    `(SELECT i.type || ' ' || i.identity FROM pg_identify_object(${table}, ${object}, ${column}) i)`;
  // Large objects have none of theirs in here: there may be millions. Subscriptions are dumped for superusers alone. Built-in objects keep their own comments.
  const noted = (
    alias: string,
  ) => `WHERE ${alias}.objoid >= 16384 AND ${alias}.classoid NOT IN ('pg_largeobject'::regclass, 'pg_subscription'::regclass)
      AND NOT EXISTS (SELECT FROM pg_depend xd WHERE xd.classid = ${alias}.classoid AND xd.objid = ${alias}.objoid AND xd.deptype = 'e')`;
  const comments = entry({
    kind: `'comment'`,
    identity: `'on ' || ${described('d.classoid', 'd.objoid', 'd.objsubid')}`,
    fixed: ['d.description'],
    from: `FROM pg_description d ${noted('d')}`,
  });
  const labels = entry({
    kind: `'security label'`,
    identity: `'on ' || ${described('l.classoid', 'l.objoid', 'l.objsubid')} || ' by ' || l.provider`,
    fixed: ['l.label'],
    from: `FROM pg_seclabel l ${noted('l')}`,
  });
  return [
    ...[
      schemas,
      extensions,
      defaults,
      eventTriggers,
      publications,
      published,
      wrappers,
      servers,
      mappings,
      systemPrivileges,
      comments,
      labels,
    ],
    ...(major >= 15 ? [publishedSchemas] : []),
  ]
    .map((sql): InventoryQuery => ({ sql }))
    .concat({ sql: subscriptions, superuserOnly: true });
}

function granted(acl: string): string {
  return `SELECT coalesce(${ident('pg_get_userbyid(nullif(a.grantee, 0))')}, 'PUBLIC') || '=' || a.privilege_type || CASE WHEN a.is_grantable THEN '*' ELSE '' END FROM aclexplode(${acl}) a`;
}

/** Functions, relations and schemas of the system or of an extension whose privileges were changed since they were made: a dump holds the change. */
const systemObjects = [
  ['pg_proc', 'c.oid', 'c.proacl', `'f'`, 'c.proowner', functionName('c.oid'), 'c.pronamespace', 'function'],
  [
    'pg_class',
    'c.oid',
    'c.relacl',
    `CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END`,
    'c.relowner',
    qualified('n.nspname', 'c.relname'),
    'c.relnamespace',
    'table',
  ],
]
  .map(
    ([catalog, oid, acl, type, owner, identity, namespace, word]) => `SELECT '${word} ' || ${identity} AS identity,
    coalesce(${acl}, acldefault((${type})::"char", ${owner})) AS acl, coalesce(i.initprivs, acldefault((${type})::"char", ${owner})) AS initial
  FROM ${catalog} c JOIN pg_namespace n ON n.oid = ${namespace}
  LEFT JOIN pg_init_privs i ON i.classoid = '${catalog}'::regclass AND i.objoid = ${oid} AND i.objsubid = 0
  WHERE (${acl} IS NOT NULL OR i.initprivs IS NOT NULL)
    AND (n.nspname = 'pg_catalog' OR n.nspname <> 'information_schema' AND NOT ${notOfExtension(catalog ?? '', oid ?? '')})`,
  )
  .join('\nUNION ALL\n');
