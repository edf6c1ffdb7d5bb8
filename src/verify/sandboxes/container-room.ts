import { MiB } from '../../core/bytes.ts';
import { JetbackupError } from '../../core/errors.ts';
import type { Profile } from '../../core/verification.ts';
import { walBytes } from '../profile.ts';

export interface RoomWanted {
  /** pg_database_size of the source. */
  readonly databaseBytes: number;
  readonly profile: Profile;
  readonly storage: 'auto' | 'memory' | 'disk';
  /** As configured: all that the container may take, data in memory included. */
  readonly memoryBytes: number | undefined;
}

export interface EngineRoom {
  readonly memoryBytes: number;
  /** Undefined where it cannot be told: the engine is not on this machine. */
  readonly freeMemoryBytes: number | undefined;
  readonly freeDiskBytes: number | undefined;
}

export interface Room {
  /** Limit of the container. */
  readonly limitBytes: number;
  /** What is left of it for the server, beside data in memory. */
  readonly serverBytes: number;
  /** Size of the memory file system that holds the data; undefined: a volume does. */
  readonly tmpfsBytes: number | undefined;
}

/** A server of its own takes some 100 MiB with nothing in it; what is below that is no server. */
const LEAST_SERVER_BYTES = 256 * MiB;
/** Data goes into memory by itself only where this much is left beside it. */
const PLENTY_BYTES = 1024 * MiB;
/** The three databases of a new cluster, and what sorts of index builds spill. */
const CLUSTER_BYTES = 256 * MiB;

/**
 * How much memory a sandbox gets, and where its data lies. Without a configured limit it is half of the engine's memory, of what is
 * free there at most, since that machine has other work. A memory file system counts against a container's limit, and vanishes with its container.
 * Throws `sandbox-unavailable` where it has no room.
 */
export function planRoom(wanted: RoomWanted, engine: EngineRoom): Room {
  const { freeMemoryBytes: free = Number.POSITIVE_INFINITY } = engine;
  const offered = Math.max(2 * LEAST_SERVER_BYTES, Math.min(engine.memoryBytes / 2, free * 0.8));
  const budget = Math.floor(wanted.memoryBytes ?? offered);
  const dataBytes = dataBytesOf(wanted, budget);
  const inMemory: Room = { limitBytes: budget, serverBytes: budget - dataBytes, tmpfsBytes: dataBytes };
  if (wanted.storage === 'memory') {
    if (inMemory.serverBytes >= LEAST_SERVER_BYTES) return inMemory;
    throw noRoom(`${gibibytes(dataBytes + LEAST_SERVER_BYTES)} of memory, and the limit is ${gibibytes(budget)}`, {
      hint: 'Let it keep its data on disk (verify.storage: disk), or raise verify.memory.',
    });
  }
  if (wanted.storage === 'auto' && isPlenty(wanted, engine, inMemory)) return inMemory;
  if (engine.freeDiskBytes !== undefined && engine.freeDiskBytes < dataBytes) {
    throw noRoom(`${gibibytes(dataBytes)} on the engine's disk, and ${gibibytes(engine.freeDiskBytes)} are free`, {
      hint: "Make room where the engine keeps its volumes (docker system df), or verify on this machine's own programs: --sandbox local.",
    });
  }
  return { limitBytes: budget, serverBytes: budget, tmpfsBytes: undefined };
}

/** The database may come back a little larger than it was: an index built over loaded rows has another fill than a grown one. */
function dataBytesOf({ databaseBytes, profile }: RoomWanted, budget: number): number {
  return Math.ceil(databaseBytes * 1.25) + walBytes(profile, { memoryBytes: budget }) + CLUSTER_BYTES;
}

function isPlenty({ profile }: RoomWanted, engine: EngineRoom, { tmpfsBytes = 0, serverBytes }: Room): boolean {
  // Durable is to tell how long it takes in production, where nothing lies in memory alone.
  if (profile === 'durable' || serverBytes < PLENTY_BYTES) return false;
  return engine.freeMemoryBytes === undefined || engine.freeMemoryBytes - tmpfsBytes >= PLENTY_BYTES;
}

function noRoom(needs: string, { hint }: { readonly hint: string }): JetbackupError {
  return new JetbackupError('sandbox-unavailable', `there is no room for the sandbox: it needs ${needs}`, { hint });
}

export function gibibytes(bytes: number): string {
  return bytes < 1024 * MiB ? `${Math.ceil(bytes / MiB)} MiB` : `${(bytes / (1024 * MiB)).toFixed(1)} GiB`;
}
