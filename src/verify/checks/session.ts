import type pg from 'pg';
import { openClient } from '../../postgres/connection.ts';
import { databaseError } from '../../postgres/database-errors.ts';
import type { CheckContext } from '../check.ts';

/**
 * A session in the restored database with an empty search_path, closed afterwards. What `use` throws is about the server, not
 * about the backup, and comes as `database-unreachable`, `database-denied` or `unverified`, or as the signal's reason.
 */
export async function inSession<T>(
  { settings }: Pick<CheckContext, 'settings'>,
  signal: AbortSignal,
  use: (client: pg.Client) => Promise<T>,
): Promise<T> {
  try {
    const client = await openClient(settings, { applicationName: 'jetbackup verify', signal });
    try {
      return await use(client);
    } finally {
      await client.end().catch(() => {});
    }
  } catch (error) {
    signal.throwIfAborted();
    throw databaseError(error, settings, 'unverified');
  }
}
