import type { Temporal } from 'temporal-polyfill';
import type { ByteStream } from '../core/bytes.ts';

/** Key of an object below the repository's prefix: `/`-separated, no leading slash, no `.` or `..` step, printable ASCII. */
export type Key = string;

export interface ObjectInfo {
  readonly key: Key;
  readonly size: number;
  readonly modified: Temporal.Instant;
}

/** What the store really does, found out by doing it (`probe`), never guessed from a name. A feature that lies is absent. */
export interface StoreFeatures {
  /** `put` with `ifAbsent` has exactly one winner, also under a race. */
  readonly conditionalPut: boolean;
  /** A retention date set on an object is there when asked for, and holds. */
  readonly objectLock: boolean;
  /** Deleting an object keeps its earlier version. */
  readonly versioning: boolean;
  /** A body whose checksum header is wrong is refused. */
  readonly checksums: boolean;
}

export interface PutOptions {
  /** Expected size in bytes, to choose part sizes by. A guess: the body may be shorter or longer, up to `capacity(sizeHint)`. */
  readonly sizeHint?: number;
  /** Refuse (`storage-exists`) when the key is taken. Atomic only where `features.conditionalPut` says so. */
  readonly ifAbsent?: boolean;
  readonly signal?: AbortSignal;
}

export interface GetOptions {
  /** First byte, and how many; a range past the end is an error. */
  readonly range?: { readonly offset: number; readonly length: number };
  readonly signal?: AbortSignal;
}

/** How large the place is that holds a store, and how much may still be written there, bytes. */
export interface Room {
  readonly totalBytes: number;
  readonly freeBytes: number;
}

/** Until when a store refuses to delete an object: an instant by the store's clock, or a legal hold, which has no end of its own. */
export type Lock = Temporal.Instant | 'legal-hold';

/**
 * A flat space of immutable objects: the port to S3-compatible storage and to a directory.
 *
 * Every method throws JetbackupError only: `storage-unreachable` (worth trying again later; the adapter has
 * already retried), `storage-denied`, `storage-not-found`, `storage-exists`, `storage-full`, `storage-failed`,
 * or the signal's own reason when it was aborted. Messages name the object and the repository, never a secret.
 */
export interface ObjectStore {
  /** Where it is, for messages: the URL without credentials. */
  readonly location: string;

  /** The most bytes that one object may hold when `put` is told this hint; the caller splits a longer stream over several objects. */
  capacity(sizeHint?: number): number;

  /**
   * All or nothing: the object becomes visible only after the whole body ended normally and the store has it durably.
   * If the body throws, its error is rethrown unchanged and nothing becomes visible, nor is anything left behind.
   * An existing object is replaced in one step. Memory is bounded, whatever the body's length.
   */
  put(key: Key, body: ByteStream, options?: PutOptions): Promise<ObjectInfo>;

  /**
   * Resolves once the object is known to exist (else `storage-not-found`). The stream ends normally only after
   * every byte came; a connection that breaks is resumed at the last byte, and an early end is an error, never a short read.
   * If the object is replaced in the middle, the stream throws `storage-failed` rather than mixing the two.
   */
  get(key: Key, options?: GetOptions): Promise<ByteStream>;

  stat(key: Key, signal?: AbortSignal): Promise<ObjectInfo | undefined>;

  /** Every object whose key starts with `prefix`, in ascending byte order of key, over every page. Unfinished puts never show. */
  list(prefix: string, signal?: AbortSignal): AsyncIterable<ObjectInfo>;

  /**
   * Until when the store itself refuses to delete the object (S3 Object Lock: retention or legal hold). An instant that
   * the store's clock has passed locks no more. Undefined where nothing locks it, where it is not there, and where these
   * credentials may not ask: then only the attempt tells.
   *
   * Why ask: in a bucket with Object Lock a plain `delete` of a locked object succeeds. It only hides the object behind a
   * delete marker: the space is not freed, and a backup that somebody locked so that it stays is gone from every list.
   */
  lockedUntil(key: Key, signal?: AbortSignal): Promise<Lock | undefined>;

  /** Idempotent: deleting what is not there is no error. */
  delete(key: Key, signal?: AbortSignal): Promise<void>;

  /**
   * Removes what killed processes left of unfinished puts below `prefix`, begun before `before` (uploads that never
   * completed, temporary files). Returns the keys that they were for. Never touches a visible object.
   */
  sweepUnfinished(prefix: string, before: Temporal.Instant, signal?: AbortSignal): Promise<readonly Key[]>;

  /**
   * Of the file system that holds a directory, for whoever runs jetbackup: what is reserved for others counts neither as free nor
   * as total, as in df. Undefined where there is no such limit, or none that can be told (object stores).
   */
  room(signal?: AbortSignal): Promise<Room | undefined>;

  /** Finds the features out by trying them on objects of its own below `.jetbackup-probe/`, which it removes. Remembered for the life of the store. */
  probe(signal?: AbortSignal): Promise<StoreFeatures>;

  /** Releases sockets. Idempotent. */
  close(): void;
}
