import type * as z from 'zod';
import { collect } from '../core/bytes.ts';
import { isJetbackupError } from '../core/errors.ts';
import type { Key, ObjectStore } from './store.ts';

/** Looks at an object that others replace: what fails to be read to its end may be whole the next time. */
const ATTEMPTS = 3;

/**
 * The text of a small object that whoever wrote it may replace meanwhile. Undefined where there is none. Throws RangeError where it is
 * larger than `mostBytes`, and what the store throws, but for `storage-not-found`; `storage-failed` only after some attempts.
 */
export async function readText(store: ObjectStore, key: Key, mostBytes: number, signal: AbortSignal): Promise<string | undefined> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return Buffer.from(await collect(await store.get(key, { signal }), mostBytes)).toString('utf8');
    } catch (error) {
      if (isJetbackupError(error, 'storage-not-found')) return undefined;
      if (!isJetbackupError(error, 'storage-failed') || attempt === ATTEMPTS) throw error;
    }
  }
}

/**
 * Reads such an object as JSON. Undefined where there is none; `unreadable` where it is larger than `mostBytes`, no JSON, not as the
 * schema says, or fails to be read to its end. Throws what else the store throws.
 */
export async function readJsonObject<T>(
  store: ObjectStore,
  key: Key,
  { schema, mostBytes }: { readonly schema: z.ZodType<T>; readonly mostBytes: number },
  signal: AbortSignal,
): Promise<T | 'unreadable' | undefined> {
  try {
    const text = await readText(store, key, mostBytes, signal);
    if (text === undefined) return undefined;
    const parsed = schema.safeParse(JSON.parse(text));
    return parsed.success ? parsed.data : 'unreadable';
  } catch (error) {
    if (isJetbackupError(error, 'storage-failed') || error instanceof SyntaxError || error instanceof RangeError) return 'unreadable';
    throw error;
  }
}
