import type { Progress } from '../../core/progress.ts';
import type { Clock } from '../../platform/clock.ts';
import { type Engine, engineMessage, inTime } from './container-engine.ts';
import type { SandboxLedger } from './ledger.ts';

/** With its image to pull. What takes longer is not worth the wait: there is our own sweep. */
const REAPER_MS = 60_000;

/** Labels for what is to go within seconds of this process's death, however it dies. Empty where nobody looks after that. */
export type Reaper = (engine: Engine, signal: AbortSignal) => Promise<Record<string, string>>;

export const noReaper: Reaper = async () => ({});

/**
 * testcontainers' Ryuk: a container that holds a connection to this process and removes what it labelled once that is cut. Only for
 * who asks for it: it listens on all addresses of the engine's machine, takes orders from anybody, and holds the engine's socket. Its
 * image is one more to be had, and some engines do not hand out their socket; without it the next run's sweep removes what a killed
 * one left. Tried once, not before each of a thousand verifications. All processes of testcontainers on a host share one Ryuk, which acts
 * when the last of them is gone: beside a daemon of ours, too, it is the sweep that removes.
 */
export function ryuk({ clock, log, ledger }: { readonly clock: Clock; readonly log: Progress; readonly ledger: SandboxLedger }): Reaper {
  return async ({ client }, signal) => {
    if (ledger.isReaperOutOfReach) return {};
    try {
      const { getReaper, LABEL_TESTCONTAINERS_SESSION_ID } = await import('testcontainers');
      const { sessionId } = await inTime(clock, signal, () => getReaper(client), REAPER_MS);
      return { [LABEL_TESTCONTAINERS_SESSION_ID]: sessionId };
    } catch (error) {
      signal.throwIfAborted();
      ledger.isReaperOutOfReach = true;
      log({
        type: 'note',
        text: `Ryuk could not be started (${engineMessage(error)}): what a killed run leaves stays until the next one removes it`,
      });
      return {};
    }
  };
}
