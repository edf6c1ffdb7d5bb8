import type * as z from 'zod';
import { bytesOf, collect } from '../core/bytes.ts';
import { isJetbackupError, JetbackupError } from '../core/errors.ts';
import type { Signature } from '../core/manifest.ts';
import { type PublicKey, verifyDocument } from '../crypto/signature.ts';
import type { Key, ObjectStore } from '../storage/store.ts';

/** Whose word counts here. */
export interface Trust {
  /** The repository's id. */
  readonly repository: string;
  readonly publicKeys: readonly PublicKey[];
}

const MAX_BYTES = 256 * 1024;

export async function putSigned(store: ObjectStore, key: Key, document: object, signal: AbortSignal): Promise<void> {
  await store.put(key, bytesOf(`${JSON.stringify(document, null, 1)}\n`), { signal });
}

/**
 * A small signed document, authenticated; undefined where there is none. `what` says what it should be, `again` how it is made
 * anew. Throws `damaged`, `not-authentic`, and what the store throws.
 */
export async function readSigned<T extends { readonly signature: Signature; readonly repository: string }>(
  store: ObjectStore,
  key: Key,
  { schema, what, again }: { readonly schema: z.ZodType<T>; readonly what: string; readonly again: string },
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
    throw new JetbackupError('damaged', `${key} cannot be read as ${what}`, { cause, hint: `Write it anew: ${again}.` });
  }
  verifyDocument(document, key, publicKeys);
  if (document.repository === repository) return document;
  throw copied(key, again);
}

/** It is authentic, and not meant for the place where it lies. */
export function copied(key: Key, again: string): JetbackupError {
  return new JetbackupError('not-authentic', `${key} was made for something else and copied here`, { hint: `Write it anew: ${again}.` });
}
