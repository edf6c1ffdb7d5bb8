import { JetbackupError } from '../core/errors.ts';
import type { Source } from '../core/manifest.ts';
import type { ConnectionSettings } from './settings.ts';
import type { RestoreChoices } from './target.ts';

export interface StagingRequest extends RestoreChoices {
  readonly source: Source;
  /** The name that it is to have in the end; its staging name begins with it. */
  readonly finalName: string;
  readonly runId: string;
  /** Owner in the end; default: the source's owner, or with `noOwner` the connected role. */
  readonly owner?: string;
}

/** A database of our own that a restore fills before anyone sees it. Disposing drops it unless it was promoted. */
export interface Staging extends AsyncDisposable {
  readonly name: string;
  /** To reach it. */
  readonly settings: ConnectionSettings;
  /** What could not be set on it, in words. Complete only after `promote`. */
  readonly warnings: readonly string[];
  /** Ends whoever is connected to it, and drops it. Idempotent. */
  drop(): Promise<void>;
  /** Gives it its owner, rights, comment and limit, and its final name, all in one transaction. Throws `target-exists`. */
  promote(finalName: string): Promise<void>;
}

export async function createStagingDatabase(
  _settings: ConnectionSettings,
  _request: StagingRequest,
  _signal?: AbortSignal,
): Promise<Staging> {
  throw new JetbackupError('bug', 'not written yet');
}

/** Drops the staging databases of runs that are dead (their lock is free), and returns their names. */
export async function sweepStaging(_settings: ConnectionSettings, _signal?: AbortSignal): Promise<string[]> {
  throw new JetbackupError('bug', 'not written yet');
}
