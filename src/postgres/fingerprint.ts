import type pg from 'pg';
import * as z from 'zod';
import type { Fingerprint, TableFingerprint } from '../core/fingerprint.ts';
import type { FingerprintMode, FingerprintSummary } from '../core/manifest.ts';
import type { ConnectionSettings } from './connection.ts';
import { largeObjectOwners, largeObjectsByFunction, largeObjectsByTable } from './fingerprint-digest.ts';
import { describeServer, type FingerprintServer, type FingerprintSession, fingerprintError, openSession } from './fingerprint-session.ts';
import { type Batch, batches, listTables, lockTables, readBatch, readSequences, type Table } from './fingerprint-tables.ts';
import { readInventory } from './inventory.ts';

export { type CompareOptions, compareFingerprints, refreshedViews } from './fingerprint-compare.ts';

export interface FingerprintRequest {
  readonly mode: FingerprintMode;
  /** Id of pg_export_snapshot(), whose transaction is held open by someone else until this returns. */
  readonly snapshot?: string;
  /** Connections, and processes at work on one large table (default 2). */
  readonly parallel?: number;
  /** How long to wait for a lock that an ALTER or TRUNCATE holds (ms, default 60,000). */
  readonly lockTimeoutMs?: number;
  /**
   * Called once, when every table is locked and the sequences are read. A dump that starts no earlier sees the same
   * tables (none can be truncated or rewritten any more) and no earlier value of a sequence.
   */
  readonly onReady?: () => void;
  readonly onTable?: (done: number, total: number) => void;
}

const LOCK_TIMEOUT_MS = 60_000;
const DEFAULT_PARALLEL = 2;
/** Below this a table is not worth the start of worker processes (bytes). */
const WIDE_BYTES = 32 * 1024 * 1024;

/** The fingerprint of mode `off`: nothing is known, so nothing can differ. */
export const noFingerprint: Fingerprint = {
  version: 1,
  mode: 'off',
  tables: [],
  sequences: [],
  largeObjects: { count: 0, bytes: 0, digest: null },
  inventory: [],
};

/**
 * Reads a database through one snapshot: rows and content of every table, sequences, large objects, the inventory of
 * all objects. Mode `counts` leaves the content out, `off` everything. Takes ACCESS SHARE locks and nothing else.
 *
 * Throws `database-denied` (also when row-level security would hide rows), `database-unreachable`,
 * `dump-interrupted-by-lock`, `dump-recovery-conflict`, `dump-failed`, or the signal's reason.
 */
export async function takeFingerprint(
  settings: ConnectionSettings,
  request: FingerprintRequest,
  signal: AbortSignal,
): Promise<Fingerprint> {
  signal.throwIfAborted();
  const { mode } = request;
  if (mode === 'off') {
    request.onReady?.();
    return noFingerprint;
  }
  const sessions: FingerprintSession[] = [];
  try {
    return await read(settings, { ...request, mode }, sessions, signal);
  } catch (error) {
    throw fingerprintError(error, settings, signal);
  } finally {
    await Promise.all(sessions.map((session) => session[Symbol.asyncDispose]()));
  }
}

