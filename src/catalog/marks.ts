import type { DatabaseName } from '../core/ids.ts';
import { type Acceptance, AcceptanceSchema, type Mark, MarkSchema } from '../core/mark.ts';
import type { ObjectStore } from '../storage/store.ts';
import type { Listed } from './catalog.ts';
import { acceptanceKey, markKey } from './layout.ts';
import { copied, putSigned, readSigned, type Trust } from './signed.ts';

export type { Trust } from './signed.ts';

const what = 'what an operator decided';
const marks = { schema: MarkSchema, what, again: 'jetbackup pin, or jetbackup unpin' };
const acceptances = { schema: AcceptanceSchema, what, again: 'jetbackup prune --accept ID' };

export async function writeMark(store: ObjectStore, mark: Mark, signal: AbortSignal): Promise<void> {
  await putSigned(store, markKey(mark.database, mark.backup), mark, signal);
}

export async function writeAcceptance(store: ObjectStore, acceptance: Acceptance, signal: AbortSignal): Promise<void> {
  await putSigned(store, acceptanceKey(acceptance.database), acceptance, signal);
}

/**
 * What an operator decided about this backup, authenticated; undefined where nothing is. Throws `damaged`, `not-authentic` (also
 * for the mark of another backup or repository that was copied here), and what the store throws.
 */
export async function readMark(store: ObjectStore, { database, id }: Listed, trust: Trust, signal: AbortSignal): Promise<Mark | undefined> {
  const key = markKey(database, id);
  const mark = await readSigned(store, key, marks, trust, signal);
  if (mark === undefined || (mark.database === database && mark.backup === id)) return mark;
  throw copied(key, marks.again);
}

/** The newest acceptance of a database, authenticated; undefined where there is none. Throws as `readMark`. */
export async function readAcceptance(
  store: ObjectStore,
  database: DatabaseName,
  trust: Trust,
  signal: AbortSignal,
): Promise<Acceptance | undefined> {
  const key = acceptanceKey(database);
  const acceptance = await readSigned(store, key, acceptances, trust, signal);
  if (acceptance === undefined || acceptance.database === database) return acceptance;
  throw copied(key, acceptances.again);
}
