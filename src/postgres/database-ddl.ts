import pg from 'pg';
import type { Source } from '../core/manifest.ts';

const name = (text: string) => pg.escapeIdentifier(text);
const literal = (text: string) => pg.escapeLiteral(text);

/** CREATE DATABASE with the source's encoding and locale, spelled for the target's major. */
export function createDatabaseSql(database: string, source: Source, targetMajor: number, noTablespaces: boolean): string {
  const clauses = [
    'TEMPLATE template0',
    `ENCODING ${literal(source.encoding)}`,
    `LC_COLLATE ${literal(source.collate)}`,
    `LC_CTYPE ${literal(source.ctype)}`,
  ];
  if (source.localeProvider === 'i') {
    clauses.push('LOCALE_PROVIDER icu', `ICU_LOCALE ${literal(source.locale ?? 'und')}`);
    if (source.icuRules !== null) clauses.push(`ICU_RULES ${literal(source.icuRules)}`);
  } else if (source.localeProvider === 'b') {
    clauses.push('LOCALE_PROVIDER builtin', `BUILTIN_LOCALE ${literal(source.locale ?? 'C')}`);
  } else if (targetMajor >= 15) {
    // Spoken out, because template0 of the target may be of another provider.
    clauses.push('LOCALE_PROVIDER libc');
  }
  if (!noTablespaces && source.tablespace !== 'pg_default') clauses.push(`TABLESPACE ${name(source.tablespace)}`);
  return `CREATE DATABASE ${name(database)} ${clauses.join(' ')}`;
}

/** Settings that are lists of names: each member is quoted by itself, or the list would become one odd name (PostgreSQL's dumputils.c, variable_is_guc_list_quote). */
const listSettings = new Set([
  'local_preload_libraries',
  'search_path',
  'session_preload_libraries',
  'shared_preload_libraries',
  'temp_tablespaces',
  'unix_socket_directories',
]);

/** ALTER DATABASE ... SET, or ALTER ROLE ... IN DATABASE ... SET, for one `name=value` of pg_db_role_setting. */
export function alterSettingSql(database: string, role: string | null, setting: string): string {
  const equals = setting.indexOf('=');
  const variable = setting.slice(0, equals);
  const value = setting.slice(equals + 1);
  const subject = role === null ? `DATABASE ${name(database)}` : `ROLE ${name(role)} IN DATABASE ${name(database)}`;
  const text = listSettings.has(variable.toLowerCase()) ? listMembers(value).map(literal).join(', ') : literal(value);
  return `ALTER ${subject} SET ${name(variable)} TO ${text === '' ? "''" : text}`;
}

/** Whether a `name=value` of pg_db_role_setting chooses where things are stored. */
export function isTablespaceSetting(setting: string): boolean {
  return /^(default_tablespace|temp_tablespaces)=/i.test(setting);
}

function listMembers(list: string): string[] {
  return [...list.matchAll(/\s*(?:"((?:[^"]|"")*)"|([^,"]+))\s*(?:,|$)/g)].map(
    ([, quoted, plain]) => quoted?.replaceAll('""', '"') ?? (plain ?? '').trim(),
  );
}

const databaseRights: Readonly<Record<string, string>> = { C: 'CREATE', T: 'TEMPORARY', c: 'CONNECT' };

export interface Grant {
  /** null: PUBLIC. */
  readonly role: string | null;
  readonly sql: string;
}

/** One item of pg_database.datacl, `grantee=rights/grantor`, as GRANT statements. */
export function grantsSql(database: string, item: string): Grant[] {
  const match = /^(?:"((?:[^"]|"")*)"|([^="]*))=([A-Za-z*]*)\//.exec(item);
  if (match === null) return [];
  const grantee = match[1]?.replaceAll('""', '"') ?? match[2] ?? '';
  const role = grantee === '' ? null : grantee;
  const rights = [...(match[3] ?? '').matchAll(/([A-Za-z])(\*?)/g)];
  return rights.flatMap(([, letter = '', option]) => {
    const right = databaseRights[letter];
    if (right === undefined) return [];
    const to = role === null ? 'PUBLIC' : name(role);
    return [{ role, sql: `GRANT ${right} ON DATABASE ${name(database)} TO ${to}${option === '*' ? ' WITH GRANT OPTION' : ''}` }];
  });
}
