import { createHash } from 'node:crypto';
import { isJetbackupError } from '../core/errors.ts';
import type { Progress } from '../core/progress.ts';
import type { Clock } from '../platform/clock.ts';
import { acquireLease, type Lease } from '../storage/lease.ts';
import type { ObjectStore } from '../storage/store.ts';

/** Renewed every third of it; whoever dies is followed after two of it, ms. */
const TTL_MS = 60_000;
const LEAST_TTL_MS = 10_000;
/** A job that comes back soon cannot wait for a dead one as long: within a third of its period somebody else is at it. */
const TTLS_IN_PERIOD = 6;
const LONGEST_NAME = 63;

export interface ExclusiveDeps {
  readonly store: ObjectStore;
  readonly clock: Clock;
  readonly log: Progress;
  /** Name of this host. */
  readonly host: string;
}

/** The lease that two runs of one operation on one database may not hold at once. */
export function jobLease(operation: string, database: string | null): string {
  const name = database === null ? operation : `${operation}-${database}`;
  if (name.length <= LONGEST_NAME) return name;
  return `${operation}-${createHash('sha256').update(name).digest('hex').slice(0, 32)}`;
}

/** Somebody else may begin as soon as the lease is lost (the machine slept, the store was away): so what runs under it ends then. */
async function whileHeld(clock: Clock, lease: Lease, ttlMs: number, over: AbortController): Promise<void> {
  while (!over.signal.aborted) {
    await clock.sleep(ttlMs / 3, over.signal).catch(() => {});
    if (over.signal.aborted) return;
    try {
      await lease.assertHeld(over.signal);
    } catch (error) {
      over.abort(error);
    }
  }
}

/**
 * Does the work while nobody else in this repository does it: two daemons, that is. Throws `locked` where somebody
 * is at it; the work's signal is aborted with it when the lease is lost. Throws what the work throws. Where these credentials may not take leases, the work is done all the same, with a warning:
 * a backup that is made twice is better than none.
 */
export async function exclusively<T>(
  { store, clock, log, host }: ExclusiveDeps,
  {
    operation,
    database,
    periodMs = Number.POSITIVE_INFINITY,
  }: {
    readonly operation: string;
    readonly database: string | null;
    /** From one due time of this job to the next, ms. Default: so long that it does not matter. */
    readonly periodMs?: number;
  },
  signal: AbortSignal,
  work: (kept: AbortSignal) => Promise<T>,
): Promise<T> {
  const name = jobLease(operation, database);
  const ttlMs = Math.min(TTL_MS, Math.max(LEAST_TTL_MS, Math.floor(periodMs / TTLS_IN_PERIOD)));
  const lease = await acquireLease({ store, clock }, { name, holder: `${operation} on ${host}`, ttlMs }, signal).catch((error: unknown) => {
    if (!isJetbackupError(error, 'storage-denied')) throw error;
    log({
      type: 'warning',
      text: `nothing keeps another ${operation} of ${database ?? 'all databases'} from running at the same time: ${error.message}`,
      ...(error.hint === undefined ? {} : { hint: error.hint }),
    });
    return undefined;
  });
  const over = new AbortController();
  const watching = lease === undefined ? undefined : whileHeld(clock, lease, ttlMs, over);
  try {
    return await work(AbortSignal.any([signal, over.signal]));
  } finally {
    over.abort();
    await watching;
    await lease?.[Symbol.asyncDispose]();
  }
}
