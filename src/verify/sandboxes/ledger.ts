import type { Id } from '../../core/ids.ts';

/**
 * What a process knows of its own sandboxes and no label can tell, since the process lives: so that a daemon's next job removes what
 * the end of an earlier one could not. One for a process, however often it reads its configuration.
 */
export interface SandboxLedger {
  /** Runs that want nothing of the container engine any more. What it still has of them is left. */
  readonly ended: Set<Id>;
  /** Directories of local sandboxes that could not be removed. */
  readonly directories: Set<string>;
  /** Whether Ryuk was tried for in vain: that takes its time, and is not to be done before each of a thousand verifications. */
  isReaperOutOfReach: boolean;
}

export function createSandboxLedger(): SandboxLedger {
  return { ended: new Set(), directories: new Set(), isReaperOutOfReach: false };
}
