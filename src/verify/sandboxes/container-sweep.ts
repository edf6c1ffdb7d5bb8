import type { Clock } from '../../platform/clock.ts';
import { type Engine, engineError, inTime } from './container-engine.ts';
import { type Ownership, readOwnership, SANDBOX_LABEL, whyLeftover } from './container-labels.ts';
import { removeParts } from './container-removal.ts';
import type { SandboxLedger } from './ledger.ts';
import { thisProcess } from './process-identity.ts';

interface Found extends Ownership {
  readonly containers: string[];
  readonly volumes: string[];
  readonly networks: string[];
  isStopped: boolean;
}

/** Removes what dead runs left on the engine: {@link whyLeftover} says which are. Throws `sandbox-unavailable` where the engine does not list it. */
export async function sweepContainers(
  engine: Engine,
  { clock, host, ledger }: { readonly clock: Clock; readonly host: string; readonly ledger: SandboxLedger },
  signal: AbortSignal,
): Promise<string[]> {
  const here = await thisProcess(host);
  const removed: string[] = [];
  for (const found of await listSandboxes(engine, clock, signal)) {
    const hasEnded = ledger.ended.has(found.runId);
    const why = await whyLeftover(found, { here, now: clock.now(), isStopped: found.isStopped, hasEnded });
    if (why === undefined) continue;
    // What cannot be removed now is found by the next sweep as it was by this.
    if ((await removeParts(engine, found, clock, signal)).length === 0) removed.push(`the sandbox of run ${found.runId} (${why})`);
  }
  return removed;
}

/** By run. One whose container is gone may still have its volume. */
async function listSandboxes({ docker }: Engine, clock: Clock, signal: AbortSignal): Promise<Iterable<Found>> {
  const runs = new Map<string, Found>();
  const runOf = (labels: unknown): Found | undefined => {
    const ownership = readOwnership(labels);
    if (ownership === undefined) return undefined;
    const found = runs.get(ownership.runId) ?? { ...ownership, containers: [], volumes: [], networks: [], isStopped: false };
    runs.set(ownership.runId, found);
    return found;
  };
  const filters = { label: [SANDBOX_LABEL] };
  try {
    await inTime(clock, signal, async () => {
      for (const { Id, State, Labels } of await docker.listContainers({ all: true, filters })) {
        const found = runOf(Labels);
        if (found === undefined) continue;
        found.containers.push(Id);
        found.isStopped = State === 'exited' || State === 'dead';
      }
      // null, and not an empty list, where there are none.
      for (const { Name, Labels } of (await docker.listVolumes({ filters })).Volumes ?? []) runOf(Labels)?.volumes.push(Name);
      for (const { Id, Labels } of await docker.listNetworks({ filters })) runOf(Labels)?.networks.push(Id);
    });
  } catch (error) {
    signal.throwIfAborted();
    throw engineError(error, 'list what killed runs left');
  }
  return runs.values();
}
