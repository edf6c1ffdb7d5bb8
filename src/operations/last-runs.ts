import { Temporal } from 'temporal-polyfill';
import { RUNS_PREFIX, runOf } from '../catalog/layout.ts';
import { isDenied, listRuns, runReader } from '../catalog/run-records.ts';
import { catalogue, type ErrorCode, type JetbackupError } from '../core/errors.ts';
import type { DatabaseName, Id } from '../core/ids.ts';
import type { RunRecord } from '../core/run-record.ts';
import type { Instant } from '../platform/clock.ts';
import type { ObjectStore } from '../storage/store.ts';

/** One run of a scheduled operation. */
export interface PastRun {
  /** When it counts as started: what its host recorded, or, where that lay in the future, when it was first seen here. */
  readonly startedAt: Instant;
  /** What its host recorded. */
  readonly recordedAt: Instant;
  readonly finishedAt: Instant;
  readonly result: RunRecord['result'];
  /** Of one that did not succeed: trying the same again may help. */
  readonly retryable: boolean;
}

export interface RunKind {
  readonly operation: RunRecord['operation'] | 'drill';
  /** null: of all databases together, as a prune is. */
  readonly database: DatabaseName | null;
}

export interface LastRuns {
  /** Of this kind, oldest first: the last that succeeded, where one is known, and all after it. */
  of(kind: RunKind): readonly PastRun[];
  /** The records tell of the time from here on; of what was before nobody knows whether it was missed. Undefined where there is none. */
  readonly since: Instant | undefined;
}

/** Reads the newest runs of these kinds, again and again; what was read once is remembered. */
export interface LastRunsReader {
  /** Throws what the store throws. */
  read(now: Instant, signal: AbortSignal): Promise<LastRuns>;
}

/** A host's clock may be so far ahead, ms; a run dated later than that was started by a clock that was wrong. */
export const CLOCK_AHEAD_MS = 10 * 60_000;
/** Records read at most in one reading, and how many at once: 4096 are those of four months with ten databases. */
const MOST_READ = 4096;
const AT_ONCE = 16;
/** Of a kind that never succeeds. */
const MOST_FAILED = 32;
/**
 * What a host lacks. Its failed run says so to whoever looks, and stands for no due time: another host may do it, or this one once it has
 * what it lacks. The process that failed remembers that it tried until its configuration changes, which may have brought it.
 */
const OF_ITS_HOST: ReadonlySet<ErrorCode> = new Set(['key-missing', 'key-wrong', 'tools-missing', 'sandbox-unavailable']);
/** A prune leaves a record for each database, one after the other: they are one run. */
const SAME_RUN_MS = 30_000;

interface Seen extends PastRun {
  readonly operation: RunRecord['operation'];
  readonly database: DatabaseName;
}

/**
 * Newest first, until each kind has its last success, so that a nightly look at a large repository reads a record or two.
 * The first reading lists all run records, a later one those of the months that it did not see the end of.
 */
export function createLastRunsReader(store: ObjectStore, kinds: readonly RunKind[]): LastRunsReader {
  /** Undefined: cannot be read, or stands for no due time. */
  let seen: ReadonlyMap<Id, Seen | undefined> = new Map();
  let earlier = { hasRead: false };
  let ids: readonly Id[] = [];
  let listedAt: Instant | undefined;

  return {
    async read(now, signal) {
      const all = listedAt === undefined ? await listRuns(store, signal) : await listMonths(store, ids, listedAt, now, signal);
      ids = all.slice(-MOST_READ);
      listedAt = now;
      const found = new Map(kinds.map((kind) => [keyOf(kind), { kind, runs: [] as Seen[] }]));
      const newest = ids.toReversed();
      // Readings may overlap: what another one forgets meanwhile is still known to this one.
      const known = new Map(seen);
      const looked = new Map<Id, Seen | undefined>();
      // Anew each time: what was denied to an earlier reading may have been removed since.
      const runs = runReader(store, earlier);
      let since: Instant | undefined;
      for (let next = 0; next < newest.length; next += AT_ONCE) {
        if ([...found.values()].every(isSettled)) break;
        const batch = newest.slice(next, next + AT_ONCE);
        const unread = batch.filter((id) => !known.has(id));
        const records = await runs.read(unread, signal);
        for (const [index, id] of unread.entries()) known.set(id, summarize(records[index], now));
        for (const id of batch) {
          const run = known.get(id);
          looked.set(id, run);
          if (run === undefined) continue;
          since = run.startedAt;
          for (const database of [run.database, null]) {
            const one = found.get(keyOf({ operation: run.operation, database }));
            if (one !== undefined && !isSettled(one)) one.runs.push(run);
          }
        }
      }
      runs.ended();
      // A daemon reads for years: what no kind reached this time is read again, should that ever be needed.
      seen = looked;
      earlier = runs;
      return {
        since,
        of: (kind) => inOrder({ kind, runs: found.get(keyOf(kind))?.runs ?? [] }),
      };
    },
  };
}

