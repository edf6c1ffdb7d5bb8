import type pg from 'pg';
import { JetbackupError } from '../core/errors.ts';
import { type Connected, connect } from './client.ts';
import { codeOf } from './database-errors.ts';
import { type ConnectionSettings, withDatabase } from './settings.ts';

/**
 * A connection from which databases are made and dropped: to `postgres`, else to `template1`, else to the database of
 * the settings themselves. Throws as `openClient` does.
 */
export async function connectMaintenance(settings: ConnectionSettings, applicationName: string, signal?: AbortSignal): Promise<Connected> {
  let first: unknown;
  for (const database of new Set(['postgres', 'template1', settings.database])) {
    try {
      return await connect(withDatabase(settings, database), { applicationName, ...(signal === undefined ? {} : { signal }) });
    } catch (error) {
      first ??= error;
      // Another database helps only where this one is missing (3D000), closed (55000) or not for us (42501).
      const state = error instanceof JetbackupError ? codeOf(error.cause) : undefined;
      if (state === undefined || !['3D000', '55000', '42501', '28000'].includes(state)) throw error;
    }
  }
  throw first;
}

export async function databaseExists(client: pg.Client, name: string): Promise<boolean> {
  const { rows } = await client.query('SELECT FROM pg_database WHERE datname = $1', [name]);
  return rows.length > 0;
}

export async function existingRoles(client: pg.Client): Promise<Set<string>> {
  const { rows } = await client.query<{ rolname: string }>('SELECT rolname FROM pg_roles');
  return new Set(rows.map(({ rolname }) => rolname));
}
