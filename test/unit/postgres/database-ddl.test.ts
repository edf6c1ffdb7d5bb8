import { describe, expect, it } from 'vitest';
import type { Source } from '../../../src/core/manifest.ts';
import { alterSettingSql, createDatabaseSql, grantsSql } from '../../../src/postgres/database-ddl.ts';

const source: Source = {
  datname: 'db',
  owner: 'app',
  encoding: 'UTF8',
  collate: 'de_DE.UTF-8',
  ctype: 'de_DE.UTF-8',
  localeProvider: 'c',
  locale: null,
  icuRules: null,
  collationVersion: null,
  connectionLimit: -1,
  tablespace: 'pg_default',
  comment: null,
  settings: [],
  acl: null,
  extensions: [],
  roles: [],
  tablespaces: [],
  sizeBytes: 1,
};

describe('the statements that make a database like its source', () => {
  it('spell encoding and locale for the target’s major', () => {
    const base = `CREATE DATABASE "a""b" TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'de_DE.UTF-8' LC_CTYPE 'de_DE.UTF-8'`;
    expect(createDatabaseSql('a"b', source, 14, false)).toBe(base);
    expect(createDatabaseSql('a"b', source, 17, false)).toBe(`${base} LOCALE_PROVIDER libc`);
    expect(createDatabaseSql('a"b', { ...source, localeProvider: 'i', locale: 'de-x-phonebk', icuRules: '&a<b' }, 17, false)).toBe(
      `${base} LOCALE_PROVIDER icu ICU_LOCALE 'de-x-phonebk' ICU_RULES '&a<b'`,
    );
    expect(createDatabaseSql('a"b', { ...source, localeProvider: 'b', locale: 'C.UTF-8' }, 17, false)).toBe(
      `${base} LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8'`,
    );
    expect(createDatabaseSql('a"b', { ...source, tablespace: 'fast' }, 14, false)).toBe(`${base} TABLESPACE "fast"`);
    expect(createDatabaseSql('a"b', { ...source, tablespace: 'fast' }, 14, true)).toBe(base);
  });

  it.each([
    [null, 'search_path="$user", public, "a,""b"', `ALTER DATABASE "db" SET "search_path" TO '$user', 'public', 'a,"b'`],
    [null, 'search_path=', `ALTER DATABASE "db" SET "search_path" TO ''`],
    [null, 'search_path=""', `ALTER DATABASE "db" SET "search_path" TO ''`],
    [null, "app.tenant=it's, one", `ALTER DATABASE "db" SET "app.tenant" TO 'it''s, one'`],
    ['o"r', 'work_mem=8MB', `ALTER ROLE "o""r" IN DATABASE "db" SET "work_mem" TO '8MB'`],
  ])('carry over the setting %s %s', (role, setting, expected) => {
    expect(alterSettingSql('db', role, setting)).toBe(expected);
  });

  it('carry over the rights on the database, with their grant options', () => {
    expect(grantsSql('db', '=Tc/app')).toEqual([
      { role: null, sql: 'GRANT TEMPORARY ON DATABASE "db" TO PUBLIC' },
      { role: null, sql: 'GRANT CONNECT ON DATABASE "db" TO PUBLIC' },
    ]);
    expect(grantsSql('db', '"o""d = r"=C*c/app')).toEqual([
      { role: 'o"d = r', sql: 'GRANT CREATE ON DATABASE "db" TO "o""d = r" WITH GRANT OPTION' },
      { role: 'o"d = r', sql: 'GRANT CONNECT ON DATABASE "db" TO "o""d = r"' },
    ]);
  });
});
