import { messageOf } from '../core/errors.ts';
import type { Clock } from '../platform/clock.ts';
import type { ProcessRunner } from '../platform/processes.ts';

/** Tells the service manager what the daemon is up to (sd_notify(3)). Nothing where there is none. */
export interface Notifier {
  ready(): Promise<void>;
  reloading(): Promise<void>;
  stopping(): Promise<void>;
  /** Shows that it lives, at half the interval that systemd asks for, while `isWell` says so; until the signal. */
  watch(isWell: () => boolean, signal: AbortSignal): Promise<void>;
}

const MICROSECONDS_PER_MS = 1000;
/** systemd-notify is done at once; where it is not, nothing of ours waits for it, ms. */
const TELL_MS = 5000;

/**
 * By systemd's own program, since Node.js has no datagram sockets on the file system. The unit needs `NotifyAccess=all`, because a
 * child speaks for the daemon. `env`: NOTIFY_SOCKET and WATCHDOG_USEC as systemd sets them.
 */
export function systemdNotifier(
  { processes, clock, onFailure }: { readonly processes: ProcessRunner; readonly clock: Clock; readonly onFailure: (text: string) => void },
  env: Readonly<Record<string, string | undefined>>,
): Notifier {
  const socket = env['NOTIFY_SOCKET'];
  const watchdogMs = Number(env['WATCHDOG_USEC'] ?? 0) / MICROSECONDS_PER_MS;
  const childEnv = { PATH: env['PATH'] ?? '/usr/bin:/bin', ...(socket === undefined ? {} : { NOTIFY_SOCKET: socket }) };
  let failed = false;
  const tell = async (...args: string[]): Promise<void> => {
    if (socket === undefined || socket === '') return;
    try {
      const command = { program: 'systemd-notify', args, env: childEnv };
      for await (const _ of processes.output(command, AbortSignal.timeout(TELL_MS)));
    } catch (error) {
      if (!failed) onFailure(`systemd was not told (systemd-notify ${args.join(' ')}): ${messageOf(error)}`);
      failed = true;
    }
  };
  return {
    ready: () => tell('--ready', '--status=watching schedules'),
    reloading: () => tell('--status=reading its configuration anew'),
    stopping: () => tell('STOPPING=1'),
    async watch(isWell, signal) {
      if (!(watchdogMs > 0)) return;
      while (!signal.aborted) {
        if (isWell()) await tell('WATCHDOG=1');
        await clock.sleep(watchdogMs / 2, signal).catch(() => {});
      }
    },
  };
}
