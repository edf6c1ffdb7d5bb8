import { withHeartbeat } from '../alerts/heartbeat.ts';
import type { BeatingOperation } from '../core/alert.ts';
import { messageOf } from '../core/errors.ts';
import type { Progress } from '../core/progress.ts';
import type { AlertDeps } from './alerts.ts';

/** Tells the configured heartbeats of a job's beginning and end. One that does not answer is a warning, and delays nothing for long. */
export async function withHeartbeats<T>(
  { clock, heartbeats }: Pick<AlertDeps, 'clock' | 'heartbeats'>,
  { operation, database, log }: { readonly operation: BeatingOperation; readonly database: string; readonly log: Progress },
  work: () => Promise<T>,
  signal: AbortSignal,
): Promise<T> {
  const onFailure = (heartbeat: string, error: unknown) =>
    log({ type: 'warning', text: `the heartbeat "${heartbeat}" was not told: ${messageOf(error)}` });
  // What a heartbeat hears of a failure is one fixed sentence of ours.
  return await withHeartbeat({ clock, heartbeats, redact: (text) => text, onFailure }, { operation, database }, work, signal);
}
