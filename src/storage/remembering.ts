import { bytesOf, collect } from '../core/bytes.ts';
import type { GetOptions, Key, ObjectStore } from './store.ts';

/** Bytes that are remembered at most: some ten thousand run records. */
const MOST_BYTES = 32 * 1024 * 1024;
/** What is larger is read anew each time. */
const LARGEST = 1024 * 1024;

/**
 * The same store, for whoever reads the same small objects again and again: those that `isUnchanging` names are never written twice,
 * so they are fetched once. Whether an object is still there is told by a listing, which is always asked; what a whole listing does
 * not show is forgotten. What fails, or was not read to its end, is not remembered.
 */
export function rememberingStore(store: ObjectStore, isUnchanging: (key: Key) => boolean): ObjectStore {
  const known = new Map<Key, Uint8Array>();
  let bytes = 0;
  const forget = (key: Key): void => {
    bytes -= known.get(key)?.byteLength ?? 0;
    known.delete(key);
  };
  const remember = (key: Key, content: Uint8Array): void => {
    if (content.byteLength > LARGEST) return;
    forget(key);
    known.set(key, content);
    bytes += content.byteLength;
    for (const [oldest] of known) {
      if (bytes <= MOST_BYTES) break;
      forget(oldest);
    }
  };
  const get = async (key: Key, options?: GetOptions) => {
    if (options?.range !== undefined || !isUnchanging(key)) return await store.get(key, options);
    const found = known.get(key);
    if (found !== undefined) {
      options?.signal?.throwIfAborted();
      return bytesOf(found);
    }
    const stream = await store.get(key, options);
    return (async function* () {
      // As large as a manifest may be; what is not remembered is held no longer than it is read.
      const content = await collect(stream, 64 * 1024 * 1024);
      remember(key, content);
      yield content;
    })();
  };
  async function* list(prefix: string, signal?: AbortSignal) {
    // What is put and read while the listing runs may not be in it.
    const gone = new Set([...known.keys()].filter((key) => key.startsWith(prefix)));
    for await (const info of store.list(prefix, signal)) {
      gone.delete(info.key);
      yield info;
    }
    for (const key of gone) forget(key);
  }
  return new Proxy(store, {
    get(target, property) {
      if (property === 'get') return get;
      if (property === 'list') return list;
      const value: unknown = Reflect.get(target, property, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}
