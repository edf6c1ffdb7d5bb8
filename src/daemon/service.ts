import type { StatusReport } from '../operations/status.ts';
import type { JobStatus, SchedulerDeps, SchedulerOptions } from './scheduler.ts';

/** What the daemon shows of itself over HTTP; `serve` of a service makes it (daemon/http.ts). */
export interface Served extends AsyncDisposable {
  readonly address: { readonly host: string; readonly port: number };
}

/** What one configuration makes of the daemon; a reload replaces it as a whole. */
export interface Service {
  readonly scheduler: Pick<SchedulerDeps, 'runner' | 'history'> & SchedulerOptions;
  /** How long running jobs have when the daemon is stopped, ms. */
  readonly graceMs: number;
  /** Objectives against what was measured, for /health, /metrics and alerts. Throws what the store throws. */
  survey(signal: AbortSignal): Promise<StatusReport>;
  /** Tells whoever is to be told; undefined where nobody is. `report`: undefined where none could be made. */
  readonly alert:
    | ((found: { readonly report: StatusReport | undefined; readonly jobs: readonly JobStatus[] }, signal: AbortSignal) => Promise<void>)
    | undefined;
  /** Releases what it holds; when nothing of it runs any more. */
  close(): Promise<void>;
}
