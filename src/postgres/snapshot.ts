import type { Temporal } from 'temporal-polyfill';
import { JetbackupError } from '../core/errors.ts';
import type { Server, Source } from '../core/manifest.ts';
import type { ConnectionSettings } from './settings.ts';

/** A snapshot that others can look through (`SET TRANSACTION SNAPSHOT`, `pg_dump --snapshot`) for as long as it is held. Disposing releases it and the lock. */
export interface ExportedSnapshot extends AsyncDisposable {
  readonly id: string;
  /** Everything committed before it is in the snapshot. */
  readonly instant: Temporal.Instant;
  readonly server: Server;
  readonly source: Source;
  /** Nailed to the very server that holds the snapshot: use these for pg_dump and the fingerprint, because a host name may lead to several servers. */
  readonly settings: ConnectionSettings;
  /** Rejects with `database-unreachable` when the connection that holds snapshot and lock is gone. */
  assertHeld(): Promise<void>;
}

export async function exportSnapshot(
  _settings: ConnectionSettings,
  _options: { readonly lockName: string; readonly signal?: AbortSignal },
): Promise<ExportedSnapshot> {
  throw new JetbackupError('bug', 'not written yet');
}
