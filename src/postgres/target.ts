import pg from 'pg';
import * as z from 'zod';
import type { ErrorCode } from '../core/errors.ts';
import { majorOf, type Server, type Source } from '../core/manifest.ts';
import { connect } from './client.ts';
import { targetError } from './database-errors.ts';
import { connectMaintenance, databaseExists, existingRoles } from './maintenance.ts';
import type { ConnectionSettings } from './settings.ts';
import { readServer } from './source.ts';

/** What stands where a restore wants to go. */
export interface TargetState {
  readonly server: Server;
  readonly databaseExists: boolean;
  /** Whether nobody has made anything in it; true also when it does not exist. */
  readonly isEmpty: boolean;
  /** Whether it is there, empty, and may be renamed by this role, so that `promote` with `replaceEmpty` can take its name. */
  readonly canPutAside: boolean;
  readonly canCreateDatabase: boolean;
  readonly canCreateRole: boolean;
  readonly isSuperuser: boolean;
  readonly roles: ReadonlySet<string>;
  /** Name to the versions that CREATE EXTENSION can install. */
  readonly availableExtensions: ReadonlyMap<string, readonly string[]>;
  /** Those that only a superuser may create. */
  readonly superuserExtensions: ReadonlySet<string>;
  readonly tablespaces: ReadonlySet<string>;
}

export interface Problem {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint: string;
}

export interface RestoreChoices {
  /** Everything belongs to the connected role, whoever owned it. */
  readonly noOwner: boolean;
  /** No GRANTs. Default: as `noOwner`, because rights are granted to the roles that are then not asked for. */
  readonly noPrivileges?: boolean;
  /** Everything goes into the target's default tablespace. */
  readonly noTablespaces?: boolean;
}

/** Looks at the server, and into the database when it is there. Throws `target-unreachable`, `target-denied`. */
export async function inspectTarget(settings: ConnectionSettings, signal?: AbortSignal): Promise<TargetState> {
  try {
    const { client } = await connectMaintenance(settings, 'jetbackup inspect', signal);
    try {
      const server = await readServer(client);
      const me = await client.query('SELECT rolsuper, rolcreatedb, rolcreaterole FROM pg_roles WHERE rolname = current_user');
      const { rolsuper, rolcreatedb, rolcreaterole } = z
        .object({ rolsuper: z.boolean(), rolcreatedb: z.boolean(), rolcreaterole: z.boolean() })
        .parse(me.rows[0]);
      const extensions = await client.query(
        'SELECT name, version, superuser AND NOT trusted AS "superuserOnly" FROM pg_available_extension_versions',
      );
      const available = new Map<string, string[]>();
      const superuserExtensions = new Set<string>();
      for (const row of z.array(z.object({ name: z.string(), version: z.string(), superuserOnly: z.boolean() })).parse(extensions.rows)) {
        available.set(row.name, [...(available.get(row.name) ?? []), row.version]);
        if (row.superuserOnly) superuserExtensions.add(row.name);
      }
      const tablespaces = await client.query<{ spcname: string }>('SELECT spcname FROM pg_tablespace');
      const exists = await databaseExists(client, settings.database);
      const empty = exists ? await isEmpty(settings, signal) : true;
      return {
        server,
        databaseExists: exists,
        isEmpty: empty,
        canPutAside: exists && empty && (await isRenamable(client, settings.database)),
        canCreateDatabase: rolsuper || rolcreatedb,
        canCreateRole: rolsuper || rolcreaterole,
        isSuperuser: rolsuper,
        roles: await existingRoles(client),
        availableExtensions: available,
        superuserExtensions,
        tablespaces: new Set(tablespaces.rows.map(({ spcname }) => spcname)),
      };
    } finally {
      await client.end().catch(() => {});
    }
  } catch (error) {
    signal?.throwIfAborted();
    throw targetError(error, settings);
  }
}

/** Whether the database that the settings name is there, empty, and may be renamed. Throws `database-unreachable`, `database-denied`. */
export async function canPutAside(client: pg.Client, settings: ConnectionSettings, signal?: AbortSignal): Promise<boolean> {
  return (await isRenamable(client, settings.database)) && (await isEmpty(settings, signal));
}

/** Not the one that the client is connected to, and not one that every server has. */
async function isRenamable(client: pg.Client, name: string): Promise<boolean> {
  const { rows } = await client.query(
    `SELECT FROM pg_database WHERE datname = $1 AND datname NOT IN ('postgres', current_database())
        AND NOT datistemplate AND datallowconn AND pg_has_role(datdba, 'USAGE')`,
    [name],
  );
  return rows.length > 0;
}

/** Whether nobody has made anything in it. What initdb made has an OID below 16384 (FirstNormalObjectId). */
export async function isEmpty(settings: ConnectionSettings, signal?: AbortSignal): Promise<boolean> {
  const { client } = await connect(settings, { applicationName: 'jetbackup inspect', ...(signal === undefined ? {} : { signal }) });
  try {
    const catalogs = [
      'pg_proc',
      'pg_type',
      'pg_extension',
      'pg_publication',
      'pg_event_trigger',
      'pg_foreign_data_wrapper',
      'pg_operator',
      'pg_cast',
      'pg_collation',
      'pg_conversion',
      'pg_language',
      'pg_ts_config',
      'pg_ts_dict',
      'pg_default_acl',
    ];
    const queries = [
      "SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid >= 16384 AND n.nspname !~ '^pg_'",
      // Their numbers can be chosen, and initdb makes none.
      'SELECT FROM pg_largeobject_metadata',
      "SELECT FROM pg_namespace WHERE oid >= 16384 AND nspname !~ '^pg_'",
      ...catalogs.map((catalog) => `SELECT FROM ${catalog} WHERE oid >= 16384`),
    ];
    const { rows } = await client.query<{ found: boolean }>(`SELECT ${queries.map((query) => `EXISTS (${query})`).join(' OR ')} AS found`);
    return rows[0]?.found === false;
  } finally {
    await client.end().catch(() => {});
  }
}

