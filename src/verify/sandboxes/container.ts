import { randomBytes } from 'node:crypto';
import { isJetbackupError, messageOf } from '../../core/errors.ts';
import type { Progress } from '../../core/progress.ts';
import type { Clock } from '../../platform/clock.ts';
import type { ConnectionSettings } from '../../postgres/connection.ts';
import { serverSettings } from '../profile.ts';
import type { Sandbox, SandboxProvider, SandboxRequest } from '../sandbox.ts';
import { addressOf, connectionTo, untilItAnswers } from './container-connection.ts';
import { connectEngine, type Engine, engineError, inTime } from './container-engine.ts';
import { type Image, provideImage } from './container-image.ts';
import { ownershipLabels } from './container-labels.ts';
import { canBindTo, createNetwork, type IsOwnAddress, isForeignAddress, publishingAddresses } from './container-network.ts';
import { noReaper, type Reaper, ryuk } from './container-reaper.ts';
import { leftoverError, type Parts, removeParts } from './container-removal.ts';
import { planRoom, type Room } from './container-room.ts';
import { specificationOf } from './container-specification.ts';
import { sweepContainers } from './container-sweep.ts';
import { containerTrouble } from './container-trouble.ts';
import type { SandboxLedger } from './ledger.ts';
import { thisProcess } from './process-identity.ts';
import { superuserName } from './superuser.ts';

/** `verify:` of the configuration, as far as a container is concerned. */
export interface ContainerOptions {
  /** `{major}` stands for the source's major version. */
  readonly image: string;
  /** Limit of all that the container takes, data in memory included; undefined: half of the engine's. */
  readonly memoryBytes: number | undefined;
  /** Undefined: as many as the engine has. */
  readonly cpus: number | undefined;
  readonly storage: 'auto' | 'memory' | 'disk';
  /** Of PostgreSQL. */
  readonly settings: Readonly<Record<string, string>>;
  /** Whether rows may travel without encryption to an engine on another machine. */
  readonly plaintext: boolean;
  /** Whether testcontainers' Ryuk is to remove within seconds what a killed run leaves. */
  readonly reaper: boolean;
  /** DOCKER_HOST, which testcontainers reads too: no other engine will do. */
  readonly dockerHost: string | undefined;
}

export interface ContainerDeps {
  readonly clock: Clock;
  readonly log: Progress;
  /** Name of this machine. */
  readonly host: string;
  readonly ledger: SandboxLedger;
  /** Default: found out by trying. */
  readonly isOwnAddress?: IsOwnAddress;
}

/** For what the engine was making when the run was stopped. */
const PENDING_MS = 30_000;

/** One that answers at all does so at once; who verifies without it is not to wait for it. */
const GLANCE_MS = 3_000;

export interface ContainerSandboxes extends SandboxProvider {
  /** As `sweep`, for who can do without an engine: quietly nothing where none answers within three seconds. */
  sweepWhereItAnswers(signal: AbortSignal): Promise<readonly string[]>;
}

/**
 * Servers in containers of any engine that testcontainers finds: each with a network from which nothing beyond the engine's machine
 * can be reached, limits, a password of its own and its data in memory or in a volume that goes with it. What a killed process leaves
 * is removed by `sweep`, and within seconds by Ryuk where that is wanted.
 */
export function containerSandboxes(options: ContainerOptions, deps: ContainerDeps): ContainerSandboxes {
  const { clock, log } = deps;
  const reaper = options.reaper ? ryuk(deps) : noReaper;
  const connect = (signal: AbortSignal, ms?: number) => connectEngine(options.dockerHost, clock, signal, ms);
  const imageOf = (engine: Engine, major: number, signal: AbortSignal) =>
    provideImage(engine, options.image.replaceAll('{major}', String(major)), { clock, log }, signal);
  return {
    kind: 'container',
    async fetch({ major }, signal) {
      await imageOf(await connect(signal), major, signal);
    },
    async start(request, signal) {
      const engine = await connect(signal);
      const image = await imageOf(engine, request.major, signal);
      return await startContainer({ engine, image, reaper, options, deps }, request, signal);
    },
    sweep: async (signal) => await sweepContainers(await connect(signal), deps, signal),
    async sweepWhereItAnswers(signal) {
      try {
        return await sweepContainers(await connect(signal, GLANCE_MS), deps, signal);
      } catch (error) {
        if (!isJetbackupError(error, 'sandbox-unavailable')) throw error;
        signal.throwIfAborted();
        return [];
      }
    },
  };
}

interface Context {
  readonly engine: Engine;
  readonly image: Image;
  readonly reaper: Reaper;
  readonly options: ContainerOptions;
  readonly deps: ContainerDeps;
}

