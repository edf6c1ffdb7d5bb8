import { bytesOf, collect } from '../core/bytes.ts';
import type { GetOptions, Key, ObjectStore } from './store.ts';

/** Bytes that are remembered at most: run records of two years, and manifests of some terabytes. What comes when it is full is read anew each time. */
const MOST_BYTES = 64 * 1024 * 1024;
/** As large as a manifest may be. */
const LARGEST = 64 * 1024 * 1024;

interface Remembered {
  readonly content: Uint8Array;
  /** What the listing said of it when it was read. */
  readonly of: string;
}

/**
 * The same store, for whoever reads the same small objects again and again: those that `isUnchanging` names are fetched once, as long as
 * the listing shows them as they were. Whether an object is still there is told by a listing, which is always asked: one that has
 * another size or date than when it was read is read anew, since whoever overwrote it must be seen; what a whole listing does not show
 * is forgotten. What fails, was not read to its end, or was in no listing, is not remembered.
 */
export function rememberingStore(store: ObjectStore, isUnchanging: (key: Key) => boolean): ObjectStore {
  const known = new Map<Key, Remembered>();
  const listed = new Map<Key, string>();
  let bytes = 0;
  const forget = (key: Key): void => {
    bytes -= known.get(key)?.content.byteLength ?? 0;
    known.delete(key);
  };
  const remember = (key: Key, content: Uint8Array, of: string | undefined): void => {
    forget(key);
    // Nothing is pushed out: what is read in turn, and does not fit, would push out all that is needed next.
    if (of === undefined || bytes + content.byteLength > MOST_BYTES) return;
    known.set(key, { content, of });
    bytes += content.byteLength;
  };
  const get = async (key: Key, options?: GetOptions) => {
    if (options?.range !== undefined || !isUnchanging(key)) return await store.get(key, options);
    const found = known.get(key);
    if (found !== undefined) {
      options?.signal?.throwIfAborted();
      return bytesOf(found.content);
    }
    const of = listed.get(key);
    const stream = await store.get(key, options);
    return (async function* () {
      const content = await collect(stream, LARGEST);
      remember(key, content, of);
      yield content;
    })();
  };
  async function* list(prefix: string, signal?: AbortSignal) {
    // What is put and read while the listing runs may not be in it.
    const gone = new Set([...listed.keys()].filter((key) => key.startsWith(prefix)));
    for await (const info of store.list(prefix, signal)) {
      gone.delete(info.key);
      if (isUnchanging(info.key)) {
        const of = `${info.size} ${info.modified.epochMilliseconds}`;
        if (known.get(info.key)?.of !== of) forget(info.key);
        listed.set(info.key, of);
      }
      yield info;
    }
    for (const key of gone) {
      forget(key);
      listed.delete(key);
    }
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
