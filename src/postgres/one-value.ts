import type pg from 'pg';

export type OneValue =
  /** As text, as the server writes it. */
  | { readonly kind: 'value'; readonly value: string | null; readonly isBoolean: boolean }
  /** Not one row of one value, in words. */
  | { readonly kind: 'shape'; readonly why: string };

const BOOLEAN = 16;
/** Values as the server writes them: a parser would make a Date of what must stay text. */
const asText: pg.CustomTypesConfig = { getTypeParser: () => (text: string) => text };

/**
 * What a query of the user's gives: the first column of its only row. Within a transaction, whose settings are the caller's business. A cursor takes a
 * query and nothing else, no COMMIT for one, and of a million rows two are fetched. The extended protocol (which the types of
 * `pg` do not know) takes one statement and no second. Throws what the server says.
 */
export async function oneValue(client: pg.ClientBase, sql: string): Promise<OneValue> {
  const declare = { text: `DECLARE jetbackup NO SCROLL CURSOR FOR ${sql}`, queryMode: 'extended' };
  await client.query(declare);
  const { rows, fields } = await client.query<(string | null)[]>({ text: 'FETCH 2 FROM jetbackup', rowMode: 'array', types: asText });
  const [row, second] = rows;
  if (row === undefined) return { kind: 'shape', why: 'gave no row' };
  if (second !== undefined) return { kind: 'shape', why: 'gave more than one row' };
  const [value] = row;
  if (value === undefined) return { kind: 'shape', why: 'gave no column' };
  return { kind: 'value', value, isBoolean: fields[0]?.dataTypeID === BOOLEAN };
}
