import { stat } from 'node:fs/promises';
import type { CliContext } from './context.ts';

/** How often the configuration file is looked at, ms: renames, network file systems and ConfigMaps tell nobody. */
const LOOK_MS = 10_000;

/** Notices what asks for the configuration to be read again, also while one is being read: nothing of it is lost, and no SIGHUP ends the daemon. */
export interface ReloadWatch extends Disposable {
  /** Resolves with why; rejects with the signal's reason. */
  wanted(signal: AbortSignal): Promise<string>;
}

/** SIGHUP, or a file at `path` that is no longer as it is now. */
export async function watchForReload(
  { clock, onHangup }: Pick<CliContext, 'clock' | 'onHangup'>,
  path: string | undefined,
): Promise<ReloadWatch> {
  let seen = await marks(path);
  let isHungUp = false;
  // Of the look that is waited for; to race it against a promise that lasts would keep something of each look for ever.
  let sleeping = new AbortController();
  const listening = onHangup(() => {
    isHungUp = true;
    sleeping.abort();
  });
  return {
    async wanted(signal) {
      for (;;) {
        signal.throwIfAborted();
        // Before it is read, so that a change in the middle of that is one more.
        const now = await marks(path);
        const hasChanged = now !== seen;
        seen = now;
        if (isHungUp) {
          isHungUp = false;
          return 'SIGHUP';
        }
        if (hasChanged) return `${path} has changed`;
        if (sleeping.signal.aborted) sleeping = new AbortController();
        await clock.sleep(LOOK_MS, AbortSignal.any([signal, sleeping.signal])).catch(() => {});
      }
    },
    [Symbol.dispose]: () => listening[Symbol.dispose](),
  };
}

/** Of a file: another one has others. */
async function marks(path: string | undefined): Promise<string> {
  if (path === undefined) return '';
  try {
    const { ino, size, mtimeMs } = await stat(path);
    return `${ino} ${size} ${mtimeMs}`;
  } catch {
    return 'missing';
  }
}
