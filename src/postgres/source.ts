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

/**
 * pg_shdepend knows every role that objects belong to or grant to, except the bootstrap superuser, which is "pinned"
 * and left out: so the owners of the common kinds of object are asked too. Predefined roles (pg_...) are everywhere.
 */
async function readRoles(client: pg.Client): Promise<string[]> {
  return await names(
    client,
    `WITH d AS (SELECT oid FROM pg_database WHERE datname = current_database()),
          r AS (SELECT refobjid AS oid FROM pg_shdepend, d
                 WHERE refclassid = 'pg_authid'::regclass AND (dbid = d.oid OR (dbid = 0 AND classid = 'pg_database'::regclass AND objid = d.oid))
          UNION SELECT datdba FROM pg_database WHERE datname = current_database()
          UNION SELECT setrole FROM pg_db_role_setting, d WHERE setdatabase = d.oid AND setrole <> 0
          UNION SELECT relowner FROM pg_class WHERE oid >= 16384 AND relkind <> 't'
          UNION SELECT nspowner FROM pg_namespace WHERE oid >= 16384 AND nspname !~ '^pg_'
          UNION SELECT proowner FROM pg_proc WHERE oid >= 16384
          UNION SELECT typowner FROM pg_type WHERE oid >= 16384
          UNION SELECT lomowner FROM pg_largeobject_metadata
          UNION SELECT pubowner FROM pg_publication
          UNION SELECT evtowner FROM pg_event_trigger
          UNION SELECT fdwowner FROM pg_foreign_data_wrapper
          UNION SELECT srvowner FROM pg_foreign_server)
     SELECT DISTINCT a.rolname AS name FROM r JOIN pg_roles a USING (oid) WHERE a.rolname !~ '^pg_'`,
  );
}

async function names(client: pg.Client, sql: string): Promise<string[]> {
  const { rows } = await client.query(sql);
  return z
    .array(z.object({ name: z.string() }))
    .parse(rows)
    .map(({ name }) => name)
    .sort();
}
