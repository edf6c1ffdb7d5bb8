import type pg from 'pg';
import * as z from 'zod';
import type { Fingerprint, TableFingerprint } from '../core/fingerprint.ts';
import type { FingerprintMode, FingerprintSummary } from '../core/manifest.ts';
import type { Omission } from './beside.ts';
import { type CanaryRow, readCanary } from './canary.ts';
import type { ConnectionSettings } from './connection.ts';
import { codeOf } from './database-errors.ts';
import { largeObjectOwners, largeObjectsByFunction, largeObjectsByTable } from './fingerprint-digest.ts';
import { describeServer, type FingerprintServer, type FingerprintSession, fingerprintError, openSession } from './fingerprint-session.ts';
import { type Batch, batches, listTables, lockTables, readBatch, readSequences, type Table } from './fingerprint-tables.ts';
import { readInventory } from './inventory.ts';
import { type NamedQuery, readValues } from './named-values.ts';

export {
  type CompareOptions,
  compareFingerprints,
  digestsCompare,
  notes,
  otherExtensionVersions,
  refreshedViews,
} from './fingerprint-compare.ts';

export interface FingerprintRequest {
  readonly mode: FingerprintMode;
  /** Id of pg_export_snapshot(), whose transaction is held open by someone else until this returns. */
  readonly snapshot?: string;
  /** Connections, and processes at work on one large table (default 2). */
  readonly parallel?: number;
  /** How long to wait for a lock that an ALTER or TRUNCATE holds (ms, default 60,000). */
  readonly lockTimeoutMs?: number;
  /**
   * Called once and waited for, when every table is locked and the sequences are read. A dump that starts no earlier sees the same
   * tables (none can be truncated or rewritten any more) and no earlier value of a sequence.
   */
  readonly onReady?: () => Promise<void>;
  readonly onTable?: (done: number, total: number) => void;
  /** Asked in the same snapshot, and recorded with what they gave; not in mode `off`. */
  readonly values?: readonly NamedQuery[];
  /** The row that was written before the snapshot, to be recorded as the snapshot shows it; not in mode `off`. */
  readonly canary?: CanaryRow;
  /** Told which of the values, or that the canary, is not recorded, and why. */
  readonly onOmission?: (omission: Omission) => void;
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
    await request.onReady?.();
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
  // One session alone: a lock per table and session could be more than the server has room for beside those of a dump.
  await lockTables(lead, tables);
  const sequences = await readSequences(lead, server.standby);
  await request.onReady?.();

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
  await share(jobs, lead, others);
  // By the lead, which has locked the tables: they cannot have been truncated, and nobody who waits for them stands in the way.
  const omit = request.onOmission ?? (() => {});
  const values = await readValues(lead, request.values ?? [], omit);
  const canary = request.canary === undefined ? undefined : await readCanary(lead, request.canary, omit);
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
    ...(values.length === 0 ? {} : { values }),
    ...(canary === undefined ? {} : { canary }),
    inventory,
  };
}

/** How long others than the lead wait for a lock (ms). */
const IMPATIENT_MS = 500;

/**
 * Hands the jobs to whichever session is free. An ALTER that waits for the lead's lock on a table makes everyone else
 * who asks for that table wait too, and so for ever: such a job falls back to the lead, which has its lock.
 */
async function share(jobs: ((client: pg.Client) => Promise<void>)[], lead: pg.Client, others: readonly pg.Client[]): Promise<void> {
  const blocked: typeof jobs = [];
  let next = 0;
  let failed = false;
  const work = async (client: pg.Client) => {
    for (let job = jobs[next++]; job !== undefined && !failed; job = jobs[next++]) {
      try {
        if (client !== lead) await client.query('SAVEPOINT job');
        await job(client);
        if (client !== lead) await client.query('RELEASE SAVEPOINT job');
      } catch (error) {
        if (client !== lead && codeOf(error) === LOCK_NOT_AVAILABLE) {
          await client.query('ROLLBACK TO SAVEPOINT job');
          blocked.push(job);
        } else {
          failed = true;
          throw error;
        }
      }
    }
  };
  for (const client of others) await client.query(`SET LOCAL lock_timeout = ${IMPATIENT_MS}`);
  await Promise.all([lead, ...others].map(work));
  for (const job of blocked) await job(lead);
}

const LOCK_NOT_AVAILABLE = '55P03';

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
