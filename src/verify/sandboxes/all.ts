import { isJetbackupError } from '../../core/errors.ts';
import type { ConnectionSettings } from '../../postgres/connection.ts';
import type { SandboxProvider } from '../sandbox.ts';
import { autoSandboxes } from './auto.ts';
import { type ContainerDeps, type ContainerOptions, containerSandboxes } from './container.ts';
import { type LocalSandboxDeps, type LocalSandboxOptions, localSandboxes } from './local.ts';
import { serverSandboxes } from './server.ts';
import { serverAccount } from './server-account.ts';

/**
 * A kind of sandbox by name; `auto` is a container where there is an engine, else, run by root, this machine's own programs. Or a server
 * to use.
 */
export type Wanted = 'auto' | 'container' | 'local' | ConnectionSettings;

/** Makes sandboxes of one kind, and sweeps what any kind of ours left: the last run may have been told another one. */
export function sandboxesFor(
  wanted: Wanted,
  options: { readonly container: ContainerOptions; readonly local: LocalSandboxOptions },
  deps: ContainerDeps & LocalSandboxDeps,
): SandboxProvider {
  const container = containerSandboxes(options.container, deps);
  const local = localSandboxes(options.local, deps);
  const atAGlance = { ...container, sweep: container.sweepWhereItAnswers };
  if (typeof wanted !== 'string') return sweepingToo(serverSandboxes(wanted), [local, atAGlance]);
  if (wanted === 'container') return sweepingToo(container, [local]);
  if (wanted === 'local') return sweepingToo(local, [atAGlance]);
  return autoSandboxes(atAGlance, local, { isSeparate: async () => (await serverAccount()) !== undefined, log: deps.log });
}

/** `provider`, whose sweep covers others as well. That these cannot look is no reason not to work with it. */
export function sweepingToo(provider: SandboxProvider, others: readonly Pick<SandboxProvider, 'sweep'>[]): SandboxProvider {
  return {
    kind: provider.kind,
    fetch: (request, signal) => provider.fetch(request, signal),
    start: (request, signal) => provider.start(request, signal),
    async sweep(signal) {
      const removed = [...(await provider.sweep(signal))];
      for (const other of others) {
        try {
          removed.push(...(await other.sweep(signal)));
        } catch (error) {
          signal.throwIfAborted();
          if (!isJetbackupError(error, 'sandbox-unavailable')) throw error;
        }
      }
      return removed;
    },
  };
}
