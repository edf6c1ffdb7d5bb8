import { isJetbackupError, JetbackupError } from '../../core/errors.ts';
import type { Progress } from '../../core/progress.ts';
import type { SandboxProvider } from '../sandbox.ts';

/**
 * A container where one can be had, else this machine's own programs, after saying why. `sandbox-unavailable` where neither can,
 * with both reasons and both remedies.
 */
export function autoSandboxes(container: SandboxProvider, local: SandboxProvider, log?: Progress): SandboxProvider {
  return {
    kind: container.kind,

    async start(request, signal) {
      try {
        return await container.start(request, signal);
      } catch (noContainer) {
        if (!isJetbackupError(noContainer, 'sandbox-unavailable')) throw noContainer;
        signal.throwIfAborted();
        try {
          const sandbox = await local.start(request, signal);
          log?.({ type: 'note', text: `no container (${noContainer.message}): verifying with ${sandbox.description}` });
          return sandbox;
        } catch (noPrograms) {
          if (!isJetbackupError(noPrograms, 'sandbox-unavailable')) throw noPrograms;
          throw neither(noContainer, noPrograms);
        }
      }
    },

    async sweep(signal) {
      const removed: string[] = [];
      for (const provider of [container, local]) {
        try {
          removed.push(...(await provider.sweep(signal)));
        } catch (error) {
          // No engine is no fault where there are programs. Where there is nothing at all, `start` says it with its remedies.
          if (!isJetbackupError(error, 'sandbox-unavailable')) throw error;
        }
      }
      return removed;
    },
  };
}

function neither(container: JetbackupError, local: JetbackupError): JetbackupError {
  const remedies = [
    ['for a container', container.hint],
    ['for a server of this machine', local.hint],
  ].flatMap(([what, hint]) => (hint === undefined ? [] : [`${what}: ${hint}`]));
  return new JetbackupError(
    'sandbox-unavailable',
    `there is no sandbox to restore into. No container: ${container.message}. And no server of this machine: ${local.message}`,
    { cause: new AggregateError([container, local]), hint: ['One of these helps;', ...remedies].join(' ') },
  );
}
