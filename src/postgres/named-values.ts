import type pg from 'pg';
import type { Fingerprint } from '../core/fingerprint.ts';
import { beside, type Omission, serverSays } from './beside.ts';
import { codeOf } from './database-errors.ts';
import { oneValue } from './one-value.ts';

/** A query of the user's that gives one value. */
export interface NamedQuery {
  readonly name: string;
  readonly sql: string;
}

export type NamedValue = NonNullable<Fingerprint['values']>[number];

export const VALUE_TIMEOUT_SECONDS = 60;
/** Characters. A value is there to be compared and read, not to be a second copy of the data. */
export const VALUE_MAX_LENGTH = 10_000;

/**
 * Asks each query within the transaction of `client`, which has the fingerprint's fixed settings: dates, numbers and zones
 * read the same on every server. Unqualified names are found as an application of this role in this database finds them.
 * What fails, takes longer than 60 s or is not one row of one short value is left out and told. Throws as `beside` does.
 */
export async function readValues(
  client: pg.Client,
  queries: readonly NamedQuery[],
  onOmission: (omission: Omission) => void,
): Promise<NamedValue[]> {
  const found: NamedValue[] = [];
  for (const { name, sql } of queries) {
    const asked = await beside(client, () => ask(client, sql));
    const answer = 'error' in asked ? failureOf(asked.error) : asked.value;
    if (answer.kind === 'value') found.push({ name, sql, value: answer.value });
    else onOmission({ text: `the value "${name}" was not recorded: ${answer.why}`, hint: answer.hint });
  }
  return found;
}

type Answer =
  | { readonly kind: 'value'; readonly value: string | null }
  | { readonly kind: 'none'; readonly why: string; readonly hint: string };

const none = (why: string, hint: string): Answer => ({ kind: 'none', why, hint });

async function ask(client: pg.Client, sql: string): Promise<Answer> {
  await client.query(
    `SET LOCAL search_path TO DEFAULT; SET LOCAL cursor_tuple_fraction = 1; SET LOCAL statement_timeout = '${VALUE_TIMEOUT_SECONDS}s'`,
  );
  const one = await oneValue(client, sql);
  if (one.kind === 'shape') return none(`its query ${one.why}`, 'Write it so that it gives exactly one row, e.g. SELECT count(*) FROM …');
  const { value } = one;
  if (value !== null && value.length > VALUE_MAX_LENGTH) {
    return none(`it is longer than ${VALUE_MAX_LENGTH} characters`, 'Record a digest of it: SELECT md5(…).');
  }
  return { kind: 'value', value };
}

function failureOf(error: unknown): Answer {
  const code = codeOf(error);
  if (code === '57014') return none(`its query took longer than ${VALUE_TIMEOUT_SECONDS} s`, 'Record something that is quicker to find.');
  return none(`its query failed (SQLSTATE ${code ?? 'unknown'})`, `${serverSays(error)} Try the query in psql as the user of the backup.`);
}
