import pg from 'pg';
import { messageOf } from '../core/errors.ts';
import { connect } from './client.ts';
import { stateOf } from './database-errors.ts';
import { existingRoles } from './maintenance.ts';
import type { ConnectionSettings } from './settings.ts';

export interface LoadedGlobals {
  /** Roles that were made. */
  readonly roles: number;
  /** Statements about tablespaces: their directories are not in a backup. */
  readonly leftOut: number;
  /**
   * `statement` is its beginning, without a value. `isOfTheServer`: it asks for what no backup holds and this server may lack, as a
   * locale (`lc_monetary`) or a module that defines a setting or a label.
   */
  readonly failures: readonly { readonly statement: string; readonly message: string; readonly isOfTheServer: boolean }[];
}

/**
 * Runs what pg_dumpall --globals-only wrote, one statement after the other, on a server of our own. The user that we are connected
 * as keeps its password and attributes. A statement that fails is told and the next one tried, as psql does. Throws
 * `database-unreachable`, `database-denied`, the signal's reason, and the server's own trouble (disk, memory, shutdown) as it comes.
 */
export async function loadGlobals(settings: ConnectionSettings, sql: string, signal?: AbortSignal): Promise<LoadedGlobals> {
  const { client } = await connect(settings, { applicationName: 'jetbackup globals', ...(signal === undefined ? {} : { signal }) });
  try {
    const existing = await existingRoles(client);
    const own = pg.escapeIdentifier(settings.user);
    const isOwn = (name: string | undefined) => name === settings.user || name === own;
    let roles = 0;
    let leftOut = 0;
    const failures: LoadedGlobals['failures'][number][] = [];
    for (const statement of statements(sql)) {
      const made = /^CREATE ROLE ("(?:[^"]|"")+"|[^\s;]+)/.exec(statement)?.[1];
      const altered = /^ALTER ROLE ("(?:[^"]|"")+"|[^\s;]+) WITH /.exec(statement)?.[1];
      if (
        /^(?:CREATE TABLESPACE|ALTER TABLESPACE|COMMENT ON TABLESPACE|SECURITY LABEL (?:FOR \S+ )?ON TABLESPACE|(?:GRANT|REVOKE) .* ON TABLESPACE) ?/.test(
          statement,
        )
      ) {
        leftOut += 1;
        continue;
      }
      if (isOwn(altered) || (made !== undefined && existing.has(plain(made)))) continue;
      try {
        await client.query(statement);
        if (made !== undefined) roles += 1;
      } catch (error) {
        // Without one it is the connection that failed, or the server is at its end: no word about the statement.
        if (stateOf(error) === undefined) throw error;
        failures.push({ statement: beginning(statement), message: messageOf(error), isOfTheServer: ofTheServer.test(statement) });
      }
    }
    return { roles, leftOut, failures };
  } finally {
    await client.end().catch(() => {});
  }
}

const ofTheServer = /^(?:ALTER ROLE (?:"(?:[^"]|"")+"|[^\s;]+) (?:IN DATABASE .+? )?SET |SECURITY LABEL )/;

/**
 * Name of the superuser that the server was made with, by what it alone always has: every attribute. Of several, the one that others
 * were granted by, since what a superuser grants counts as granted by that one; else `postgres` where it is among them; else the first.
 */
export function superuserIn(sql: string): string {
  const names: string[] = [];
  const grantors = new Set<string>();
  for (const statement of statements(sql)) {
    const match = /^ALTER ROLE ("(?:[^"]|"")+"|[^\s;]+) WITH SUPERUSER INHERIT CREATEROLE CREATEDB LOGIN REPLICATION BYPASSRLS\b/.exec(
      statement,
    );
    if (match?.[1] !== undefined) names.push(plain(match[1]));
    const grantor = /^GRANT .* GRANTED BY ("(?:[^"]|"")+"|[^\s;]+);$/.exec(statement)?.[1];
    if (grantor !== undefined) grantors.add(plain(grantor));
  }
  const granting = names.find((name) => grantors.has(name));
  if (granting !== undefined) return granting;
  return names.includes('postgres') ? 'postgres' : (names[0] ?? 'postgres');
}

function plain(name: string): string {
  return name.startsWith('"') ? name.slice(1, -1).replaceAll('""', '"') : name;
}

/** The first words, up to where values begin. */
function beginning(statement: string): string {
  return (/^[^'=]*?(?= PASSWORD | TO '|'|=|;|$)/.exec(statement)?.[0] ?? '').slice(0, 120);
}

/**
 * The statements of a script as pg_dumpall writes it: quoted names and strings (E'' too) may hold anything, `--` comments and
 * psql's own lines (`\restrict`) are left out. There is no dollar quoting in it.
 */
export function* statements(sql: string): Generator<string, void, undefined> {
  let start = 0;
  for (let at = 0; at < sql.length; ) {
    const char = sql[at];
    if (char === "'" || char === '"') {
      at = endOfQuoted(sql, at, char === "'" && /[eE]/.test(sql[at - 1] ?? ''));
    } else if (isLineOfItsOwn(sql, at, start)) {
      const end = sql.indexOf('\n', at);
      at = end === -1 ? sql.length : end + 1;
      start = at;
    } else if (char === ';') {
      const statement = sql.slice(start, at + 1).trim();
      if (statement !== ';') yield statement;
      at += 1;
      start = at;
    } else {
      at += 1;
    }
  }
}

/** A comment, or one of psql's commands, where no statement has begun. */
function isLineOfItsOwn(sql: string, at: number, start: number): boolean {
  if (!sql.startsWith('--', at) && sql[at] !== '\\') return false;
  return sql.slice(start, at).trim() === '';
}

function endOfQuoted(sql: string, from: number, withBackslashes: boolean): number {
  const quote = sql[from];
  for (let at = from + 1; at < sql.length; at += 1) {
    if (withBackslashes && sql[at] === '\\') at += 1;
    else if (sql[at] === quote) {
      if (sql[at + 1] !== quote) return at + 1;
      at += 1;
    }
  }
  return sql.length;
}
