import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmod, chown, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import pg from 'pg';
import { $ } from 'zx';
import { serverAccount } from '../src/verify/sandboxes/server-account.ts';
import { extractClientTools } from './client-tools.ts';
import { pullMissing } from './container-image.ts';

/** A PostgreSQL server that nobody else uses and that leaves nothing behind. */
export interface ThrowawayPostgres extends AsyncDisposable {
  /** How it came to be, for a person: `PostgreSQL 17.6 from /usr/lib/postgresql/17/bin`. */
  readonly description: string;
  /** Where jetbackup is to verify: in the way in which this server came to be. */
  readonly sandbox: Readonly<Record<string, string>>;
  /** The folder with pg_dump and pg_restore of its major. */
  readonly clientTools: string;
  /** A libpq URI of a superuser. */
  url(database: string): string;
}

const USER = 'postgres';

// Nothing here has to survive a crash of the machine; its data is deleted in the end.
const SETTINGS = ['fsync=off', 'full_page_writes=off', 'synchronous_commit=off', 'max_wal_size=4GB', 'log_min_messages=fatal'];
const settingArguments = SETTINGS.flatMap((setting) => ['-c', setting]);

/** Runs a server from programs of this machine, in a new folder below the system's temporary one. */
export async function startFromPrograms(bindir: string, signal: AbortSignal): Promise<ThrowawayPostgres> {
  const password = randomBytes(18).toString('hex');
  const owner = await serverAccount();
  const folder = await mkdtemp(path.join(tmpdir(), 'jetbackup-postgres-'));
  let server: ChildProcess | undefined;
  const dispose = async () => {
    if (server !== undefined) await stopServer(server);
    await rm(folder, { recursive: true, force: true, maxRetries: 3 });
  };
  try {
    const data = path.join(folder, 'data');
    const log = path.join(folder, 'log');
    const passwordFile = path.join(folder, 'password');
    await mkdir(data, { mode: 0o700 });
    await writeFile(passwordFile, `${password}\n`, { mode: 0o600 });
    await writeFile(log, '');
    if (owner !== undefined) for (const file of [folder, data, passwordFile, log]) await chown(file, owner.uid, owner.gid);
    await chmod(folder, 0o755);

    const asOwner = { ...(owner && { uid: owner.uid, gid: owner.gid }), cwd: folder, env: environmentOf(bindir) };
    const auth = ['--auth-local=scram-sha-256', '--auth-host=scram-sha-256', `--pwfile=${passwordFile}`];
    const locale = ['--encoding=UTF8', '--no-locale', '--no-sync'];
    const initdb = spawn(path.join(bindir, 'initdb'), [`--pgdata=${data}`, `--username=${USER}`, ...auth, ...locale], {
      ...asOwner,
      stdio: ['ignore', 'ignore', 'pipe'],
      detached: true,
    });
    await finished(initdb, 'initdb');
    await rm(passwordFile);
    signal.throwIfAborted();

    const port = await freePort();
    // Detached: Ctrl-C at the terminal reaches the demo alone, which then stops the server in order.
    server = spawn(
      path.join(bindir, 'postgres'),
      ['-D', data, '-p', String(port), '-c', 'listen_addresses=127.0.0.1', '-c', `unix_socket_directories=${folder}`, ...settingArguments],
      { ...asOwner, stdio: ['ignore', 'ignore', 'pipe'], detached: true },
    );
    let complaint = '';
    server.stderr?.setEncoding('utf8').on('data', (text: string) => {
      complaint = (complaint + text).slice(-2_000);
    });
    const connection = { host: '127.0.0.1', port, user: USER, password };
    const version = await whenReady(connection, () => (server?.exitCode == null ? undefined : complaint), signal);
    return {
      description: `PostgreSQL ${version} from ${bindir}`,
      sandbox: { JETBACKUP_SANDBOX: 'local' },
      clientTools: bindir,
      url: urlOf(connection),
      [Symbol.asyncDispose]: dispose,
    };
  } catch (error) {
    await dispose();
    throw error;
  }
}

