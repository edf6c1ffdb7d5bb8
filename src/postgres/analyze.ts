import { type Connected, connect } from './client.ts';
import { targetError } from './database-errors.ts';
import type { ConnectionSettings } from './settings.ts';

/**
 * Largest first, so that no session is left with one in the end. A partitioned table brings its partitions along. Foreign tables
 * are left out as a plain ANALYZE leaves them out.
 */
const TABLES = `
  SELECT format('%I.%I', n.nspname, c.relname) AS name
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'm', 'p') AND NOT c.relispartition AND c.relpersistence <> 't'
  ORDER BY c.relkind = 'p' DESC, c.relpages DESC, c.oid`;

/**
 * Collects planner statistics, which a dump does not carry: without them the first queries after a restore may take
 * plans that are hours slower. In `jobs` sessions at once. Throws `target-unreachable`, `target-denied`, `restore-failed`.
 */
export async function analyzeDatabase(settings: ConnectionSettings, jobs: number, signal?: AbortSignal): Promise<void> {
  const sessions: Connected[] = [];
  try {
    const open = async () => {
      const session = await connect(settings, { applicationName: 'jetbackup analyze', ...(signal === undefined ? {} : { signal }) });
      sessions.push(session);
      await session.client.query(
        "SELECT set_config('default_transaction_read_only', 'off', false), set_config('maintenance_work_mem', '256MB', false)",
      );
      return session.client;
    };
    const first = await open();
    const { rows } = await first.query<{ name: string }>(TABLES);
    const names = rows.map(({ name }) => name);
    const work = async (client: Connected['client']) => {
      for (let name = names.shift(); name !== undefined; name = names.shift()) {
        signal?.throwIfAborted();
        await client.query(`ANALYZE ${name}`);
      }
    };
    const workOrStop = (working: Promise<void>) =>
      working.catch((error: unknown) => {
        names.length = 0;
        throw error;
      });
    const others = Array.from({ length: Math.min(jobs, names.length) - 1 }, () => workOrStop(open().then(work)));
    // All of them, so that every session that was opened is closed below.
    const done = await Promise.allSettled([workOrStop(work(first)), ...others]);
    for (const result of done) if (result.status === 'rejected') throw result.reason;
  } catch (error) {
    signal?.throwIfAborted();
    throw targetError(error, settings);
  } finally {
    await Promise.allSettled(sessions.map(({ client }) => client.end()));
  }
}
