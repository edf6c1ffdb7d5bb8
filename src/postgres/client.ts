import { access, readFile } from 'node:fs/promises';
import { Socket } from 'node:net';
import { join } from 'node:path';
import type { ConnectionOptions as TlsOptions } from 'node:tls';
import { getCACertificates } from 'node:tls';
import pg from 'pg';
import { JetbackupError } from '../core/errors.ts';
import { codeOf, databaseError } from './database-errors.ts';
import { isSocket, resolveHosts } from './hosts.ts';
import { passwordFor } from './passfile.ts';
import { isMarked, isNamedProcess, MARK_OPTION, poolerError, refusesMark, refusesOptions } from './pooler.ts';
import type { ConnectionSettings, HostPort, SslSettings } from './settings.ts';

export interface ClientOptions {
  /** Shown in pg_stat_activity. */
  readonly applicationName: string;
  /** Ends the connection, also in the middle of a query. */
  readonly signal?: AbortSignal;
  /** Milliseconds; 0 (the default) waits for ever. */
  readonly lockTimeoutMs?: number;
  /** SET ROLE to it after connecting. */
  readonly role?: string;
}

export interface Connected {
  readonly client: pg.Client;
  /** The same settings, nailed to the server that answered: a name may stand for several. */
  readonly settings: ConnectionSettings;
}

/**
 * One connection, as libpq would make it: hosts in order, sslmode with libpq's meaning. No timeout of the server
 * or role cuts it short, `search_path` is empty, so that nobody's function in `public` runs in our name, and a
 * connection that breaks later fails its queries rather than the process. Throws `database-unreachable`,
 * `database-denied` (also where a pooler is in between, see pooler.ts), `config-invalid`, or the signal's reason.
 */
export async function openClient(settings: ConnectionSettings, options: ClientOptions): Promise<pg.Client> {
  return (await connect(settings, options)).client;
}

export async function connect(settings: ConnectionSettings, options: ClientOptions): Promise<Connected> {
  let failure: unknown = new JetbackupError('database-unreachable', 'no host to connect to');
  for (const host of await resolveHosts(settings)) {
    for (const encrypted of attempts(settings.ssl, host)) {
      options.signal?.throwIfAborted();
      try {
        return await attempt(settings, host, encrypted, options);
      } catch (error) {
        options.signal?.throwIfAborted();
        const at = { ...settings, hosts: [host] };
        failure = refusesOptions(error) ? poolerError(at, error) : databaseError(error, at, 'database-unreachable');
        // What we object to ourselves is no better with the other kind of connection.
        if (error instanceof JetbackupError || refusesOptions(error)) break;
        // A refused port or password is refused with the other kind of connection too.
        const code = codeOf(error);
        if (code !== undefined && /^(E[A-Z]+|28P01|3D000|53300|57P0.)$/.test(code)) break;
      }
    }
  }
  throw failure;
}

function attempts({ mode }: SslSettings, host: HostPort): boolean[] {
  if (isSocket(host) || mode === 'disable') return [false];
  if (mode === 'allow') return [false, true];
  return mode === 'prefer' ? [true, false] : [true];
}

async function attempt(settings: ConnectionSettings, host: HostPort, encrypted: boolean, options: ClientOptions): Promise<Connected> {
  const opened = await sessionOf(settings, host, encrypted, options);
  try {
    await prepareSession(opened.client, options);
    await assertAttributes(opened.client, settings, host);
  } catch (error) {
    opened.socket.destroy();
    throw error;
  }
  const address = opened.socket.remoteAddress;
  const pinned = isSocket(host) || address === undefined ? host : { ...host, hostaddr: address };
  return { client: opened.client, settings: { ...settings, hosts: [pinned] } };
}

interface Opened {
  readonly client: pg.Client;
  readonly socket: Socket;
}

/** A connection whose session is ours alone, in which nothing has been set yet. */
async function sessionOf(settings: ConnectionSettings, host: HostPort, encrypted: boolean, options: ClientOptions): Promise<Opened> {
  const opened = await open(settings, host, encrypted, options, isNamedProcess);
  if (opened !== undefined) return opened;
  const marked = { ...settings, options: [settings.options, MARK_OPTION].filter((part) => part !== undefined).join(' ') };
  const again = await open(marked, host, encrypted, options, isMarked).catch((error: unknown) => {
    if (refusesMark(error)) return undefined;
    throw error;
  });
  if (again === undefined) throw poolerError({ ...settings, hosts: [host] });
  return again;
}