/** Debian's names where they are not `postgresql-<major>-<name>`; `contrib` comes with the server. */
const packageNames: Readonly<Record<string, string>> = {
  vector: 'pgvector',
  postgis_topology: 'postgis-3',
  postgis_raster: 'postgis-3',
  postgis: 'postgis-3',
  pg_cron: 'cron',
  hll: 'hll',
  plpython3u: 'plpython3',
};
const contrib = new Set([
  'adminpack',
  'amcheck',
  'bloom',
  'btree_gin',
  'btree_gist',
  'citext',
  'cube',
  'dblink',
  'dict_int',
  'earthdistance',
  'file_fdw',
  'fuzzystrmatch',
  'hstore',
  'intarray',
  'isn',
  'lo',
  'ltree',
  'pageinspect',
  'pg_buffercache',
  'pg_prewarm',
  'pg_stat_statements',
  'pg_trgm',
  'pgcrypto',
  'pgrowlocks',
  'pgstattuple',
  'postgres_fdw',
  'seg',
  'sslinfo',
  'tablefunc',
  'tcn',
  'tsm_system_rows',
  'tsm_system_time',
  'unaccent',
  'uuid-ossp',
  'xml2',
]);

/** Every reason that is known beforehand why the restore cannot go well, all at once. Pure. */
export function missingPrerequisites(source: Source, sourceServer: Server, target: TargetState, choices: RestoreChoices): Problem[] {
  const problems: Problem[] = [];
  const from = majorOf(sourceServer);
  const into = majorOf(target.server);
  if (into < from) {
    problems.push({
      code: 'target-too-old',
      message: `the backup is of PostgreSQL ${from}, and the target is PostgreSQL ${into}`,
      hint: `Restore into PostgreSQL ${from} or newer.`,
    });
  }
  if (!target.databaseExists && !target.canCreateDatabase) {
    problems.push({
      code: 'target-denied',
      message: 'this user may not create databases on the target',
      hint: 'As a superuser: ALTER ROLE ... CREATEDB.',
    });
  }
  const missingRoles = choices.noOwner
    ? []
    : [...new Set([source.owner, ...source.roles])].filter((role) => !role.startsWith('pg_') && !target.roles.has(role));
  if (missingRoles.length > 0) {
    problems.push({
      code: 'role-missing',
      message: `the target lacks ${missingRoles.length === 1 ? 'the role' : 'the roles'} ${missingRoles.map((role) => `"${role}"`).join(', ')}, which own objects of the database or have rights on them`,
      hint: 'Use --create-roles to make them (without login and password), or --no-owner to leave ownership and rights out.',
    });
  }
  for (const { name } of source.extensions) {
    if (name === 'plpgsql') continue;
    if (!target.availableExtensions.has(name)) {
      const packageName = contrib.has(name)
        ? 'postgresql-contrib'
        : `postgresql-${into}-${packageNames[name] ?? name.replaceAll('_', '-')}`;
      problems.push({
        code: 'extension-missing',
        message: `the target does not have the extension "${name}"`,
        hint: `Install it on the target server; on Debian and Ubuntu most likely: apt-get install ${packageName}.`,
      });
    } else if (!target.isSuperuser && target.superuserExtensions.has(name)) {
      problems.push({
        code: 'target-denied',
        message: `only a superuser may create the extension "${name}"`,
        hint: 'Restore as a superuser.',
      });
    }
  }
  if (choices.noTablespaces !== true) {
    for (const tablespace of new Set([source.tablespace, ...source.tablespaces])) {
      if (tablespace === 'pg_default' || target.tablespaces.has(tablespace)) continue;
      problems.push({
        code: 'restore-failed',
        message: `the target does not have the tablespace "${tablespace}"`,
        hint: 'Create it there (CREATE TABLESPACE), or leave tablespaces out with --no-tablespaces.',
      });
    }
  }
  return problems;
}

/**
 * Creates those roles that are missing, without login and without password, all or none. Returns the ones created.
 * Throws `target-unreachable`, `target-denied`.
 */
export async function createRoles(settings: ConnectionSettings, roles: readonly string[], signal?: AbortSignal): Promise<string[]> {
  try {
    const { client } = await connectMaintenance(settings, 'jetbackup roles', signal);
    try {
      const existing = await existingRoles(client);
      const missing = [...new Set(roles)].filter((role) => !role.startsWith('pg_') && !existing.has(role));
      await client.query('BEGIN; SET LOCAL transaction_read_only = off');
      for (const role of missing) await client.query(`CREATE ROLE ${pg.escapeIdentifier(role)} NOLOGIN`);
      await client.query('COMMIT');
      return missing;
    } finally {
      await client.end().catch(() => {});
    }
  } catch (error) {
    signal?.throwIfAborted();
    throw targetError(error, settings);
  }
}
