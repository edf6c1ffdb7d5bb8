import { advisoryKey } from './advisory-lock.ts';

/** `pg_database` names are at most 63 bytes (NAMEDATALEN - 1). */
const MAX_BYTES = 63;

/** How the names of staging databases end: a regular expression of PostgreSQL. */
export const STAGING_NAME_PATTERN = '_jetbackup_[0-9a-z]{6}$';

/** Begins the comment on every staging database. */
export const STAGING_MARK = 'jetbackup staging database of run ';

/** The key of the advisory lock that a run holds for as long as it needs its staging database. */
export const stagingLock = (database: string) => advisoryKey(`staging:${database}`);

export const stagingName = (finalName: string, runId: string) => derived(finalName, 'jetbackup', runId);

/** What an empty database that has the final name is called from then on. */
export const asideName = (finalName: string, runId: string) => derived(finalName, 'empty', runId);

function derived(name: string, word: string, runId: string): string {
  const random = /[0-9a-z]{6}$/.exec(runId)?.[0];
  if (random === undefined) throw new TypeError(`not a run id: ${runId}`);
  const suffix = `_${word}_${random}`;
  let prefix = name;
  while (Buffer.byteLength(prefix + suffix, 'utf8') > MAX_BYTES) prefix = [...prefix].slice(0, -1).join('');
  return prefix + suffix;
}
