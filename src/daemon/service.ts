import type { JetbackupError } from '../core/errors.ts';
import type { StatusReport } from '../operations/status.ts';
import type { JobStatus, SchedulerDeps, SchedulerEvent, SchedulerOptions } from './scheduler.ts';

/** A report of where things stand that is older (ms) is none: figures are no longer those of now, and several surveys have failed. */
export const REPORT_OLD_MS = 3 * 60_000;

/** Where things stand, as far as that could be told. */
export interface Found {
  /** Undefined: the last survey failed, or is too old to go by. */
  readonly report: StatusReport | undefined;
  /** The last that could be made, however old: what was missed then is missed all the more now. */
  readonly last: StatusReport | undefined;
  /** Why the last survey failed. */
  readonly failure: JetbackupError | undefined;
  readonly jobs: readonly JobStatus[];
}

/** What one configuration makes of the daemon; a reload replaces it as a whole. */
export interface Service {
  readonly scheduler: Pick<SchedulerDeps, 'runner' | 'history'> & SchedulerOptions;
  /** How long running jobs have when the daemon is stopped, ms. */
  readonly graceMs: number;
  /** Hears of everything that the scheduler does. Must not throw. */
  note(event: SchedulerEvent): void;
  /** Objectives against what was measured, for /health, /metrics and alerts. Throws what the store throws. */
  survey(signal: AbortSignal): Promise<StatusReport>;
  /** Tells whoever is to be told; undefined where nobody is. */
  readonly alert: ((found: Found, signal: AbortSignal) => Promise<void>) | undefined;
  /** Releases what it holds; when nothing of it runs any more. */
  close(): Promise<void>;
}
