import type pg from 'pg';
import { openClient } from '../../postgres/connection.ts';
import { codeOf, databaseError } from '../../postgres/database-errors.ts';
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

/** Connection, resources (disk, memory, locks), shutdown and input/output (PostgreSQL, Appendix A): the server's own trouble. */
const ofTheServer = /^(?:08|53|57P|58|40)|^55P03$/;

/** The SQLSTATE of what the server said of a statement; undefined where it speaks of its own trouble, or is not there to speak. */
export function stateOf(error: unknown): string | undefined {
  const code = codeOf(error);
  return code !== undefined && /^[0-9A-Z]{5}$/.test(code) && !/^E[A-Z]+$/.test(code) && !ofTheServer.test(code) ? code : undefined;
}
