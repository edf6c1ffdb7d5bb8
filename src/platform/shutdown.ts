import { JetbackupError } from '../core/errors.ts';
import type { Clock } from './clock.ts';

/** What a process offers of itself; `process` is one. */
export interface SignalSource {
  on(signal: NodeJS.Signals, listener: (signal: NodeJS.Signals) => void): unknown;
  off(signal: NodeJS.Signals, listener: (signal: NodeJS.Signals) => void): unknown;
}

export interface Shutdown extends Disposable {
  /** Aborted by the first signal, with the JetbackupError that the run then ends in. */
  readonly signal: AbortSignal;
  /** While somebody listens, SIGHUP asks them to read their configuration anew, and nobody to stop. */
  onHangup(listener: () => void): Disposable;
  /** While somebody listens, they tell the user of the first signal, in place of `onFirst`. */
  tellBy(listener: (signal: NodeJS.Signals) => void): Disposable;
  /** Aborts for another reason, e.g. that nobody reads the output any more. Does nothing after the first time. */
  abort(reason: JetbackupError): void;
}

/** npm and shells pass Ctrl-C on to a child that the terminal has told already: two signals so close are one. */
const SAME_KEYSTROKE_MS = 500;

/**
 * The first SIGINT, SIGTERM or SIGHUP asks everything to stop and clean up (`interrupted`, `terminated`); `onFirst`
 * tells the user. A further one does not wait for that: `force` ends the process, and what belongs to it, with the
 * signal's exit status.
 */
export function createShutdown(options: {
  readonly source: SignalSource;
  readonly clock: Pick<Clock, 'monotonicMs'>;
  readonly onFirst: (signal: NodeJS.Signals) => void;
  readonly force: (exitCode: number, signal: NodeJS.Signals) => void;
}): Shutdown {
  const { source, clock, onFirst, force } = options;
  const controller = new AbortController();
  let firstAt: number | undefined;
  const hangups = new Set<() => void>();
  let tell = onFirst;
  const onSignal = (name: NodeJS.Signals): void => {
    if (name === 'SIGHUP' && hangups.size > 0) {
      for (const listener of hangups) listener();
      return;
    }
    const reason =
      name === 'SIGINT' ? new JetbackupError('interrupted', 'interrupted') : new JetbackupError('terminated', `ended by ${name}`);
    const now = clock.monotonicMs();
    if (firstAt === undefined) {
      firstAt = now;
      controller.abort(reason);
      tell(name);
    } else if (now - firstAt > SAME_KEYSTROKE_MS) {
      force(reason.exitCode, name);
    }
  };
  const names = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const name of names) source.on(name, onSignal);
  return {
    signal: controller.signal,
    onHangup(listener) {
      hangups.add(listener);
      return { [Symbol.dispose]: () => void hangups.delete(listener) };
    },
    tellBy(listener) {
      tell = listener;
      return {
        [Symbol.dispose]() {
          tell = onFirst;
        },
      };
    },
    abort(reason) {
      if (!controller.signal.aborted) controller.abort(reason);
    },
    [Symbol.dispose]() {
      for (const name of names) source.off(name, onSignal);
    },
  };
}