async function read(
  settings: ConnectionSettings,
  request: FingerprintRequest & { readonly mode: 'content' | 'counts' },
  sessions: FingerprintSession[],
  signal: AbortSignal,
): Promise<Fingerprint> {
  const { mode } = request;
  const parallel = Math.max(1, Math.trunc(request.parallel ?? DEFAULT_PARALLEL));
  const open = async (snapshot: string | undefined): Promise<pg.Client> => {
    const options = { lockTimeoutMs: request.lockTimeoutMs ?? LOCK_TIMEOUT_MS, ...(snapshot === undefined ? {} : { snapshot }) };
    const session = await openSession(settings, options, signal);
    sessions.push(session);
    return session.client;
  };

  const lead = await open(request.snapshot);
  const server = await describeServer(lead);
  const all = await listTables(lead);
  const unread = server.standby ? all.filter((table) => table.unlogged) : [];
  const tables = all.filter((table) => !unread.includes(table));
  const snapshot = request.snapshot ?? (parallel > 1 && tables.length > 1 ? await exportSnapshot(lead) : undefined);
  const others = tables.length > 1 ? await Promise.all(Array.from({ length: parallel - 1 }, () => open(snapshot))) : [];
  const clients = [lead, ...others];
  // Each of them: whoever asks for a lock behind a waiting ALTER waits for it, and it for those who have theirs.
  for (const client of clients) {
    await lockTables(client, tables);
    await client.query('SET LOCAL lock_timeout = 0');
  }
  const sequences = await readSequences(lead, server.standby);
  request.onReady?.();

  const found: TableFingerprint[] = [];
  const take = async (client: pg.Client, batch: Batch, workers: number) => {
    found.push(...(await readBatch(client, batch, mode, workers)));
    request.onTable?.(found.length, tables.length);
  };
  const { wide, rest } = split(tables, parallel);
  for (const table of wide) await take(lead, [table], parallel - 1);

  // The inventory first: it is the longest job of a database with many objects, and one connection's.
  let inventory: Fingerprint['inventory'] = [];
  let largeObjects: Fingerprint['largeObjects'] = { count: 0, bytes: 0, digest: null };
  const jobs: ((client: pg.Client) => Promise<void>)[] = [
    async (client) => {
      inventory = await readInventory(client, server);
    },
    async (client) => {
      largeObjects = await readLargeObjects(client, server, mode);
    },
    ...batches(rest).map((batch) => (client: pg.Client) => take(client, batch, 0)),
  ];
  let next = 0;
  let failed = false;
  await Promise.all(
    clients.map(async (client) => {
      for (let job = jobs[next++]; job !== undefined && !failed; job = jobs[next++]) {
        try {
          await job(client);
        } catch (error) {
          failed = true;
          throw error;
        }
      }
    }),
  );
  return {
    version: 1,
    mode,
    server: { versionNum: server.versionNum, encoding: server.encoding, probe: server.probe },
    tables: found.sort(byName),
    ...(unread.length === 0
      ? {}
      : { unread: unread.map(({ schema, name }) => ({ schema, name, reason: 'a standby has no rows of unlogged tables' })).sort(byName) }),
    sequences: sequences.sort(byName),
    largeObjects,
    inventory,
  };
}

/** Tables so large that one connection would still be at them when all others are done: these are read by several processes each, one after the other. */
function split(tables: readonly Table[], parallel: number): { wide: Table[]; rest: Table[] } {
  const total = tables.reduce((sum, table) => sum + table.bytes, 0);
  const isWide = (table: Table) => parallel > 1 && table.bytes > WIDE_BYTES && table.bytes > total / (2 * parallel);
  return { wide: tables.filter(isWide), rest: tables.filter((table) => !isWide(table)) };
}

async function exportSnapshot(client: pg.Client): Promise<string> {
  const { rows } = await client.query('SELECT pg_export_snapshot() AS id');
  return z.object({ id: z.string() }).parse(rows[0]).id;
}

async function readLargeObjects(
  client: pg.Client,
  server: FingerprintServer,
  mode: 'content' | 'counts',
): Promise<Fingerprint['largeObjects']> {
  const owners = z.object({ digest: z.string() }).parse((await client.query(largeObjectOwners)).rows[0]).digest;
  const figures = async (sql: string) =>
    z.object({ count: z.string(), bytes: z.string(), digest: z.string() }).parse((await client.query(sql)).rows[0]);
  const { count, bytes, digest } = await figures(server.largeObjectTable ? largeObjectsByTable : largeObjectsByFunction);
  return { count: Number(count), bytes: Number(bytes), digest: mode === 'content' ? digest : null, owners };
}

function byName(a: { schema: string; name: string }, b: { schema: string; name: string }): number {
  if (a.schema !== b.schema) return a.schema < b.schema ? -1 : 1;
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}

/** What the manifest says of a fingerprint in clear. */
export function summarize(fingerprint: Fingerprint): FingerprintSummary {
  return {
    mode: fingerprint.mode,
    tables: fingerprint.tables.length,
    rows: fingerprint.tables.reduce((sum, table) => sum + table.rows, 0),
    sequences: fingerprint.sequences.length,
    largeObjects: fingerprint.largeObjects.count,
    objects: fingerprint.inventory.length,
  };
}
