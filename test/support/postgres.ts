import { createHash } from 'node:crypto';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { GenericContainer, getContainerRuntimeClient, ImageName, type StartedTestContainer, Wait } from 'testcontainers';

export type PostgresMajor = 15 | 17 | 18;

export interface PostgresOptions {
  /** Server settings as command arguments, in front of which `fsync=off` and its like are put. */
  readonly command?: readonly string[];
  /** Data in memory. Such a server is empty again after a restart. */
  readonly tmpfs?: boolean;
}

export type Row = Record<string, unknown>;

/** What `pg` and this project's own adapters take to connect. */
export interface PostgresConnection {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly database: string;
}

export interface PostgresServer extends AsyncDisposable {
  readonly major: PostgresMajor;
  readonly host: string;
  readonly port: number;
  /** A superuser. */
  readonly user: string;
  readonly password: string;
  readonly containerId: string;
  connection(database?: string): PostgresConnection;
  /** A libpq URI; everything in it is percent-encoded where it has to be. */
  url(database?: string): string;
  /** One round on a connection of its own. Several statements in one text return the rows of the last. */
  query(sql: string, database?: string): Promise<Row[]>;
  /** Runs a command in the container as root; never throws for its exit status. */
  exec(command: readonly string[]): Promise<{ readonly exitCode: number; readonly output: string }>;
  /** Puts what is in a folder of this machine into one of the container. */
  copyInto(folder: string, target: string): Promise<void>;
  /** Kills the server and removes its container and volumes. */
  stop(): Promise<void>;
}

const USER = 'postgres';
/** Every call without a `database` means this one. */
const DATABASE = 'postgres';
const PORT = 5432;
// Awkward on purpose: whoever pastes it into a URL or a passfile without escaping finds out here.
const PASSWORD = 'p@ss:w/rd\\ %41';

/** All that the tests start carries this label, so that leftovers can be told from other people's containers. */
export const TEST_LABEL = 'dev.jetbackup.test';

/** JETBACKUP_TEST_POSTGRES_IMAGE with its `{major}` filled in, else `postgres:<major>`. */
export function postgresImage(major: PostgresMajor): string {
  return (process.env['JETBACKUP_TEST_POSTGRES_IMAGE'] ?? 'postgres:{major}').replaceAll('{major}', String(major));
}

// Below no folder that an official image declares a volume: what is in a volume does not go into an image.
const DATA_FOLDER = '/var/lib/jetbackup-test/pgdata';

// Nothing here has to survive a crash of the machine, and waiting for disks is most of a small test's time.
const SETTINGS = ['-c', 'fsync=off', '-c', 'full_page_writes=off', '-c', 'synchronous_commit=off'];

function definitionOf(image: string, command: readonly string[] = []): GenericContainer {
  return (
    new GenericContainer(image)
      .withLabels({ [TEST_LABEL]: 'postgres' })
      .withEnvironment({ POSTGRES_USER: USER, POSTGRES_PASSWORD: PASSWORD, PGDATA: DATA_FOLDER })
      .withExposedPorts(PORT)
      .withCommand(['postgres', ...SETTINGS, ...command])
      // Said for the first time by the server that an official image runs for its init scripts; `whenReady` waits for the last.
      .withWaitStrategy(Wait.forLogMessage(/ready to accept connections/))
      .withStartupTimeout(120_000)
  );
}

/**
 * An image like `image` in which initdb has run, which is most of what a server's start costs. It stays on this machine for later
 * runs (README.md says how to remove it).
 */
async function preparedImage(image: string): Promise<string> {
  const client = await getContainerRuntimeClient();
  const source = ImageName.fromString(image);
  if (!(await client.image.exists(source))) await client.image.pull(source);
  const { Id } = await client.image.inspect(source);
  // Named by what it is made of: a newer image, or another recipe, is another one.
  const recipe = createHash('sha256').update([Id, USER, PASSWORD, DATA_FOLDER].join('\n')).digest('hex').slice(0, 16);
  const prepared = new ImageName(undefined, 'jetbackup-test-prepared', recipe);
  if (await client.image.exists(prepared)) return prepared.string;

  const container = await definitionOf(image).start();
  const handle = client.container.getById(container.getId());
  try {
    await whenReady(await addressOf(container));
    await handle.stop({ t: 30 });
    await container.commit({ repo: prepared.image, tag: prepared.tag, deleteOnExit: false });
    return prepared.string;
  } finally {
    await handle.remove({ force: true, v: true });
  }
}

async function whenReady(address: { host: string; port: number }): Promise<void> {
  const until = performance.now() + 60_000;
  for (;;) {
    const client = new pg.Client({ ...address, user: USER, password: PASSWORD, database: DATABASE, connectionTimeoutMillis: 5_000 });
    client.on('error', () => {});
    try {
      await client.connect();
      return;
    } catch (error) {
      if (performance.now() > until) throw error;
      await delay(50);
    } finally {
      await client.end();
    }
  }
}

/** A throwaway PostgreSQL server in a container. Ready when it returns; about a second. */
export async function startPostgres(major: PostgresMajor, options: PostgresOptions = {}): Promise<PostgresServer> {
  // Such a server is to begin with an empty folder.
  const image = options.tmpfs === true ? postgresImage(major) : await preparedImage(postgresImage(major));
  let definition = definitionOf(image, options.command);
  if (options.tmpfs === true) definition = definition.withTmpFs({ [dirname(DATA_FOLDER)]: 'rw' });
  const container = await definition.start();
  const { host, port } = await addressOf(container);
  await whenReady({ host, port });
  const connection = (database = DATABASE): PostgresConnection => ({ host, port, user: USER, password: PASSWORD, database });

  const stop = async () => {
    await container.stop({ timeout: 0, remove: true, removeVolumes: true });
  };

  return {
    major,
    host,
    port,
    user: USER,
    password: PASSWORD,
    containerId: container.getId(),
    connection,
    url: (database = DATABASE) =>
      `postgresql://${encodeURIComponent(USER)}:${encodeURIComponent(PASSWORD)}@${host}:${port}/${encodeURIComponent(database)}`,
    async query(sql, database) {
      const client = new pg.Client(connection(database));
      await client.connect();
      try {
        const result: pg.QueryResult<Row> | pg.QueryResult<Row>[] = await client.query<Row>(sql);
        return (Array.isArray(result) ? result.at(-1) : result)?.rows ?? [];
      } finally {
        await client.end();
      }
    },
    async exec(command) {
      const { exitCode, output } = await container.exec([...command]);
      return { exitCode, output };
    },
    copyInto: (source, target) => container.copyDirectoriesToContainer([{ source, target }]),
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

/**
 * An engine may publish a port under one number for IPv4 and another for IPv6; whoever says `localhost` can then end up
 * at somebody else's container. So a local engine's port is told for 127.0.0.1.
 */
async function addressOf(container: StartedTestContainer): Promise<{ host: string; port: number }> {
  const host = container.getHost();
  if (host !== 'localhost') return { host, port: container.getMappedPort(PORT) };
  const engine = await getContainerRuntimeClient();
  const { NetworkSettings: network } = await engine.container.dockerode.getContainer(container.getId()).inspect();
  const published = network.Ports[`${PORT}/tcp`]?.find(({ HostIp }) => !HostIp.includes(':'));
  return { host: '127.0.0.1', port: published === undefined ? container.getMappedPort(PORT) : Number(published.HostPort) };
}
