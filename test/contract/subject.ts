import { createHash } from 'node:crypto';
import { Temporal } from 'temporal-polyfill';
import { expect } from 'vitest';
import { collect, MiB } from '../../src/core/bytes.ts';
import type { Lock, ObjectInfo, ObjectStore } from '../../src/storage/store.ts';

/** One store under test, and how to look behind its back. */
export interface Subject {
  readonly store: ObjectStore;
  /** Size (bytes) at which a body becomes several requests; stores that know no parts take any size. */
  readonly partBytes: number;
  /** Whether it has an end that it can tell of; default no. */
  readonly hasRoom?: boolean;
  /** What is left of puts that did not end: uploads, temporary files. */
  unfinished(): Promise<readonly string[]>;
  /** Leaves behind what a process killed in the middle of a put leaves; absent where nothing can be left. */
  readonly leaveUnfinished?: (key: string) => Promise<void>;
  /** Locks an object behind the adapter's back; absent where the store cannot. */
  readonly lock?: (key: string, lock: Lock) => Promise<void>;
  readonly features: {
    readonly conditionalPut: boolean;
    readonly objectLock: boolean;
    readonly versioning: boolean;
    readonly checksums: boolean;
  };
  stop(): Promise<void>;
}

export const inALongTime = Temporal.Instant.from('2100-01-01T00:00:00Z');
export const longAgo = Temporal.Instant.from('2000-01-01T00:00:00Z');

/** Bytes that differ at every place that a mistake in cutting or joining could confuse; the same for the same seed. */
export function pattern(bytes: number, seed = 0): Uint8Array {
  const result = Buffer.alloc(bytes);
  let state = (seed + 1) * 2654435761;
  for (let at = 0; at < bytes; at += 4) {
    state = Math.imul(state ^ (state >>> 15), 2246822519) + at;
    if (at + 4 <= bytes) result.writeInt32LE(state | 0, at);
    else result.fill(state & 0xff, at);
  }
  return result;
}

export async function* inChunks(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.byteLength; at += size) yield bytes.subarray(at, at + size);
}

export async function* thenThrow(bytes: Uint8Array, error: unknown): AsyncGenerator<Uint8Array> {
  yield* inChunks(bytes, 64 * 1024);
  throw error;
}

export const sum = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

export async function read(store: ObjectStore, key: string): Promise<Uint8Array> {
  return collect(await store.get(key), 256 * MiB);
}

export async function all(stream: AsyncIterable<ObjectInfo>): Promise<ObjectInfo[]> {
  return Array.fromAsync(stream);
}

export async function failure(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => {
      throw new Error('it should have failed');
    },
    (error: unknown) => error,
  );
}

export const coded = (code: string) => expect.objectContaining({ name: 'JetbackupError', code });