const keyOf = ({ operation, database }: RunKind) => `${operation}:${database ?? ''}`;

interface Found {
  readonly kind: RunKind;
  readonly runs: readonly PastRun[];
}

function isSettled({ kind, runs }: Found): boolean {
  if (kind.database !== null) return runs.length >= MOST_FAILED || runs.some(({ result }) => result === 'succeeded');
  // The oldest may lack the records of databases that came before.
  const whole = inOrder({ kind, runs }).slice(1);
  return whole.length >= MOST_FAILED || whole.some(({ result }) => result === 'succeeded');
}

function inOrder({ kind, runs }: Found): readonly PastRun[] {
  const ordered = runs.toSorted((a, b) => Temporal.Instant.compare(a.startedAt, b.startedAt));
  return kind.database === null ? joined(ordered) : ordered;
}

function summarize(record: RunRecord | JetbackupError | undefined, now: Instant): Seen | undefined {
  if (record === undefined || isDenied(record) || (record.error !== null && OF_ITS_HOST.has(record.error.code))) return undefined;
  const recordedAt = Temporal.Instant.from(record.startedAt);
  const finishedAt = Temporal.Instant.from(record.finishedAt);
  const ahead = recordedAt.epochMilliseconds > now.epochMilliseconds + CLOCK_AHEAD_MS;
  return {
    operation: record.operation,
    database: record.database,
    startedAt: ahead ? now : recordedAt,
    recordedAt,
    finishedAt: ahead ? now : finishedAt,
    result: record.result,
    retryable: record.result === 'interrupted' || (record.error !== null && catalogue[record.error.code].retryable),
  };
}

/** All ids: those known from months that were over when they were listed, and those of the months since, listed anew. */
async function listMonths(store: ObjectStore, known: readonly Id[], listedAt: Instant, now: Instant, signal: AbortSignal): Promise<Id[]> {
  const month = (instant: Instant) => instant.toZonedDateTimeISO('UTC').toPlainDate().toPlainYearMonth();
  // A day to either side, for clocks of other hosts.
  const last = month(now.add({ hours: 24 }));
  const first = month(Temporal.Instant.compare(listedAt, now) < 0 ? listedAt.subtract({ hours: 24 }) : now.subtract({ hours: 24 }));
  const ids = new Set(known);
  for (let at = first; Temporal.PlainYearMonth.compare(at, last) <= 0; at = at.add({ months: 1 })) {
    const prefix = `${RUNS_PREFIX}${at.toString().replace('-', '/')}/`;
    for await (const { key } of store.list(prefix, signal)) {
      const id = runOf(key);
      if (id !== undefined) ids.add(id);
    }
  }
  return [...ids].sort();
}

/** Runs of several databases that followed each other at once, as one: it failed where one of them did. */
function joined(runs: readonly PastRun[]): PastRun[] {
  const all: PastRun[] = [];
  for (const run of runs) {
    const before = all.at(-1);
    const gap = before === undefined ? Number.POSITIVE_INFINITY : run.startedAt.epochMilliseconds - before.finishedAt.epochMilliseconds;
    if (before === undefined || gap > SAME_RUN_MS) all.push(run);
    else {
      const worse = before.result === 'succeeded' ? run : before;
      const { startedAt, recordedAt } = before;
      all[all.length - 1] = { ...worse, startedAt, recordedAt, finishedAt: run.finishedAt };
    }
  }
  return all;
}