async function startContainer(context: Context, request: SandboxRequest, signal: AbortSignal): Promise<Sandbox> {
  const { engine, image, options, deps } = context;
  const { clock, log, ledger } = deps;
  const { profile } = request;
  const { memoryBytes, storage } = options;
  const room = planRoom({ databaseBytes: request.source.sizeBytes, profile, storage, memoryBytes }, engine.room);
  // Of all parts: a name that is known before the engine answers is one that can be removed whatever it answers.
  const name = `jetbackup-sandbox-${request.runId}`;
  const parts: Parts = { containers: [name], volumes: room.tmpfsBytes === undefined ? [name] : [], networks: [name] };
  ledger.ended.delete(request.runId);
  const dispose = async () => {
    const left = await removeParts(engine, parts, clock).finally(() => ledger.ended.add(request.runId));
    if (left.length > 0) throw leftoverError(left);
  };
  const making = make(context, request, { name, room }, signal);
  try {
    const settings = await making.settings;
    let gone: Promise<void> | undefined;
    return {
      ...{ kind: 'container', description: `${image.name} in a container`, profile, isOurs: true, settings },
      trouble: (inner) => containerTrouble(engine, { name, room }, clock, inner),
      [Symbol.asyncDispose]: async () => {
        gone ??= dispose().catch((error: unknown) => {
          gone = undefined;
          throw error;
        });
        await gone;
      },
    };
  } catch (error) {
    await making.idle();
    await dispose().catch((leftover: unknown) => {
      const hint = isJetbackupError(leftover) && leftover.hint !== undefined ? { hint: leftover.hint } : {};
      log({ type: 'warning', text: messageOf(leftover), ...hint });
    });
    signal.throwIfAborted();
    throw engineError(error, 'start the sandbox');
  }
}

interface Making {
  readonly settings: Promise<ConnectionSettings>;
  /** Resolves once the engine makes nothing more, or does not answer. */
  idle(): Promise<void>;
}

/** Requests to make something are waited for even after an abort: an answer that nobody heard would leave what it made. */
function make(
  { engine, image, reaper, options, deps }: Context,
  request: SandboxRequest,
  { name, room }: { readonly name: string; readonly room: Room },
  signal: AbortSignal,
): Making {
  const { clock, host } = deps;
  let pending: Promise<unknown> = Promise.resolve();
  const making = async <T>(doing: string, work: () => Promise<T>): Promise<T> => {
    signal.throwIfAborted();
    const result = work();
    pending = result.catch(() => {});
    try {
      return await inTime(clock, signal, () => result);
    } catch (error) {
      signal.throwIfAborted();
      throw isForeignAddress(error) ? error : engineError(error, doing);
    }
  };
  const work = async (): Promise<ConnectionSettings> => {
    const owner = await thisProcess(host);
    const labels = { ...(await reaper(engine, signal)), ...ownershipLabels({ runId: request.runId, owner, createdAt: clock.now() }) };
    const { docker } = engine;
    const isOwnAddress = deps.isOwnAddress ?? canBindTo;
    const isOnNetwork = await making('make a network for the sandbox', () => createNetwork(docker, { name, labels }, isOwnAddress));
    if (room.tmpfsBytes === undefined)
      await making('make a volume for the sandbox', () => docker.createVolume({ Name: name, Labels: labels }));
    const password = randomBytes(24).toString('base64url');
    const superuser = superuserName(request.superuser);
    const common = {
      ...{ name, image, labels, room, password, cpus: options.cpus, superuser, volume: name, network: name },
      settings: serverSettings(request.profile, options.settings, { memoryBytes: room.serverBytes }),
    };
    const address = await firstThatStarts(
      isOnNetwork ? [undefined] : await publishingAddresses(engine.host, { plaintext: options.plaintext, isOwnAddress }),
      async (publishAt) => {
        const specification = specificationOf({ ...common, publishAt });
        await making(`make a container of ${image.name}`, () => docker.createContainer(specification));
        try {
          await making(`start a container of ${image.name}`, () => docker.getContainer(name).start());
        } catch (error) {
          if (isForeignAddress(error)) await removeParts(engine, { containers: [name], volumes: [], networks: [] }, clock, signal);
          throw error;
        }
        return await addressOf(engine, name, { isOnNetwork, clock }, signal);
      },
    );
    const settings = connectionTo(address, superuser, password);
    await untilItAnswers(engine, name, settings, clock, signal);
    return settings;
  };
  return {
    settings: work(),
    idle: async () => {
      await inTime(clock, undefined, () => pending, PENDING_MS).catch(() => {});
    },
  };
}

async function firstThatStarts<T>(
  addresses: readonly (string | undefined)[],
  start: (address: string | undefined) => Promise<T>,
): Promise<T> {
  let failure: unknown;
  for (const address of addresses) {
    try {
      return await start(address);
    } catch (error) {
      if (!isForeignAddress(error)) throw error;
      failure = error;
    }
  }
  throw failure;
}
