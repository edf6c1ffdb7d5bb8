import type { Temporal } from 'temporal-polyfill';
import type { ByteStream } from '../../src/core/bytes.ts';
import { JetbackupError } from '../../src/core/errors.ts';
import type { Clock } from '../../src/platform/clock.ts';
import { readBody } from '../../src/storage/body.ts';
import { byKey, checkedKey, checkedPrefix, checkedRange } from '../../src/storage/key.ts';
import type { Lock, ObjectInfo, ObjectStore, Room, StoreFeatures } from '../../src/storage/store.ts';

export interface MemoryStore extends ObjectStore {
  /** What is in it, by key. Tests may read, damage or plant objects here. */
  readonly objects: Map<string, Uint8Array>;
  /** Locks by key, for tests to set. As in a bucket with Object Lock, `delete` does not heed them: it hides the object. */
  readonly locks: Map<string, Lock>;
}

const CHUNK = 64 * 1024;

/** The port in memory, with the same promises; passes the conformance suite. */
export function createMemoryStore(options: {
  clock: Clock;
  location?: string;
  capacity?: number;
  features?: Partial<StoreFeatures>;
  /** What there is to be written to; nothing is told unless given. */
  room?: () => Room | undefined;
}): MemoryStore {
  const { clock, location = 'memory:' } = options;
  const objects = new Map<string, Uint8Array>();
  const locks = new Map<string, Lock>();
  const modified = new WeakMap<Uint8Array, Temporal.Instant>();

  const infoOf = (key: string, bytes: Uint8Array): ObjectInfo => ({
    key,
    size: bytes.byteLength,
    modified: modified.get(bytes) ?? clock.now(),
  });
  const refuseTaken = (key: string) => {
    if (objects.has(key)) throw new JetbackupError('storage-exists', `"${key}" is already in ${location}`);
  };

  async function* read(
    key: string,
    bytes: Uint8Array,
    from: number,
    to: number,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<Uint8Array> {
    for (let offset = from; offset < to; offset += CHUNK) {
      signal?.throwIfAborted();
      if (objects.get(key) !== bytes) throw new JetbackupError('storage-failed', `"${key}" was replaced while it was read`);
      yield bytes.slice(offset, Math.min(offset + CHUNK, to));
    }
    signal?.throwIfAborted();
  }

  return {
    objects,
    locks,
    location,
    capacity: () => options.capacity ?? Number.MAX_SAFE_INTEGER,
    async put(key, body, { ifAbsent = false, signal } = {}) {
      checkedKey(key);
      signal?.throwIfAborted();
      if (ifAbsent) refuseTaken(key);
      const chunks: Uint8Array[] = [];
      const reader = readBody(body, signal);
      try {
        for (let chunk = await reader.next(); chunk !== undefined; chunk = await reader.next()) chunks.push(Uint8Array.from(chunk));
      } finally {
        await reader.release();
      }
      signal?.throwIfAborted();
      if (ifAbsent) refuseTaken(key);
      const bytes = new Uint8Array(Buffer.concat(chunks));
      modified.set(bytes, clock.now());
      objects.set(key, bytes);
      return infoOf(key, bytes);
    },
    async get(key, { range, signal } = {}): Promise<ByteStream> {
      checkedKey(key);
      signal?.throwIfAborted();
      const bytes = objects.get(key);
      if (bytes === undefined) throw new JetbackupError('storage-not-found', `"${key}" is not in ${location}`);
      const { offset, length } = checkedRange(key, bytes.byteLength, range);
      return read(key, bytes, offset, offset + length, signal);
    },
    async stat(key, signal) {
      checkedKey(key);
      signal?.throwIfAborted();
      const bytes = objects.get(key);
      return bytes === undefined ? undefined : infoOf(key, bytes);
    },
    async *list(prefix, signal) {
      checkedPrefix(prefix);
      const found = [...objects].filter(([key]) => key.startsWith(prefix)).map(([key, bytes]) => infoOf(key, bytes));
      for (const info of found.sort(byKey)) {
        signal?.throwIfAborted();
        yield info;
      }
    },
    async lockedUntil(key, signal) {
      checkedKey(key);
      signal?.throwIfAborted();
      return objects.has(key) ? locks.get(key) : undefined;
    },
    async delete(key, signal) {
      checkedKey(key);
      signal?.throwIfAborted();
      objects.delete(key);
    },
    // A put holds its bytes in its own frame until it commits: a process that dies leaves nothing.
    sweepUnfinished: async (prefix, _before, signal) => {
      checkedPrefix(prefix);
      signal?.throwIfAborted();
      return [];
    },
    room: async (signal) => {
      signal?.throwIfAborted();
      return options.room?.();
    },
    probe: async (signal) => {
      signal?.throwIfAborted();
      return { conditionalPut: true, objectLock: false, versioning: false, checksums: false, ...options.features };
    },
    close: () => {},
  };
}