/** Undefined, and closed, where `isOurs` denies it. */
async function open(
  settings: ConnectionSettings,
  host: HostPort,
  encrypted: boolean,
  options: ClientOptions,
  isOurs: (client: pg.Client) => Promise<boolean>,
): Promise<Opened | undefined> {
  const password = await passwordFor(settings, host);
  const ssl = encrypted ? await tlsOptions(settings, host) : false;
  const socket = new Socket();
  const client = new pg.Client({
    host: host.hostaddr ?? host.host,
    port: host.port,
    user: settings.user,
    database: settings.database,
    // A function, so that `pg` looks into neither PGPASSWORD nor a passfile of its own choice.
    password: () => password?.reveal() ?? '',
    application_name: options.applicationName,
    ssl,
    connectionTimeoutMillis: settings.connectTimeoutSeconds * 1000,
    keepAlive: true,
    keepAliveInitialDelayMillis: 30_000,
    stream: () => socket,
    enableChannelBinding: settings.libpqOnly['PGCHANNELBINDING'] === 'require',
    sslnegotiation: encrypted ? (settings.ssl.negotiation ?? 'postgres') : 'postgres',
    ...(settings.options === undefined ? {} : { options: settings.options }),
  });
  // The query under way, or the next one, reports a broken connection; unheard, this event would end the process.
  client.on('error', () => {});
  const onAbort = () => socket.destroy();
  options.signal?.addEventListener('abort', onAbort, { once: true });
  client.once('end', () => options.signal?.removeEventListener('abort', onAbort));
  try {
    await client.connect();
    if (await isOurs(client)) return { client, socket };
    await client.end();
    return undefined;
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

async function prepareSession(client: pg.Client, options: ClientOptions): Promise<void> {
  const wanted: [string, string][] = [
    ['search_path', ''],
    ['statement_timeout', '0'],
    ['lock_timeout', String(options.lockTimeoutMs ?? 0)],
    ['idle_in_transaction_session_timeout', '0'],
    ['idle_session_timeout', '0'],
    ['transaction_timeout', '0'],
  ];
  // Which of them exist depends on the major; a pooler in between may know the server's name for none of it.
  await client.query(
    `SELECT pg_catalog.set_config(w.name, w.value, false)
       FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.text[]), pg_catalog.unnest($2::pg_catalog.text[])) AS w (name, value)
      WHERE EXISTS (SELECT FROM pg_catalog.pg_settings s WHERE s.name OPERATOR(pg_catalog.=) w.name)`,
    [wanted.map(([name]) => name), wanted.map(([, value]) => value)],
  );
  // So that the server stops a long query soon after we are gone (PostgreSQL 14; not on every platform).
  await client.query("SET client_connection_check_interval = '5s'").catch(() => {});
  if (options.role !== undefined) await client.query(`SET ROLE ${pg.escapeIdentifier(options.role)}`);
}

async function assertAttributes(client: pg.Client, settings: ConnectionSettings, host: HostPort): Promise<void> {
  const wanted = settings.targetSessionAttributes;
  if (wanted === 'any' || wanted === 'prefer-standby') return;
  const { rows } = await client.query<{ standby: boolean; readonly: boolean }>(
    "SELECT pg_is_in_recovery() AS standby, current_setting('transaction_read_only')::bool AS readonly",
  );
  const row = rows[0];
  const fits = {
    'read-write': row?.readonly === false,
    'read-only': row?.readonly === true,
    primary: row?.standby === false,
    standby: row?.standby === true,
  };
  if (!fits[wanted])
    throw new JetbackupError('database-unreachable', `${host.host}:${host.port} is not ${wanted}, which target_session_attrs asks for`);
}

/** libpq's sslmode in terms of Node's TLS (libpq, section "SSL Support"). */
async function tlsOptions({ ssl, home }: ConnectionSettings, host: HostPort): Promise<TlsOptions> {
  const ofHome = async (name: string) => {
    if (home === undefined) return undefined;
    const path = join(home, '.postgresql', name);
    return await access(path).then(
      () => path,
      () => undefined,
    );
  };
  const read = async (path: string) => {
    try {
      return await readFile(path);
    } catch (cause) {
      throw new JetbackupError('config-invalid', `cannot read ${path}, which the connection names`, { cause });
    }
  };
  const rootCert = ssl.rootCert ?? (await ofHome('root.crt'));
  const certPath = ssl.cert ?? (await ofHome('postgresql.crt'));
  const keyPath = ssl.key ?? (await ofHome('postgresql.key'));
  const strict = ssl.mode === 'verify-ca' || ssl.mode === 'verify-full';
  if (strict && rootCert === undefined) {
    throw new JetbackupError('config-invalid', `sslmode=${ssl.mode} needs a root certificate, and there is none`, {
      hint: 'Set sslrootcert (PGSSLROOTCERT) to a file, or to "system" for the authorities that the machine trusts.',
    });
  }
  const ca = rootCert === undefined ? undefined : rootCert === 'system' ? getCACertificates('system') : await read(rootCert);
  return {
    // `require` and even `prefer` verify the chain where there is a root certificate: libpq's rule.
    rejectUnauthorized: ca !== undefined,
    ...(ca === undefined ? {} : { ca }),
    ...(ssl.mode === 'verify-full' ? {} : { checkServerIdentity: () => undefined }),
    ...(certPath === undefined ? {} : { cert: await read(certPath) }),
    ...(certPath === undefined || keyPath === undefined ? {} : { key: await read(keyPath) }),
    ...(ssl.keyPassword === undefined ? {} : { passphrase: ssl.keyPassword.reveal() }),
    // Where the address is nailed down, the certificate is still the name's.
    ...(host.hostaddr === undefined || host.hostaddr === host.host ? {} : { host: host.host, servername: host.host }),
  };
}
