import { MiB } from '../core/bytes.ts';
import type { Profile } from '../core/verification.ts';

export interface ServerRoom {
  /** What the server may use; without data that a memory file system holds. */
  readonly memoryBytes: number;
}

/**
 * Settings of a throwaway server, by name, in a form that both `-c` and postgresql.conf take. `extra` is the user's and wins,
 * whatever case its names are in. Where the server listens, logs and keeps its files is for the sandbox to say.
 */
export function serverSettings(profile: Profile, extra: Readonly<Record<string, string>>, room: ServerRoom): Record<string, string> {
  const wanted = Object.fromEntries(Object.entries(extra).map(([name, value]) => [name.toLowerCase(), value]));
  return { ...common, ...(profile === 'fast' ? fast(wanted, room) : {}), ...wanted };
}

/** Most that pg_wal grows to under these settings: to be added to the database where room for both is set aside. */
export function walBytes(profile: Profile, room: ServerRoom): number {
  return profile === 'fast' ? fastWalBytes(room) : DEFAULT_MAX_WAL_BYTES;
}

const common = {
  /** Checks and fingerprints lock every table of the database in one transaction; 64 a connection is made for a few (docs: 20.12 Lock Management). */
  max_locks_per_transaction: '1024',
};

/**
 * Of the log of a server that is ours, whatever the user sets: neither statements nor rows of the database belong into it. A statement
 * that fails may be one with a password's hash, and logs are shipped elsewhere.
 */
export const discreetLog = {
  log_min_error_statement: 'panic',
  log_error_verbosity: 'terse',
  log_statement: 'none',
  log_min_duration_statement: '-1',
  log_min_duration_sample: '-1',
  log_transaction_sample_rate: '0',
} as const;

/** `max_wal_size` as it comes (docs: 20.5.2 Checkpoints). */
const DEFAULT_MAX_WAL_BYTES = 1024 * MiB;

function fast(wanted: Readonly<Record<string, string>>, room: ServerRoom): Record<string, string> {
  return {
    // Nobody starts this server again after a crash (docs: 14.5 Non-Durable Settings).
    fsync: 'off',
    synchronous_commit: 'off',
    full_page_writes: 'off',
    max_wal_size: megabytes(fastWalBytes(room)),
    checkpoint_timeout: '1h',
    ...(needsWal.some((name) => name in wanted) ? {} : withoutWal),
    // Everything is loaded once, and ANALYZE is run by the restore (docs: 14.4.8, 19.10).
    autovacuum: 'off',
    // A quarter of the memory is the documentation's starting value (docs: 20.4.1 Memory).
    shared_buffers: megabytes(clamp(room.memoryBytes / 4, 16 * MiB, 4096 * MiB)),
    // Of index builds, of which as many run at once as there are jobs (docs: 14.4.5).
    maintenance_work_mem: megabytes(clamp(room.memoryBytes / 16, 16 * MiB, 1024 * MiB)),
    work_mem: megabytes(clamp(room.memoryBytes / 128, 4 * MiB, 64 * MiB)),
  };
}

/** COPY into a table of the same transaction and CREATE INDEX write no WAL (docs: 14.4.7 Disable WAL Archival and Streaming Replication). */
const withoutWal = { wal_level: 'minimal', max_wal_senders: '0' };

/** With any of them as the user may set it, a server with `wal_level = minimal` does not start. */
const needsWal = ['wal_level', 'max_wal_senders', 'archive_mode', 'summarize_wal'];

function fastWalBytes({ memoryBytes }: ServerRoom): number {
  return Math.floor(clamp(memoryBytes / 8, 256 * MiB, 4096 * MiB));
}

function clamp(value: number, least: number, most: number): number {
  return Math.min(most, Math.max(least, value));
}

function megabytes(bytes: number): string {
  return `${Math.floor(bytes / MiB)}MB`;
}
