import type pg from 'pg';
import { JetbackupError } from '../core/errors.ts';
import type { ConnectionSettings } from './settings.ts';

export interface ClientOptions {
  /** Shown in pg_stat_activity. */
  readonly applicationName: string;
  readonly signal?: AbortSignal;
  /** Milliseconds; 0 (the default) waits for ever. */
  readonly lockTimeoutMs?: number;
  /** SET ROLE to it after connecting. */
  readonly role?: string;
}

export async function openClient(_settings: ConnectionSettings, _options: ClientOptions): Promise<pg.Client> {
  throw new JetbackupError('bug', 'not written yet');
}
