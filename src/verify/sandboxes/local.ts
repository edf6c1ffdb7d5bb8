import { randomBytes } from 'node:crypto';
import { JetbackupError, messageOf } from '../../core/errors.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Service, ServiceRunner } from '../../platform/services.ts';
import { type ConnectionSettings, hidden } from '../../postgres/connection.ts';
import { findServerPrograms, versionOf } from '../../postgres/server-programs.ts';
import { serverSettings, walBytes } from '../profile.ts';
import type { Sandbox, SandboxProvider, SandboxRequest } from '../sandbox.ts';
import type { SandboxLedger } from './ledger.ts';
import { type Cluster, configurationOf, dataOf, makeCluster, serverEnvironment } from './local-cluster.ts';
import {
  type DirectoryDeps,
  findLeftovers,
  makeSandboxDirectory,
  removeSandboxDirectory,
  SOCKET_PORT,
  socketsOf,
} from './local-directory.ts';
import { fullDisk, requireRoom } from './local-room.ts';
import { serverAccount } from './server-account.ts';
import { type ServerLog, serverLog } from './server-log.ts';
import { silenceOf } from './silence.ts';
import { superuserName } from './superuser.ts';

export interface LocalSandboxOptions {
  /** Where a sandbox's own directory is made. Default: TMPDIR, else /var/tmp, which unlike /tmp is on disk. */
  readonly directory?: string | undefined;
  /** Of PostgreSQL, before those of the profile. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Memory that the server may use, in bytes. Default: half of what this machine, or the limit that we run under, has left. */
  readonly memoryBytes?: number | undefined;
  /** Where server programs are looked for first. */
  readonly bindir?: string | undefined;
}

export interface LocalSandboxDeps extends DirectoryDeps {
  readonly services: ServiceRunner;
  readonly ledger: SandboxLedger;
}

/** Unlike /tmp it is on disk. */
const DEFAULT_PARENT = '/var/tmp';

/** ms until a new, empty server answers. It takes less than one second; a machine may be busy. */
const READY_MS = 60_000;
const POLL_MS = 50;
/** ms between the last that a client hears of a server and its end. */
const ENDING_MS = 2_000;
/** ms between the last that a client hears of its own server process and the server's word about the end of that one. */
const NOTICING_MS = 500;
/** ms for an immediate shutdown; the postmaster kills children of its own after 5 s (postmaster.c, SIGKILL_CHILDREN_AFTER_SECS). */
const STOP_GRACE_MS = 10_000;

/**
 * Clusters that are made for one verification with this machine's own server programs and thrown away, reachable through a socket in
 * a directory of their own and with a password that is made up. Run by root, the server and its files are another account's:
 * {@link serverAccount}. Else they are ours, and what is restored can do what we can.
 */
export function localSandboxes(options: LocalSandboxOptions, deps: LocalSandboxDeps): SandboxProvider {
  const { TMPDIR } = deps.env;
  const parent = options.directory ?? TMPDIR ?? DEFAULT_PARENT;
  // Where an earlier run may have made one, before the configuration said otherwise.
  const others = [TMPDIR ?? '', DEFAULT_PARENT].filter((other) => other !== '' && other !== parent);
  const { directories: left } = deps.ledger;
  const remove = async (directory: string): Promise<number> => {
    try {
      const ended = await removeSandboxDirectory(directory, deps);
      left.delete(directory);
      return ended;
    } catch (error) {
      // Its name says that it is needed, since we live.
      left.add(directory);
      throw error;
    }
  };

  return {
    kind: 'local',

    /** The programs are there, or are for somebody to install. */
    async fetch() {},

    async start(request, signal) {
      const { env, processes } = deps;
      const bindir = options.bindir === undefined ? {} : { directory: options.bindir };
      const programs = await findServerPrograms(deps, { major: request.major, ...bindir }, signal);
      const room = { memoryBytes: options.memoryBytes ?? process.availableMemory() / 2 };
      await requireRoom(parent, { databaseBytes: request.source.sizeBytes, walBytes: walBytes(request.profile, room) });
      const account = await serverAccount();
      signal.throwIfAborted();
      const directory = await makeSandboxDirectory(parent, account, deps);
      let service: Service | undefined;
      try {
        const cluster: Cluster = { directory, account, programs, env: serverEnvironment(env) };
        const password = randomBytes(24).toString('base64url');
        const settings = serverSettings(request.profile, options.settings ?? {}, room);
        const superuser = superuserName(request.superuser);
        await makeCluster(processes, cluster, { superuser, password, settings }, signal);
        const log = serverLog();
        service = await startServer(deps.services, cluster, log, signal);
        const reachable = socketSettings(directory, superuser, password);
        await whenReady(reachable, service, deps, signal);
        const description = `PostgreSQL ${versionOf(programs)} of this machine (${programs.directory})`;
        return sandboxOf({ request, directory, service, log, description, settings: reachable, clock: deps.clock, remove });
      } catch (error) {
        await service?.stop();
        // What cannot be removed now, the next sweep tries; why there is no sandbox matters more.
        await remove(directory).catch(() => {});
        signal.throwIfAborted();
        throw asUnavailable(error);
      }
    },

    async sweep(signal) {
      signal.throwIfAborted();
      const removed: string[] = [];
      const found = await findLeftovers(parent, deps);
      for (const other of new Set(others)) found.push(...(await findLeftovers(other, deps).catch(() => [])));
      for (const directory of new Set([...left, ...found])) {
        signal.throwIfAborted();
        try {
          const ended = await remove(directory);
          removed.push(`the local sandbox ${directory}${ended === 0 ? '' : ' and the server that ran in it'}`);
        } catch {
          // It stays for the next time: the runs that it is in the way of say so themselves.
        }
      }
      return removed;
    },
  };
}

