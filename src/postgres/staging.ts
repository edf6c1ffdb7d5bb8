import pg from 'pg';
import { JetbackupError, messageOf } from '../core/errors.ts';
import { majorOf, type Source } from '../core/manifest.ts';
import { advisoryKey } from './advisory-lock.ts';
import { alterSettingSql, createDatabaseSql, grantsSql } from './database-ddl.ts';
import { codeOf, targetError } from './database-errors.ts';
import { connectMaintenance, databaseExists, existingRoles } from './maintenance.ts';
import { type ConnectionSettings, withDatabase } from './settings.ts';
import { readServer } from './source.ts';
import type { RestoreChoices } from './target.ts';

export interface StagingRequest extends RestoreChoices {
  readonly source: Source;
  /** The name that it is to have in the end; its staging name begins with it. */
  readonly finalName: string;
  readonly runId: string;
  /** Owner in the end; default: the source's owner, or with `noOwner` the connected role. */
  readonly owner?: string;
}

/** A database of our own that a restore fills before anyone sees it. Disposing drops it unless it was promoted. */
export interface Staging extends AsyncDisposable {
  readonly name: string;
  /** To reach it. */
  readonly settings: ConnectionSettings;
  /** What could not be set on it, in words. Complete only after `promote`. */
  readonly warnings: readonly string[];
  /** Ends whoever is connected to it, and drops it. Idempotent; nothing after `promote`. */
  drop(): Promise<void>;
  /** Gives it its owner, rights, comment and limit, and its final name, all in one transaction. Throws `target-exists`. */
  promote(finalName: string): Promise<void>;
}

/** `pg_database` names are at most 63 bytes; `_jetbackup_` and six characters come behind. */
const MAX_PREFIX_BYTES = 63 - '_jetbackup_'.length - 6;
const NAME_PATTERN = '_jetbackup_[0-9a-z]{6}$';
/** Without this comment no database is ever dropped, whatever its name. */
const MARK = 'jetbackup staging database of run ';

const lockOf = (database: string) => advisoryKey(`staging:${database}`);

function stagingName(finalName: string, runId: string): string {
  const suffix = /[0-9a-z]{6}$/.exec(runId)?.[0];
  if (suffix === undefined) throw new TypeError(`not a run id: ${runId}`);
  let prefix = finalName;
  while (Buffer.byteLength(prefix, 'utf8') > MAX_PREFIX_BYTES) prefix = [...prefix].slice(0, -1).join('');
  return `${prefix}_jetbackup_${suffix}`;
}

/**
 * Makes an empty database like the source, which only its owner and superusers can enter. While it is being filled, a
 * session of the maintenance database holds an advisory lock named after it: by that a later run tells a dead run's
 * leftover from a live one's work. The signal stops the making; afterwards `drop` works whether aborted or not.
 * Throws `target-unreachable`, `target-denied`, `target-exists`, `restore-failed` (e.g. a locale that the target lacks).
 */
