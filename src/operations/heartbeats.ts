import type { Heartbeat } from '../alerts/alert.ts';
import { withHeartbeat } from '../alerts/heartbeat.ts';
import { beatingOperations } from '../core/alert.ts';
import type { Clock } from '../platform/clock.ts';
import type { RunKind } from './last-runs.ts';

export interface HeartbeatDeps {
  readonly clock: Clock;
  readonly heartbeats: readonly Heartbeat[];
  /** What is sent goes through it. */
  readonly redact: (text: string) => string;
  /** A heartbeat could not be told. Must not throw. */
  readonly onFailure: (heartbeat: string, error: unknown) => void;
}

/** Runs work and tells of it. `failureOf`: why it failed, of work that says so by its result rather than by throwing. */
export type Beating = <T>(work: () => Promise<T>, signal: AbortSignal, failureOf?: (result: T) => string | undefined) => Promise<T>;

/**
 * Tells the heartbeats that are for this kind of run and database of its beginning and its end; a kind that has none just runs.
 * What the work throws is rethrown, and nothing else is thrown.
 */
export function heartbeatsFor(deps: HeartbeatDeps, { operation, database }: RunKind): Beating {
  const beating = beatingOperations.find((one) => one === operation);
  return async (work, signal, failureOf) => {
    if (beating === undefined) return await work();
    return await withHeartbeat(deps, { operation: beating, database }, work, signal, failureOf);
  };
}
