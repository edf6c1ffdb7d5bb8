import type pg from 'pg';
import * as z from 'zod';
import { type Server, ServerSchema, type Source, SourceSchema } from '../core/manifest.ts';

/** What the server is. Works on a client in or out of a transaction; `systemIdentifier` is null where the right is missing (managed services). */
export async function readServer(client: pg.Client): Promise<Server> {
  const { rows } = await client.query(
    `SELECT current_setting('server_version') AS version, current_setting('server_version_num')::int4 AS "versionNum",
            pg_is_in_recovery() AS standby, has_function_privilege('pg_control_system()', 'EXECUTE') AS "maySeeControl"`,
  );
  const row = z.object({ ...ServerSchema.omit({ systemIdentifier: true }).shape, maySeeControl: z.boolean() }).parse(rows[0]);
  let systemIdentifier: string | null = null;
  if (row.maySeeControl) {
    const control = await client.query('SELECT system_identifier::text AS id FROM pg_control_system()');
    systemIdentifier = z.object({ id: z.string() }).parse(control.rows[0]).id;
  }
  return { version: row.version, versionNum: row.versionNum, standby: row.standby, systemIdentifier };
}

/** What the connected database is, so that an equal one can be made elsewhere. */
export async function readSource(client: pg.Client, versionNum: number): Promise<Source> {
  const major = Math.floor(versionNum / 10_000);
  const locale = major >= 17 ? 'd.datlocale' : major >= 15 ? 'd.daticulocale' : 'NULL::text';
  const { rows } = await client.query(
    `SELECT d.datname, pg_get_userbyid(d.datdba) AS owner, pg_encoding_to_char(d.encoding) AS encoding,
            d.datcollate AS "collate", d.datctype AS ctype,
            ${major >= 15 ? 'd.datlocprovider::text' : "'c'"} AS "localeProvider", ${locale} AS locale,
            ${major >= 16 ? 'd.daticurules' : 'NULL::text'} AS "icuRules",
            ${major >= 15 ? 'd.datcollversion' : 'NULL::text'} AS "collationVersion",
            d.datconnlimit AS "connectionLimit", t.spcname AS tablespace, shobj_description(d.oid, 'pg_database') AS comment,
            d.datacl::text[] AS acl, pg_database_size(d.oid)::text AS size,
            coalesce((SELECT json_agg(json_build_object('role', r.rolname, 'setting', c.setting) ORDER BY r.rolname NULLS FIRST, c.position)
               FROM pg_db_role_setting s CROSS JOIN LATERAL unnest(s.setconfig) WITH ORDINALITY AS c (setting, position) LEFT JOIN pg_roles r ON r.oid = s.setrole
              WHERE s.setdatabase = d.oid), '[]') AS settings,
            coalesce((SELECT json_agg(json_build_object('name', e.extname, 'version', e.extversion, 'schema', n.nspname) ORDER BY e.extname)
               FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace), '[]') AS extensions
       FROM pg_database d JOIN pg_tablespace t ON t.oid = d.dattablespace
      WHERE d.datname = current_database()`,
  );
  const { size, ...database } = z.looseObject({ size: z.string() }).parse(rows[0]);
  return SourceSchema.parse({
    ...database,
    roles: await readRoles(client),
    tablespaces: await names(
      client,
      `SELECT DISTINCT t.spcname AS name FROM pg_tablespace t
        WHERE t.spcname NOT IN ('pg_default', 'pg_global')
          AND (t.oid IN (SELECT reltablespace FROM pg_class) OR t.oid = (SELECT dattablespace FROM pg_database WHERE datname = current_database()))`,
    ),
    sizeBytes: Number(size),
  });
}