export async function createStagingDatabase(settings: ConnectionSettings, request: StagingRequest, signal?: AbortSignal): Promise<Staging> {
  signal?.throwIfAborted();
  const name = stagingName(request.finalName, request.runId);
  const quoted = pg.escapeIdentifier(name);
  const warnings: string[] = [];
  // Not tied to the signal: after an abort this connection is the one that drops the database.
  const { client, settings: pinned } = await connectMaintenance(settings, `jetbackup staging ${request.runId}`).catch((error) => {
    throw targetError(error, settings);
  });
  let state: 'live' | 'dropped' | 'promoted' = 'live';
  const drop = async () => {
    if (state !== 'live') return;
    state = 'dropped';
    await dropDatabase(client, pinned, name);
    await client.end().catch(() => {});
  };
  try {
    await client.query("SELECT set_config('default_transaction_read_only', 'off', false)");
    const lock = await client.query<{ got: boolean }>('SELECT pg_try_advisory_lock($1::int8) AS got', [lockOf(name)]);
    if (lock.rows[0]?.got !== true || (await databaseExists(client, name))) {
      state = 'dropped';
      throw new JetbackupError('target-exists', `the database ${name} is there already`, {
        hint: 'Another restore of the same run may be at work; else drop it.',
      });
    }
    const server = await readServer(client);
    await client.query(createDatabaseSql(name, request.source, majorOf(server), request.noTablespaces === true)).catch((error) => {
      state = 'dropped';
      throw creationError(error, request.source, settings);
    });
    await client.query(`COMMENT ON DATABASE ${quoted} IS ${pg.escapeLiteral(MARK + request.runId)}`);
    await client.query(`REVOKE CONNECT, TEMPORARY ON DATABASE ${quoted} FROM PUBLIC`);
    warnings.push(...(await applySettings(client, name, request)));
    signal?.throwIfAborted();
  } catch (error) {
    await drop().catch(() => {});
    await client.end().catch(() => {});
    signal?.throwIfAborted();
    throw targetError(error, settings);
  }
  return {
    name,
    settings: withDatabase(pinned, name),
    warnings,
    drop,
    async promote(finalName) {
      try {
        warnings.push(...(await promote(client, name, finalName, request)));
      } catch (error) {
        await client.query('ROLLBACK').catch(() => {});
        if (codeOf(error) === '42P04') throw targetExists(finalName, error);
        throw targetError(error, settings);
      }
      state = 'promoted';
      await client.end().catch(() => {});
    },
    async [Symbol.asyncDispose]() {
      // What cannot be dropped now (the server is gone) is swept by the next run; the reason why we are here matters more.
      await drop().catch(() => {});
      await client.end().catch(() => {});
    },
  };
}

function creationError(error: unknown, source: Source, settings: ConnectionSettings): JetbackupError {
  if (/locale|collat|ICU|encoding/i.test(messageOf(error))) {
    const locale =
      source.localeProvider === 'c' ? `${source.collate} / ${source.ctype}` : `${source.locale} (and ${source.collate} / ${source.ctype})`;
    return new JetbackupError(
      'restore-failed',
      `the target cannot make a database with the encoding ${source.encoding} and the locale ${locale}: ${messageOf(error)}`,
      {
        hint: `Make that locale on the target's machine (Debian: add it to /etc/locale.gen, run locale-gen, restart PostgreSQL) or use a server image that has it.`,
        cause: error,
      },
    );
  }
  return targetError(error, settings);
}

/** Before the rows come, as in the source: an expression of an index or a generated column may ask for them. */
async function applySettings(client: pg.Client, name: string, request: StagingRequest): Promise<string[]> {
  const warnings: string[] = [];
  for (const { role, setting } of request.source.settings) {
    if (role !== null && request.noOwner) continue;
    try {
      await client.query(alterSettingSql(name, role, setting));
    } catch (error) {
      if (codeOf(error) === undefined) throw error;
      warnings.push(
        `the setting ${setting}${role === null ? '' : ` of role "${role}"`} could not be made on the restored database: ${messageOf(error)}`,
      );
    }
  }
  return warnings;
}

function targetExists(finalName: string, cause?: unknown): JetbackupError {
  return new JetbackupError('target-exists', `the database ${finalName} exists`, {
    hint: 'Restore under another name (--as), or drop it first.',
    cause,
  });
}

