import { isJetbackupError, JetbackupError } from '../../core/errors.ts';
import type { Progress } from '../../core/progress.ts';
import type { Sandbox, SandboxProvider, SandboxRequest } from '../sandbox.ts';

export interface Fallback {
  /** Whether the server of a local sandbox runs under another account than we do. */
  isSeparate(): Promise<boolean>;
  readonly log?: Progress;
}

/**
 * A container where one can be had. Else this machine's own programs, after saying why, but only where their server is not our own
 * user: a restore runs code of whoever owns what was backed up, which could then read the identity and the signing key. That is for
 * somebody to choose expressly. `sandbox-unavailable` where neither can be had, with both reasons and both remedies.
 */
export function autoSandboxes(container: SandboxProvider, local: SandboxProvider, { isSeparate, log }: Fallback): SandboxProvider {
  /** Why the last look found no container. Asked once for each verification: the start is on the clock. */
  let refused: JetbackupError | undefined;
  const startContainer = async (request: SandboxRequest, signal: AbortSignal): Promise<Sandbox> => {
    if (refused !== undefined) throw refused;
    return await container.start(request, signal);
  };
  return {
    kind: container.kind,

    async fetch(request, signal) {
      refused = undefined;
      try {
        await container.fetch(request, signal);
      } catch (error) {
        if (!isJetbackupError(error, 'sandbox-unavailable')) throw error;
        signal.throwIfAborted();
        refused = error;
        // Whether something else will do, and what to say where nothing does, is for the start.
        await local.fetch(request, signal);
      }
    },

    async start(request, signal) {
      try {
        return await startContainer(request, signal);
      } catch (noContainer) {
        if (!isJetbackupError(noContainer, 'sandbox-unavailable')) throw noContainer;
        signal.throwIfAborted();
        if (!(await isSeparate())) throw notUnasked(noContainer);
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

function notUnasked(noContainer: JetbackupError): JetbackupError {
  const remedy = noContainer.hint === undefined ? '' : `${noContainer.hint} `;
  return new JetbackupError('sandbox-unavailable', `there is no container to restore into: ${noContainer.message}`, {
    cause: noContainer,
    hint:
      `${remedy}A server of this machine's own programs is not taken unasked: it would run as this user, and code in the backup ` +
      '(CHECK functions, index expressions) could read whatever this user can, the identity and the signing key included. ' +
      'Where you trust all who own something in the database, choose it: --sandbox local (verify.sandbox: local).',
  });
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