/** Runs a server in a container, on a port of this machine's loopback address; its client programs come out of the image. */
export async function startInContainer(image: string, signal: AbortSignal): Promise<ThrowawayPostgres> {
  const password = randomBytes(18).toString('hex');
  const name = `jetbackup-demo-${randomBytes(6).toString('hex')}`;
  const run = $({ quiet: true, detached: true, env: { ...process.env, POSTGRES_PASSWORD: password } });
  const dispose = async () => {
    await run({ nothrow: true })`docker rm --force --volumes ${name}`;
  };
  try {
    const options = [
      '--detach',
      '--name',
      name,
      '--label',
      'dev.jetbackup.demo',
      '--publish',
      '127.0.0.1::5432',
      '--env',
      'POSTGRES_PASSWORD',
    ];
    await pullMissing(image, signal);
    signal.throwIfAborted();
    // Not with the signal: of a `docker run` that was stopped the engine may still make the container, after its removal found none.
    await run`docker run ${options} ${image} postgres ${settingArguments}`;
    signal.throwIfAborted();
    const published = (await run`docker port ${name} 5432/tcp`).stdout.trim().split('\n')[0] ?? '';
    const connection = { host: '127.0.0.1', port: Number(published.split(':').at(-1)), user: USER, password };
    const version = await whenReady(connection, () => undefined, signal);
    const tools = await extractClientTools(image, Number.parseInt(version, 10));
    return {
      description: `PostgreSQL ${version} in a container of ${image}`,
      sandbox: { JETBACKUP_SANDBOX: 'container', JETBACKUP_SANDBOX_IMAGE: image },
      clientTools: tools.directory,
      url: urlOf(connection),
      [Symbol.asyncDispose]: dispose,
    };
  } catch (error) {
    await dispose();
    throw error;
  }
}

interface Connection {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
}

const urlOf = (connection: Connection) => (database: string) =>
  `postgresql://${connection.user}:${connection.password}@${connection.host}:${connection.port}/${encodeURIComponent(database)}`;

/** The server's version once it answers. `gone` gives the server's last words when it has ended. */
async function whenReady(connection: Connection, gone: () => string | undefined, signal: AbortSignal): Promise<string> {
  let last: unknown;
  for (let attempt = 0; attempt < 300; attempt += 1) {
    signal.throwIfAborted();
    const words = gone();
    if (words !== undefined) throw new Error(`the throwaway server ended: ${words.trim()}`);
    const client = new pg.Client({ ...connection, database: 'postgres', connectionTimeoutMillis: 2_000 });
    client.on('error', () => {});
    try {
      await client.connect();
      const { rows } = await client.query<{ server_version: string }>('SHOW server_version');
      return rows[0]?.server_version.split(' ')[0] ?? '';
    } catch (error) {
      last = error;
      await new Promise((resolve) => setTimeout(resolve, 200));
    } finally {
      await client.end().catch(() => {});
    }
  }
  throw new Error('the throwaway server does not answer', { cause: last });
}

async function stopServer(server: ChildProcess): Promise<void> {
  if (server.exitCode !== null || server.signalCode !== null || server.pid === undefined) return;
  const gone = new Promise((resolve) => server.once('exit', resolve));
  server.kill('SIGINT'); // "fast": does not wait for its clients
  const impatient = setTimeout(() => server.kill('SIGQUIT'), 10_000);
  await gone;
  clearTimeout(impatient);
}

function environmentOf(bindir: string): Record<string, string> {
  return { PATH: `${bindir}:/usr/local/bin:/usr/bin:/bin`, LC_ALL: 'C', TZ: 'UTC' };
}

async function finished(child: ChildProcess, name: string): Promise<void> {
  let complaint = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    complaint = (complaint + text).slice(-2_000);
  });
  await new Promise<void>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => (code === 0 ? resolve() : reject(new Error(`${name} failed: ${complaint.trim()}`))));
  });
}

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve, reject) => probe.once('error', reject).listen(0, '127.0.0.1', resolve));
  const address = probe.address();
  await new Promise((resolve) => probe.close(resolve));
  if (address === null || typeof address === 'string') throw new TypeError('a TCP server has a port');
  return address.port;
}
