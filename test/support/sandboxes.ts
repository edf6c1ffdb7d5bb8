import { hostname } from 'node:os';
import { type ContainerRuntimeClient, getContainerRuntimeClient } from 'testcontainers';
import { type Id, newId } from '../../src/core/ids.ts';
import { silent } from '../../src/core/progress.ts';
import { systemClock } from '../../src/platform/clock.ts';
import type { SandboxRequest } from '../../src/verify/sandbox.ts';
import { type ContainerDeps, type ContainerOptions, containerSandboxes } from '../../src/verify/sandboxes/container.ts';
import { createSandboxLedger } from '../../src/verify/sandboxes/ledger.ts';
import { sampleManifest } from './manifest.ts';

const image = process.env['JETBACKUP_TEST_POSTGRES_IMAGE'] ?? 'postgres:{major}';

export function testSandboxes(options: Partial<ContainerOptions> = {}, deps: Partial<ContainerDeps> = {}) {
  return containerSandboxes(
    {
      ...{ image, memoryBytes: undefined, cpus: undefined, storage: 'auto', settings: {}, plaintext: false, reaper: false },
      dockerHost: process.env['DOCKER_HOST'],
      ...options,
    },
    { clock: systemClock, log: silent, host: hostname(), ledger: createSandboxLedger(), ...deps },
  );
}

export function sandboxRequest(over: Partial<SandboxRequest> = {}): SandboxRequest {
  const { source } = sampleManifest();
  return { runId: newId(systemClock.now()), major: 17, source, superuser: 'postgres', profile: 'fast', ...over };
}

export async function docker(): Promise<ContainerRuntimeClient['container']['dockerode']> {
  return (await getContainerRuntimeClient()).container.dockerode;
}

/** Whatever the engine has of a run, by name. */
export const partsOf = (runId: Id) => partsLabelled(`dev.jetbackup.sandbox=${runId}`);

/** The same of all runs of a process of this machine. */
export const partsOfProcess = (pid: number | undefined) => partsLabelled(`dev.jetbackup.sandbox.pid=${pid}`);

async function partsLabelled(label: string): Promise<string[]> {
  const engine = await docker();
  const filters = { label: [label] };
  const [containers, { Volumes: volumes }, networks] = await Promise.all([
    engine.listContainers({ all: true, filters }),
    engine.listVolumes({ filters }),
    engine.listNetworks({ filters }),
  ]);
  return [
    ...containers.map(({ Names }) => `container ${Names.join(' ')}`),
    ...(volumes ?? []).map(({ Name }) => `volume ${Name}`),
    ...networks.map(({ Name }) => `network ${Name}`),
  ];
}
