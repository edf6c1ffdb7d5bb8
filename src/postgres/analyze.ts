import { connect } from './client.ts';
import { targetError } from './database-errors.ts';
import type { ConnectionSettings } from './settings.ts';

/**
 * Collects planner statistics, which a dump does not carry: without them the first queries after a restore may take
 * plans that are hours slower. Throws `target-unreachable`, `target-denied`, `restore-failed`.
 */
export async function analyzeDatabase(settings: ConnectionSettings, signal?: AbortSignal): Promise<void> {
  try {
    const { client } = await connect(settings, { applicationName: 'jetbackup analyze', ...(signal === undefined ? {} : { signal }) });
    try {
      await client.query(
        "SELECT set_config('default_transaction_read_only', 'off', false), set_config('maintenance_work_mem', '256MB', false)",
      );
      await client.query('ANALYZE');
    } finally {
      await client.end().catch(() => {});
    }
  } catch (error) {
    signal?.throwIfAborted();
    throw targetError(error, settings);
  }
}