async function startServer(services: ServiceRunner, cluster: Cluster, log: ServerLog, signal: AbortSignal): Promise<Service> {
  signal.throwIfAborted();
  const { programs, env, directory, account } = cluster;
  return await services.start({
    ...{ program: programs.postgres, args: ['-D', dataOf(cluster), `--config_file=${configurationOf(cluster)}`], env, directory },
    ...(account === undefined ? {} : { account }),
    onStderr: log.add,
    // "Immediate": a checkpoint of what is thrown away would only cost time. Server processes and shared memory go all the same.
    stop: { signal: 'SIGQUIT', graceMs: STOP_GRACE_MS },
  });
}

function socketSettings(directory: string, user: string, password: string): ConnectionSettings {
  return {
    hosts: [{ host: socketsOf(directory), port: SOCKET_PORT }],
    ...{ port: SOCKET_PORT, user, database: 'postgres', password: hidden(password), ssl: { mode: 'disable' } },
    ...{ connectTimeoutSeconds: 15, targetSessionAttributes: 'any', libpqOnly: {} },
  };
}

async function whenReady(
  settings: ConnectionSettings,
  service: Service,
  { clock }: Pick<LocalSandboxDeps, 'clock'>,
  signal: AbortSignal,
): Promise<void> {
  const until = clock.monotonicMs() + READY_MS;
  for (;;) {
    if (service.end() !== undefined) throw await startFailed(service);
    const silence = await silenceOf(settings, signal);
    if (silence === undefined) return;
    if (clock.monotonicMs() > until) {
      throw new JetbackupError('sandbox-unavailable', `the server of the sandbox does not answer: ${silence}`, {
        hint: 'Is the machine very busy? Try again, or verify in a container: --sandbox container.',
      });
    }
    await clock.sleep(POLL_MS, signal);
  }
}

async function startFailed(service: Service): Promise<JetbackupError> {
  const { how, lastWords } = await service.ended;
  const said = lastWords.split('\n').slice(-4).join('\n');
  const isSetting = /configuration parameter|invalid value for parameter|configuration file/.test(said);
  return new JetbackupError('sandbox-unavailable', `the server of the sandbox ${how} at its start: ${said}`, {
    hint: isSetting
      ? 'Correct verify.settings.'
      : 'These are the words of the server; what it asks for may stand in verify.settings. Or verify in a container: --sandbox container.',
  });
}

/** A program that vanished, a directory that was taken away: whatever went wrong here, there is no sandbox. */
function asUnavailable(error: unknown): unknown {
  if (error instanceof JetbackupError && error.code === 'sandbox-unavailable') return error;
  return new JetbackupError('sandbox-unavailable', `no server could be started on this machine: ${messageOf(error)}`, {
    cause: error,
    hint: 'Verify in a container: --sandbox container.',
  });
}

function sandboxOf(made: {
  readonly request: SandboxRequest;
  readonly directory: string;
  readonly service: Service;
  readonly log: ServerLog;
  readonly description: string;
  readonly settings: ConnectionSettings;
  readonly clock: Clock;
  readonly remove: (directory: string) => Promise<number>;
}): Sandbox {
  const { request, directory, service, log, description, settings, clock } = made;
  let disposal: Promise<void> | undefined;
  const dispose = async () => {
    await service.stop();
    await made.remove(directory);
  };
  return {
    ...{ kind: 'local', description, profile: request.profile, isOurs: true, settings },
    async trouble(signal) {
      const said = () => {
        const symptom = log.symptom();
        return symptom === undefined ? undefined : `the server said: ${symptom}`;
      };
      const atOnce = said();
      if (atOnce !== undefined) return atOnce;
      const full = await fullDisk(directory).catch((error: unknown) => `its directory is gone: ${messageOf(error)}`);
      if (full !== undefined) return full;
      const silence = await silenceOf(settings, signal);
      if (silence === undefined) {
        // It answers still. Whoever takes that for good blames the backup.
        await clock.sleep(NOTICING_MS, signal);
        return said();
      }
      // A client hears of the end before we do.
      const hurry = new AbortController();
      await Promise.race([service.ended, clock.sleep(ENDING_MS, hurry.signal).catch(() => {})]);
      hurry.abort();
      const end = service.end();
      if (end === undefined) return `its server does not answer: ${silence}`;
      const word = log.symptom() ?? log.lastWord();
      return `its server ${end.how}${word === undefined ? '' : `: ${word}`}`;
    },
    async [Symbol.asyncDispose]() {
      disposal ??= dispose();
      try {
        await disposal;
      } catch (error) {
        disposal = undefined;
        throw error;
      }
    },
  };
}
