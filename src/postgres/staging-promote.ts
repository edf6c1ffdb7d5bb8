import pg from 'pg';
import { JetbackupError } from '../core/errors.ts';
import { grantsSql } from './database-ddl.ts';
import { codeOf } from './database-errors.ts';
import { databaseExists, existingRoles } from './maintenance.ts';
import { type ConnectionSettings, withDatabase } from './settings.ts';
import { endSessions } from './staging-drop.ts';
import { asideName } from './staging-names.ts';
import type { StagingRequest } from './staging-request.ts';
import { canPutAside } from './target.ts';

export interface PromoteOptions {
  /** An empty database that has the final name is renamed to `<name>_empty_<six characters>`, and nothing is dropped. */
  readonly replaceEmpty?: boolean;
}

/** RENAME waits five seconds for sessions to leave (CountOtherDBBackends), so this is a quarter of a minute. */
const ATTEMPTS = 3;

/** What `Staging.promote` does; returns its warnings. The client is out of any transaction afterwards. */
export async function promoteDatabase(
  client: pg.Client,
  settings: ConnectionSettings,
  names: { readonly staging: string; readonly final: string },
  request: StagingRequest,
  { replaceEmpty = false }: PromoteOptions,
): Promise<string[]> {
  const rename = (from: string, to: string) => `ALTER DATABASE ${pg.escapeIdentifier(from)} RENAME TO ${pg.escapeIdentifier(to)}`;
  const { statements, warnings } = await finishing(client, names.staging, request);
  for (let attempt = 1; ; attempt += 1) {
    const aside = (await databaseExists(client, names.final)) ? asideName(names.final, request.runId) : undefined;
    if (aside !== undefined && !(replaceEmpty && (await canPutAside(client, withDatabase(settings, names.final))))) {
      throw targetExists(names.final, replaceEmpty);
    }
    // Whoever is in the staging database has no business there. Sessions of the other one are left alone.
    await endSessions(client, names.staging);
    try {
      await client.query('BEGIN');
      for (const statement of statements) await client.query(statement);
      if (aside !== undefined) await client.query(rename(names.final, aside));
      await client.query(rename(names.staging, names.final));
      await client.query('COMMIT');
      if (aside !== undefined)
        warnings.push(`an empty database "${names.final}" was there; it is called "${aside}" now and may be dropped`);
      return warnings;
    } catch (error) {
      await client.query('ROLLBACK').catch(() => {});
      if (codeOf(error) === '42P04') throw targetExists(names.final, replaceEmpty, error);
      if (codeOf(error) !== '55006') throw error;
      if (attempt === ATTEMPTS) throw await inUse(client, names, error);
    }
  }
}

function targetExists(name: string, replaceEmpty: boolean, cause?: unknown): JetbackupError {
  const why = replaceEmpty ? ' and is not an empty one that could be put aside' : '';
  return new JetbackupError('target-exists', `the database ${name} exists${why}`, {
    hint: 'Restore under another name (--as), or drop it first.',
    cause,
  });
}

async function inUse(
  client: pg.Client,
  names: { readonly staging: string; readonly final: string },
  cause: unknown,
): Promise<JetbackupError> {
  const { rows } = await client.query<{ pid: number; role: string | null; application: string | null; database: string }>(
    `SELECT pid, usename AS role, application_name AS application, datname AS database FROM pg_stat_activity
      WHERE datname = ANY ($1) AND pid <> pg_backend_pid() ORDER BY pid`,
    [[names.staging, names.final]],
  );
  const who = rows.map(({ pid, role, application, database }) => {
    return `server process ${pid}${role === null ? '' : ` of role "${role}"`}${application ? ` ("${application}")` : ''} in ${database}`;
  });
  const sessions = who.length === 0 ? 'a session or a prepared transaction' : who.join(', ');
  return new JetbackupError(
    'restore-failed',
    `the restored database cannot be renamed to ${names.final} while someone is connected: ${sessions}`,
    {
      hint: 'End these sessions, or stop what enters every database (monitoring), and restore again; a superuser’s sessions can be ended by a superuser only.',
      cause,
    },
  );
}

/** What makes it the source's likeness in the end: limit, comment, rights and owner. */
async function finishing(client: pg.Client, name: string, request: StagingRequest): Promise<{ statements: string[]; warnings: string[] }> {
  const { source } = request;
  const database = pg.escapeIdentifier(name);
  const roles = await existingRoles(client);
  const warnings = new Set<string>();
  const statements = [`ALTER DATABASE ${database} CONNECTION LIMIT ${source.connectionLimit}`];
  statements.push(`COMMENT ON DATABASE ${database} IS ${source.comment === null ? 'NULL' : pg.escapeLiteral(source.comment)}`);
  const noPrivileges = request.noPrivileges ?? request.noOwner;
  // No list of rights means the built-in default, which we took away from the staging database.
  const acl = noPrivileges || source.acl === null ? ['=Tc/'] : source.acl;
  for (const { role, sql } of acl.flatMap((item) => grantsSql(name, item))) {
    // The owner has all rights on it anyway; named here, they would be the present owner's gift.
    if (role !== null && role === source.owner) continue;
    if (role === null || roles.has(role)) statements.push(sql);
    else warnings.add(`the role "${role}" does not exist, so its rights on the database were left out`);
  }
  const owner = request.owner ?? (request.noOwner ? undefined : source.owner);
  if (owner !== undefined && roles.has(owner)) statements.push(`ALTER DATABASE ${database} OWNER TO ${pg.escapeIdentifier(owner)}`);
  else if (owner !== undefined) warnings.add(`the role "${owner}" does not exist, so the database belongs to the role that restored it`);
  return { statements, warnings: [...warnings] };
}