/** What a dump by this user lacks without a word from pg_dump, in words. Subscriptions it warns of itself. */
export async function hiddenFromUser(client: pg.Client): Promise<string[]> {
  // The condition of the view pg_user_mappings, under which it shows the options.
  const servers = await names(
    client,
    `SELECT DISTINCT s.srvname AS name FROM pg_user_mappings m JOIN pg_foreign_server s ON s.oid = m.srvid
      WHERE m.umoptions IS NULL AND NOT pg_has_role(s.srvowner, 'USAGE')
        AND NOT (m.usename = current_user AND has_server_privilege(s.oid, 'USAGE'))`,
  );
  if (servers.length === 0) return [];
  const whose = servers.map((server) => `"${server}"`).join(', ');
  return [
    `this user may not see the options (user names, passwords) of user mappings on the foreign ${servers.length === 1 ? 'server' : 'servers'} ${whose}: these mappings are backed up without them`,
  ];
}

/**
 * The roles that a restore needs. pg_shdepend knows every role that objects belong to or grant to, except the bootstrap
 * superuser, which is "pinned" and left out: so the owners of the common kinds of object are asked too. What an
 * extension brings comes back with CREATE EXTENSION, whoever runs it: neither its owner nor the grants of its own
 * script (pg_init_privs) count, those that somebody made later do. Predefined roles (pg_...) are everywhere.
 */
async function readRoles(client: pg.Client): Promise<string[]> {
  const owners = ownedCatalogs.map(
    ([catalog, owner, condition]) =>
      `UNION SELECT ${owner} FROM ${catalog} o WHERE o.oid >= 16384 AND ${condition}
         AND NOT EXISTS (SELECT FROM pg_depend x WHERE x.classid = '${catalog}'::regclass AND x.objid = o.oid AND x.deptype IN ('e', 'i'))`,
  );
  return await names(
    client,
    `WITH d AS (SELECT oid FROM pg_database WHERE datname = current_database()),
          r AS (SELECT s.refobjid AS oid FROM pg_shdepend s, d
                 WHERE s.refclassid = 'pg_authid'::regclass AND (s.dbid = d.oid OR (s.dbid = 0 AND s.classid = 'pg_database'::regclass AND s.objid = d.oid))
                   AND s.deptype <> 'i' AND s.classid <> 'pg_extension'::regclass
                   AND NOT (EXISTS (SELECT FROM pg_depend x WHERE x.classid = s.classid AND x.objid = s.objid AND x.deptype = 'e')
                            AND (s.deptype = 'o' OR EXISTS (SELECT FROM pg_init_privs i CROSS JOIN LATERAL aclexplode(i.initprivs) a
                                                             WHERE i.classoid = s.classid AND i.objoid = s.objid AND a.grantee = s.refobjid)))
          UNION SELECT datdba FROM pg_database WHERE datname = current_database()
          UNION SELECT setrole FROM pg_db_role_setting, d WHERE setdatabase = d.oid AND setrole <> 0
          UNION SELECT lomowner FROM pg_largeobject_metadata
          ${owners.join('\n          ')})
     SELECT DISTINCT a.rolname AS name FROM r JOIN pg_roles a USING (oid) WHERE a.rolname !~ '^pg_'`,
  );
}

/** Catalog, its column of the owner, and which of its rows are objects in their own right. */
const ownedCatalogs = [
  ['pg_class', 'relowner', "relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c')"],
  ['pg_namespace', 'nspowner', "nspname !~ '^pg_'"],
  ['pg_proc', 'proowner', 'true'],
  ['pg_type', 'typowner', 'true'],
  ['pg_publication', 'pubowner', 'true'],
  ['pg_event_trigger', 'evtowner', 'true'],
  ['pg_foreign_data_wrapper', 'fdwowner', 'true'],
  ['pg_foreign_server', 'srvowner', 'true'],
] as const;

async function names(client: pg.Client, sql: string): Promise<string[]> {
  const { rows } = await client.query(sql);
  return z
    .array(z.object({ name: z.string() }))
    .parse(rows)
    .map(({ name }) => name)
    .sort();
}
