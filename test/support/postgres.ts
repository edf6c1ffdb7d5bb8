import pg from 'pg';
import { GenericContainer, getContainerRuntimeClient, type StartedTestContainer, Wait } from 'testcontainers';

export type PostgresMajor = 15 | 17 | 18;

export interface PostgresOptions {
  /** The database that is made at the start and that every call without a `database` means. Default: `postgres`. */
  readonly database?: string;
  /** A whole image name. Default: JETBACKUP_TEST_POSTGRES_IMAGE with its `{major}` filled in, else `postgres:<major>`. */
  readonly image?: string;
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
// Awkward on purpose: whoever pastes it into a URL or a passfile without escaping finds out here.
const PASSWORD = 'p@ss:w/rd\\ %41';

/** All that the tests start carries this label, so that leftovers can be told from other people's containers. */
export const TEST_LABEL = 'dev.jetbackup.test';

export function postgresImage(major: PostgresMajor): string {
  return (process.env['JETBACKUP_TEST_POSTGRES_IMAGE'] ?? 'postgres:{major}').replaceAll('{major}', String(major));
}

/** A throwaway PostgreSQL server in a container. Ready when it returns; about 2 s. */
export async function startPostgres(major: PostgresMajor, options: PostgresOptions = {}): Promise<PostgresServer> {
  const defaultDatabase = options.database ?? 'postgres';
  let definition = new GenericContainer(options.image ?? postgresImage(major))
    .withLabels({ [TEST_LABEL]: 'postgres' })
    .withEnvironment({
      POSTGRES_USER: USER,
      POSTGRES_PASSWORD: PASSWORD,
      POSTGRES_DB: defaultDatabase,
      PGDATA: '/var/lib/postgresql/pgdata',
    })
    .withExposedPorts(5432)
    // Nothing here has to survive a crash of the machine, and waiting for disks is most of a small test's time.
    .withCommand([
      ...['postgres', '-c', 'fsync=off', '-c', 'full_page_writes=off', '-c', 'synchronous_commit=off'],
      ...(options.command ?? []),
    ])
    // By TCP: the official image first runs a server of its own on the socket alone, for its init scripts.
    .withWaitStrategy(Wait.forSuccessfulCommand(`pg_isready -q -h 127.0.0.1 -U ${USER}`))
    .withStartupTimeout(120_000);
  if (options.tmpfs === true) definition = definition.withTmpFs({ '/var/lib/postgresql': 'rw' });
  const container = await definition.start();

  const { host, port } = await addressOf(container);
  const connection = (database = defaultDatabase): PostgresConnection => ({ host, port, user: USER, password: PASSWORD, database });

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
    url: (database = defaultDatabase) =>
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
  if (host !== 'localhost') return { host, port: container.getMappedPort(5432) };
  const engine = await getContainerRuntimeClient();
  const { NetworkSettings: network } = await engine.container.dockerode.getContainer(container.getId()).inspect();
  const published = network.Ports['5432/tcp']?.find(({ HostIp }) => !HostIp.includes(':'));
  return { host: '127.0.0.1', port: published === undefined ? container.getMappedPort(5432) : Number(published.HostPort) };
}