async function promote(client: pg.Client, name: string, finalName: string, request: StagingRequest): Promise<string[]> {
  const { source } = request;
  const database = pg.escapeIdentifier(name);
  const warnings: string[] = [];
  const roles = await existingRoles(client);
  if (await databaseExists(client, finalName)) throw targetExists(finalName);
  const statements = [`ALTER DATABASE ${database} CONNECTION LIMIT ${source.connectionLimit}`];
  statements.push(`COMMENT ON DATABASE ${database} IS ${source.comment === null ? 'NULL' : pg.escapeLiteral(source.comment)}`);
  const noPrivileges = request.noPrivileges ?? request.noOwner;
  // No list of rights means the built-in default, which we took away from the staging database.
  const acl = noPrivileges || source.acl === null ? ['=Tc/'] : source.acl;
  for (const { role, sql } of acl.flatMap((item) => grantsSql(name, item))) {
    // The owner has all rights on it anyway; named here, they would be the present owner's gift.
    if (role !== null && role === source.owner) continue;
    if (role === null || roles.has(role)) statements.push(sql);
    else warnings.push(`the role "${role}" does not exist, so its rights on the database were left out`);
  }
  const owner = request.owner ?? (request.noOwner ? undefined : source.owner);
  if (owner !== undefined && roles.has(owner)) statements.push(`ALTER DATABASE ${database} OWNER TO ${pg.escapeIdentifier(owner)}`);
  else if (owner !== undefined) warnings.push(`the role "${owner}" does not exist, so the database belongs to the role that restored it`);
  statements.push(`ALTER DATABASE ${database} RENAME TO ${pg.escapeIdentifier(finalName)}`);

  // A database that someone is connected to cannot be renamed; nobody has any business in it yet.
  await endSessions(client, name);
  await client.query('BEGIN');
  for (const statement of statements) await client.query(statement);
  await client.query('COMMIT');
  return [...new Set(warnings)];
}

async function endSessions(client: pg.Client, name: string): Promise<void> {
  await client.query('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()', [name]);
}

async function dropDatabase(client: pg.Client, settings: ConnectionSettings, name: string): Promise<void> {
  const sql = `DROP DATABASE IF EXISTS ${pg.escapeIdentifier(name)} WITH (FORCE)`;
  try {
    await client.query(sql);
  } catch (first) {
    // The connection that held the lock may be the very thing that broke.
    if (codeOf(first) !== undefined && !/^(57P0.|08...|25P02)$/.test(codeOf(first) ?? '')) throw targetError(first, settings);
    const again = await connectMaintenance(settings, 'jetbackup drop').catch((error) => {
      throw targetError(error, settings);
    });
    try {
      await again.client.query(sql);
    } catch (error) {
      throw targetError(error, settings);
    } finally {
      await again.client.end().catch(() => {});
    }
  }
}

/**
 * Drops the staging databases of runs that are dead (their lock is free), with whatever such a run left connected to
 * them, and returns their names. Throws `target-unreachable`, `target-denied`.
 */
export async function sweepStaging(settings: ConnectionSettings, signal?: AbortSignal): Promise<string[]> {
  const swept: string[] = [];
  try {
    const { client, settings: pinned } = await connectMaintenance(settings, 'jetbackup sweep', signal);
    try {
      const { rows } = await client.query<{ datname: string }>(
        `SELECT datname FROM pg_database d
          WHERE datname ~ $1 AND starts_with(shobj_description(oid, 'pg_database'), $2)
            AND pg_has_role(datdba, 'MEMBER') ORDER BY 1`,
        [NAME_PATTERN, MARK],
      );
      for (const { datname } of rows) {
        signal?.throwIfAborted();
        if (await claim(client, lockOf(datname))) {
          await dropDatabase(client, pinned, datname);
          swept.push(datname);
        }
      }
      return swept;
    } finally {
      await client.end().catch(() => {});
    }
  } catch (error) {
    signal?.throwIfAborted();
    throw targetError(error, settings);
  }
}

/** Takes the lock when nobody has it. Locks are per database, and that run may have used another maintenance database: so all of them are looked through. */
async function claim(client: pg.Client, key: string): Promise<boolean> {
  const { rows } = await client.query<{ held: boolean }>(
    `SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND (classid::int8 << 32) | objid::int8 = $1::int8) AS held`,
    [key],
  );
  if (rows[0]?.held !== false) return false;
  const lock = await client.query<{ got: boolean }>('SELECT pg_try_advisory_lock($1::int8) AS got', [key]);
  return lock.rows[0]?.got === true;
}
