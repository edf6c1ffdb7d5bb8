import { JetbackupError } from '../../core/errors.ts';
import type { Clock } from '../../platform/clock.ts';
import { type Engine, engineMessage, inTime, statusOf } from './container-engine.ts';

/** Names or ids. */
export interface Parts {
  readonly containers: readonly string[];
  readonly volumes: readonly string[];
  readonly networks: readonly string[];
}

export const noParts: Parts = { containers: [], volumes: [], networks: [] };

/** A volume of a large database takes the engine's disk a while. */
const REMOVAL_MS = 300_000;
/** For what still seems in use, or is being removed by somebody else. */
const BUSY_MS = 15_000;
const BUSY_PAUSE_MS = 200;
/** For an engine that does not answer: it may be starting anew, which takes seconds. For all parts together. */
const SILENT_MS = 30_000;
const SILENT_PAUSE_MS = 1_000;

/** Removes all of it, volumes and networks after the containers that use them. Resolves to what could not be removed, as commands and why. */
export async function removeParts(engine: Engine, parts: Parts, clock: Clock, signal?: AbortSignal): Promise<Leftover[]> {
  const { docker } = engine;
  const left: Leftover[] = [];
  const patience: Patience = { silentSince: undefined };
  const attempt = async (command: string, remove: () => Promise<unknown>) => {
    const why = await insist(remove, patience, clock, signal);
    if (why !== undefined) left.push({ command, why });
  };
  for (const name of parts.containers) {
    await attempt(`docker rm --force --volumes ${name}`, () => docker.getContainer(name).remove({ force: true, v: true }));
  }
  for (const name of parts.volumes) await attempt(`docker volume rm ${name}`, () => docker.getVolume(name).remove());
  for (const name of parts.networks) await attempt(`docker network rm ${name}`, () => docker.getNetwork(name).remove());
  return left;
}

export interface Leftover {
  readonly command: string;
  readonly why: string;
}

export function leftoverError(left: readonly Leftover[]): JetbackupError {
  return new JetbackupError(
    'sandbox-unavailable',
    `the sandbox could not be removed: ${[...new Set(left.map(({ why }) => why))].join('; ')}`,
    {
      hint: `The next verification on this host tries again. By hand: ${left.map(({ command }) => command).join(' && ')}`,
    },
  );
}

interface Patience {
  /** By the monotonic clock: when the engine last began not to answer. */
  silentSince: number | undefined;
}

/** Undefined once it is gone. */
async function insist(
  remove: () => Promise<unknown>,
  patience: Patience,
  clock: Clock,
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  const started = clock.monotonicMs();
  for (;;) {
    const asked = clock.monotonicMs();
    try {
      await inTime(clock, signal, remove, patience.silentSince === undefined ? REMOVAL_MS : SILENT_MS);
      patience.silentSince = undefined;
      return undefined;
    } catch (error) {
      signal?.throwIfAborted();
      const status = statusOf(error);
      const isSilent = status === undefined;
      patience.silentSince = isSilent ? (patience.silentSince ?? asked) : undefined;
      if (status === 404) return undefined;
      const isLate = isSilent ? clock.monotonicMs() - (patience.silentSince ?? asked) > SILENT_MS : clock.monotonicMs() - started > BUSY_MS;
      if (isLate) return engineMessage(error);
      await clock.sleep(isSilent ? SILENT_PAUSE_MS : BUSY_PAUSE_MS, signal);
    }
  }
}
