import type * as z from 'zod';
import { collect } from '../core/bytes.ts';
import { isJetbackupError } from '../core/errors.ts';
import type { Key, ObjectStore } from './store.ts';

/** Looks at an object that others replace: what fails to be read to its end may be whole the next time. */
const ATTEMPTS = 3;

/**
 * Reads a small object of JSON that whoever wrote it may replace meanwhile. Undefined where there is none; `unreadable` where it is
 * larger than `mostBytes`, no JSON, or not as the schema says. Throws what the store throws, but for `storage-not-found` and,
 * after some attempts, `storage-failed`.
 */
export async function readJsonObject<T>(
  store: ObjectStore,
  key: Key,
  { schema, mostBytes }: { readonly schema: z.ZodType<T>; readonly mostBytes: number },
  signal: AbortSignal,
): Promise<T | 'unreadable' | undefined> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      const bytes = await collect(await store.get(key, { signal }), mostBytes);
      const parsed = schema.safeParse(JSON.parse(Buffer.from(bytes).toString('utf8')));
      return parsed.success ? parsed.data : 'unreadable';
    } catch (error) {
      if (isJetbackupError(error, 'storage-not-found')) return undefined;
      if (isJetbackupError(error, 'storage-failed') && attempt < ATTEMPTS) continue;
      if (isJetbackupError(error, 'storage-failed') || error instanceof SyntaxError || error instanceof RangeError) return 'unreadable';
      throw error;
    }
  }
}
