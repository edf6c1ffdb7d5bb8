import type { Environment } from '../config/environment.ts';
import type { Clock } from '../platform/clock.ts';
import type { ProcessRunner } from '../platform/processes.ts';
import type { ServiceRunner } from '../platform/services.ts';

/** What the process gives: everything else is made here. */
export interface Platform {
  readonly env: Environment;
  readonly cwd: string;
  readonly clock: Clock;
  readonly processes: ProcessRunner;
  readonly services: ServiceRunner;
  /** Name of this host, for run records. */
  readonly host: string;
  /** Name of the user that we run as, for proofs. */
  readonly user: string;
  readonly version: string;
}
