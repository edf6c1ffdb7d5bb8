import * as z from 'zod';
import { majorOf, type Source } from '../../core/manifest.ts';
import { qualified } from '../../postgres/inventory-sql.ts';
import type { CheckResult, RestoreCheck } from '../check.ts';
import { counted, failed, passed } from './result.ts';
import { inSession } from './session.ts';

const Locale = z.object({
  versionNum: z.int(),
  encoding: z.string(),
  collate: z.string(),
  ctype: z.string(),
  provider: z.enum(['c', 'i', 'b']),
  locale: z.string().nullable(),
  collationVersion: z.string().nullable(),
});
export type RestoredLocale = z.infer<typeof Locale>;

/** A collation whose indexes were built, on this server, under another version of its library than it has now. */
const Outdated = z.object({ identity: z.string(), recorded: z.string(), actual: z.string() });
export type OutdatedCollation = z.infer<typeof Outdated>;

const providers = { c: 'libc', i: 'ICU', b: 'builtin' } as const;

/**
 * The same encoding. Another locale or another version of a collation sorts otherwise, which no row is worse for: a restore
 * builds every index anew by the rules of the server that it is on. So that is told and is no failure.
 */
export const encoding: RestoreCheck = {
  id: 'encoding',
  async run(context, signal) {
    const { manifest } = context;
    return await inSession(context, signal, async (client) => {
      const version = await client.query(`SELECT current_setting('server_version_num')::int4 AS num`);
      const { num } = z.object({ num: z.int() }).parse(version.rows[0]);
      const locale = await client.query(localeQuery(Math.floor(num / 10_000)));
      const outdated = await client.query(outdatedQuery);
      return judge(
        manifest.source,
        majorOf(manifest.server),
        Locale.parse({ ...locale.rows[0], versionNum: num }),
        z.array(Outdated).parse(outdated.rows),
      );
    });
  },
};

function localeQuery(major: number): string {
  const locale = major >= 17 ? 'd.datlocale' : major >= 15 ? 'd.daticulocale' : 'NULL::text';
  return `SELECT pg_encoding_to_char(d.encoding) AS encoding, d.datcollate AS "collate", d.datctype AS ctype,
      ${major >= 15 ? 'd.datlocprovider::text' : `'c'`} AS provider, ${locale} AS locale,
      ${major >= 15 ? 'd.datcollversion' : 'NULL::text'} AS "collationVersion"
    FROM pg_database d WHERE d.datname = current_database()`;
}

/** Of the collations that something uses. */
const outdatedQuery = `SELECT c.identity, c.recorded, c.actual FROM (
    SELECT ${qualified('n.nspname', 'c.collname')} AS identity, c.collversion AS recorded,
      CASE WHEN c.collversion IS NOT NULL THEN pg_collation_actual_version(c.oid) END AS actual
    FROM pg_collation c JOIN pg_namespace n ON n.oid = c.collnamespace
    WHERE c.collencoding IN (-1, (SELECT d.encoding FROM pg_database d WHERE d.datname = current_database()))
      AND EXISTS (SELECT FROM pg_depend p WHERE p.refclassid = 'pg_collation'::regclass AND p.refobjid = c.oid)) c
  WHERE c.recorded <> c.actual ORDER BY 1`;

/** The decision, without a server. `major` is the source's. */
export function judge(source: Source, major: number, now: RestoredLocale, outdated: readonly OutdatedCollation[]): CheckResult {
  const version = `PostgreSQL ${Math.floor(now.versionNum / 10_000)}`;
  const other = major === Math.floor(now.versionNum / 10_000) ? [] : [`restored into ${version}, the backup is of PostgreSQL ${major}`];
  if (source.encoding !== now.encoding) {
    return failed(
      [`the encoding is ${now.encoding}, at backup it was ${source.encoding}`, ...other].join('; '),
      `Restore into a database that was made with ENCODING '${source.encoding}' TEMPLATE template0, as jetbackup restore does.`,
      ['characters that the other encoding lacks are lost or refused, and the contents cannot be compared'],
    );
  }
  const locales = localeDifferences(source, now);
  const versions = versionDifferences(source, now, outdated);
  const findings = [...locales, ...versions];
  const explained =
    findings.length === 0
      ? []
      : [
          'the restore has built every index anew on this server, so none is out of order for it; text may sort otherwise than at the source',
        ];
  return passed(
    [
      `the encoding is ${now.encoding}, as at backup`,
      ...(locales.length === 0 ? [] : [`${counted(locales.length, 'property', 'properties')} of the locale differ`]),
      ...(versions.length === 0 ? [] : [`${counted(versions.length, 'collation version')} differ, which is no corruption`]),
      ...other,
    ].join('; '),
    [...findings, ...explained],
  );
}

function localeDifferences(source: Source, now: RestoredLocale): string[] {
  const pairs: [what: string, before: string, now: string][] = [
    ['LC_COLLATE', source.collate, now.collate],
    ['LC_CTYPE', source.ctype, now.ctype],
    ['the locale provider', providers[source.localeProvider], providers[now.provider]],
    // ICU's is spelled as a language tag since 16: en_US became en-US.
    ['the locale', source.locale?.replaceAll('_', '-') ?? 'none', now.locale?.replaceAll('_', '-') ?? 'none'],
  ];
  return pairs.flatMap(([what, before, after]) => (before === after ? [] : [`${what} is ${after}, at backup ${before}`]));
}

function versionDifferences(source: Source, now: RestoredLocale, outdated: readonly OutdatedCollation[]): string[] {
  const { collationVersion: before } = source;
  // Null where the provider has no versions (C), or the server was too old to note them (14).
  const database =
    before !== null && now.collationVersion !== null && before !== now.collationVersion
      ? [`the database's collation is of version ${now.collationVersion} (${providers[now.provider]}), at backup ${before}`]
      : [];
  return [
    ...database,
    ...outdated.map(
      ({ identity, recorded, actual }) =>
        `the collation ${identity} is recorded with version ${recorded}, and the server's library has ${actual}`,
    ),
  ];
}
