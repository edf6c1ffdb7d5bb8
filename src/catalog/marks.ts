import type * as z from 'zod';
import { bytesOf, collect } from '../core/bytes.ts';
import { isJetbackupError, JetbackupError } from '../core/errors.ts';
import type { DatabaseName } from '../core/ids.ts';
import type { Signature } from '../core/manifest.ts';
import { type Acceptance, AcceptanceSchema, type Mark, MarkSchema } from '../core/mark.ts';
import { type PublicKey, verifyDocument } from '../crypto/signature.ts';
import type { Key, ObjectStore } from '../storage/store.ts';
import type { Listed } from './catalog.ts';
import { acceptanceKey, markKey } from './layout.ts';

const MAX_BYTES = 64 * 1024;

/** Whose decisions count here. */
export interface Trust {
  /** The repository's id. */
  readonly repository: string;
  readonly publicKeys: readonly PublicKey[];
}

export async function writeMark(store: ObjectStore, mark: Mark, signal: AbortSignal): Promise<void> {
  await put(store, markKey(mark.database, mark.backup), mark, signal);
}

export async function writeAcceptance(store: ObjectStore, acceptance: Acceptance, signal: AbortSignal): Promise<void> {
  await put(store, acceptanceKey(acceptance.database), acceptance, signal);
}

async function put(store: ObjectStore, key: Key, document: object, signal: AbortSignal): Promise<void> {
  await store.put(key, bytesOf(`${JSON.stringify(document, null, 1)}\n`), { signal });
}

/**
 * What an operator decided about this backup, authenticated; undefined where nothing is. Throws `damaged`, `not-authentic` (also
 * for the mark of another backup or repository that was copied here), and what the store throws.
 */
export async function readMark(store: ObjectStore, { database, id }: Listed, trust: Trust, signal: AbortSignal): Promise<Mark | undefined> {
  const key = markKey(database, id);
  const mark = await readSigned(store, key, MarkSchema, trust, signal);
  if (mark === undefined || (mark.database === database && mark.backup === id)) return mark;
  throw copied(key, 'jetbackup pin, or jetbackup unpin');
}

/** The newest acceptance of a database, authenticated; undefined where there is none. Throws as `readMark`. */
export async function readAcceptance(
  store: ObjectStore,
  database: DatabaseName,
  trust: Trust,
  signal: AbortSignal,
): Promise<Acceptance | undefined> {
  const key = acceptanceKey(database);
  const acceptance = await readSigned(store, key, AcceptanceSchema, trust, signal);
  if (acceptance === undefined || acceptance.database === database) return acceptance;
  throw copied(key, 'jetbackup prune --accept ID');
}

async function readSigned<T extends { readonly signature: Signature; readonly repository: string }>(
  store: ObjectStore,
  key: Key,
  schema: z.ZodType<T>,
  { repository, publicKeys }: Trust,
  signal: AbortSignal,
): Promise<T | undefined> {
  let document: T;
  try {
    const bytes = await collect(await store.get(key, { signal }), MAX_BYTES);
    document = schema.parse(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)));
  } catch (cause) {
    if (isJetbackupError(cause, 'storage-not-found')) return undefined;
    signal.throwIfAborted();
    if (isJetbackupError(cause)) throw cause;
    throw new JetbackupError('damaged', `${key} cannot be read as what an operator decided`, {
      cause,
      hint: 'Write it anew: jetbackup pin, jetbackup unpin, or jetbackup prune --accept ID.',
    });
  }
  verifyDocument(document, key, publicKeys);
  if (document.repository === repository) return document;
  throw copied(key, 'jetbackup pin, jetbackup unpin, or jetbackup prune --accept ID');
}

function copied(key: Key, again: string): JetbackupError {
  return new JetbackupError('not-authentic', `${key} was made for something else and copied here`, { hint: `Write it anew: ${again}.` });
}
