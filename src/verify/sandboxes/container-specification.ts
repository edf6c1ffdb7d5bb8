import { MiB } from '../../core/bytes.ts';
import { discreetLog } from '../profile.ts';
import type { Docker } from './container-engine.ts';
import type { Image } from './container-image.ts';
import type { Room } from './container-room.ts';

export interface ServerContainer {
  readonly name: string;
  readonly image: Image;
  readonly labels: Record<string, string>;
  readonly room: Room;
  readonly cpus: number | undefined;
  readonly superuser: string;
  readonly password: string;
  /** Of PostgreSQL. */
  readonly settings: Readonly<Record<string, string>>;
  /** Volume that holds the data where no memory does. */
  readonly volume: string;
  readonly network: string;
  /** Address of the engine's machine at which the server's port is published; undefined: it is reached at its own address. */
  readonly publishAt: string | undefined;
}

/** What `createContainer` of dockerode takes. */
type Specification = Parameters<Docker['createContainer']>[0];

/**
 * Outside of what any image declares as a volume: below one, the data of a 17 would land in a volume without a name or a label, and
 * 18 moved it (docker-library/postgres#1259).
 */
const MOUNT = '/var/lib/jetbackup-sandbox';

/** The official image's variables; the password is in no argument and no label. */
export function specificationOf(server: ServerContainer): Specification {
  const { room, image } = server;
  const ours = { listen_addresses: '*', port: '5432', logging_collector: 'off', log_destination: 'stderr', ...discreetLog };
  const settings = { ...server.settings, ...ours };
  return {
    name: server.name,
    Image: image.name,
    Labels: server.labels,
    Env: [
      `POSTGRES_USER=${server.superuser}`,
      `POSTGRES_PASSWORD=${server.password}`,
      // Otherwise a database named as the user would be made.
      'POSTGRES_DB=postgres',
      // What is restored gets the source's own encoding and locale; of these, English messages are what matters.
      'POSTGRES_INITDB_ARGS=--encoding=UTF8 --locale=C --no-sync',
      `PGDATA=${MOUNT}/data`,
    ],
    Cmd: ['postgres', ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])],
    ExposedPorts: { '5432/tcp': {} },
    HostConfig: {
      Memory: room.limitBytes,
      // The same number: no swap, where rows would outlive the container.
      MemorySwap: room.limitBytes,
      // Parallel queries pass rows through /dev/shm, of which a container has 64 MB (docs: 19.4.1 Shared Memory and Semaphores). A limit, counted as memory once used.
      ShmSize: Math.max(64 * MiB, Math.floor(room.serverBytes / 2)),
      ...(server.cpus === undefined ? {} : { NanoCpus: Math.round(server.cpus * 1e9) }),
      Tmpfs: { ...emptied(image), ...(room.tmpfsBytes === undefined ? {} : { [MOUNT]: `rw,size=${room.tmpfsBytes}` }) },
      ...(room.tmpfsBytes === undefined ? { Mounts: [{ Type: 'volume', Source: server.volume, Target: MOUNT }] } : {}),
      NetworkMode: server.network,
      // Names are no part of what it needs, and older engines ask the outside for them even from an internal network (CVE-2024-29018).
      Dns: ['127.0.0.1'],
      ...(server.publishAt === undefined ? {} : { PortBindings: { '5432/tcp': [{ HostIp: server.publishAt, HostPort: '' }] } }),
      SecurityOpt: ['no-new-privileges'],
      RestartPolicy: { Name: 'no' },
      // In a file that goes with the container: a log shipped elsewhere would carry rows away.
      LogConfig: { Type: 'json-file', Config: { 'max-size': '20m' } },
    },
  };
}

/** In place of each volume that the image would get without a name. Nothing is kept there. */
function emptied({ volumes }: Image): Record<string, string> {
  return Object.fromEntries(volumes.map((path) => [path, `rw,size=${16 * MiB}`]));
}
