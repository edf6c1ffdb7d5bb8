import { statfs } from 'node:fs/promises';
import { freemem, totalmem } from 'node:os';
import type { ContainerRuntimeClient } from 'testcontainers';
import { isJetbackupError, JetbackupError, messageOf } from '../../core/errors.ts';
import type { Clock } from '../../platform/clock.ts';
import { within } from '../../platform/deadline.ts';
import { type FoundEngine, foundEngine, isSocket, otherEngine } from './container-meant.ts';
import type { EngineRoom } from './container-room.ts';

export type Docker = ContainerRuntimeClient['container']['dockerode'];

export interface Engine {
  readonly client: ContainerRuntimeClient;
  readonly docker: Docker;
  /** By which this process reaches the engine's machine: `localhost`, a name or an address. */
  readonly host: string;
  readonly room: EngineRoom;
}

const START_HINT =
  "Start Docker or Podman, or say where its engine is: DOCKER_HOST (docker context inspect --format '{{.Endpoints.docker.Host}}' tells it). " +
  "Without one, verify with this machine's own programs: --sandbox local.";

/** A healthy engine answers within milliseconds, one that is busy removing images within seconds. */
const ANSWER_MS = 30_000;

/**
 * The engine that DOCKER_HOST names, else the usual socket of this machine; testcontainers resolves it. Throws `sandbox-unavailable`
 * where none answers within `ms`, or another one does.
 */
export async function connectEngine(
  dockerHost: string | undefined,
  clock: Clock,
  signal: AbortSignal,
  ms: number = ANSWER_MS,
): Promise<Engine> {
  signal.throwIfAborted();
  try {
    return await inTime(
      clock,
      signal,
      async () => {
        // Loaded here: no other command is to wait for it.
        const { getContainerRuntimeClient } = await import('testcontainers');
        const client = await getContainerRuntimeClient();
        const docker = client.container.dockerode;
        const found = foundEngine(docker.modem);
        assertIsMeant(dockerHost, found);
        const info: unknown = await docker.info();
        const { host, memory } = client.info.containerRuntime;
        if (host === '') {
          throw new JetbackupError('sandbox-unavailable', 'TESTCONTAINERS_HOST_OVERRIDE is set, and names no host', {
            hint: 'Unset it, or let it name the address by which the engine is reached.',
          });
        }
        return { client, docker, host, room: await roomOf(memory, info, isSocket(found)) };
      },
      ms,
    );
  } catch (error) {
    signal.throwIfAborted();
    if (isJetbackupError(error)) throw error;
    const where = dockerHost === undefined ? '' : ` at ${dockerHost}`;
    throw new JetbackupError('sandbox-unavailable', `no container engine answers${where}`, { cause: error, hint: START_HINT });
  }
}

function assertIsMeant(dockerHost: string | undefined, found: FoundEngine): void {
  const other = otherEngine(dockerHost, found);
  if (other === undefined) return;
  if (dockerHost === undefined || dockerHost === '') {
    throw new JetbackupError('sandbox-unavailable', `the container engine of this machine does not answer, and ${other} is not asked for`, {
      hint: `Start it. Or, where your data may go to that other engine (it is named in ~/.testcontainers.properties): DOCKER_HOST=${other}`,
    });
  }
  const text = `the container engine that DOCKER_HOST names is not the one that answers: ${dockerHost}, and not ${other}`;
  throw new JetbackupError('sandbox-unavailable', text, {
    hint: dockerHost.startsWith('ssh:')
      ? 'An engine behind ssh:// cannot be used. Give tcp:// with TLS (DOCKER_TLS_VERIFY, DOCKER_CERT_PATH), or verify with --sandbox local.'
      : 'Start it, correct DOCKER_HOST or unset it, take tc.host out of ~/.testcontainers.properties, or verify with --sandbox local.',
  });
}

async function roomOf(memoryBytes: number, info: unknown, isSocket: boolean): Promise<EngineRoom> {
  // The same memory to the byte: the same kernel, and not the virtual machine of a desktop.
  if (!isSocket || memoryBytes !== totalmem()) return { memoryBytes, freeMemoryBytes: undefined, freeDiskBytes: undefined };
  const directory = typeof info === 'object' && info !== null && 'DockerRootDir' in info ? info.DockerRootDir : undefined;
  const disk = typeof directory === 'string' ? await statfs(directory).catch(() => undefined) : undefined;
  return { memoryBytes, freeMemoryBytes: freemem(), freeDiskBytes: disk === undefined ? undefined : disk.bavail * disk.bsize };
}

/** Waits for the engine for `ms` at most; the request itself may go on. Rejects with the signal's reason, or as the work does. */
export async function inTime<T>(
  clock: Clock,
  signal: AbortSignal | undefined,
  work: (signal: AbortSignal) => Promise<T>,
  ms: number = ANSWER_MS,
): Promise<T> {
  return await within(clock, ms, work, {
    signal,
    late: () => new Error(`the container engine gave no answer within ${Math.round(ms / 1000)} s`),
  });
}

/** HTTP status with which the engine refused; undefined where there was no answer at all. */
export function statusOf(error: unknown): number | undefined {
  return error instanceof Error && 'statusCode' in error && typeof error.statusCode === 'number' ? error.statusCode : undefined;
}

/** What the engine says, without the client's own words around it. */
export function engineMessage(error: unknown): string {
  return messageOf(error)
    .replace(/^\(HTTP code \d+\) [a-z ]* - /, '')
    .trim();
}

/** `doing`: as in `could not make the network`. */
export function engineError(error: unknown, doing: string): JetbackupError {
  if (isJetbackupError(error)) return error;
  const answered = statusOf(error) !== undefined;
  return new JetbackupError('sandbox-unavailable', `the container engine could not ${doing}: ${engineMessage(error)}`, {
    cause: error,
    hint: answered
      ? "Look at the engine's own log, or verify with this machine's own programs: --sandbox local."
      : 'Is the engine still running? docker info tells it.',
  });
}
