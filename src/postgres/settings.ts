import { JetbackupError } from '../core/errors.ts';
import { ConnectionStringError, type Keywords, parseConnectionString } from './connection-string.ts';
import { type Hidden, hidden } from './hidden.ts';

export const sslModes = ['disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full'] as const;
export type SslMode = (typeof sslModes)[number];

export const sessionAttributes = ['any', 'read-write', 'read-only', 'primary', 'standby', 'prefer-standby'] as const;
export type SessionAttributes = (typeof sessionAttributes)[number];

export interface HostPort {
  /** Name, address, or the directory of a Unix socket (starts with `/`, or with `@` for an abstract one). */
  readonly host: string;
  /** The address that the name stood for when we pinned it: a name may lead to several servers. */
  readonly hostaddr?: string;
  readonly port: number;
}

export interface SslSettings {
  readonly mode: SslMode;
  /** Paths; `rootCert` may be `system`. Undefined: libpq's own files below `~/.postgresql`. */
  readonly rootCert?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly keyPassword?: Hidden;
  readonly negotiation?: 'postgres' | 'direct';
}

/** How to reach one database, as libpq and our own client both understand it. */
export interface ConnectionSettings {
  /** Tried in order. Empty: libpq's default, the server on this machine. */
  readonly hosts: readonly HostPort[];
  /** The port to use with the default host. */
  readonly port: number;
  readonly user: string;
  readonly database: string;
  readonly password?: Hidden;
  /** Where to look the password up when there is none: `PGPASSFILE`, or `~/.pgpass`. */
  readonly passfile?: string;
  /** Home of the user, where libpq looks for certificates (`.postgresql`). */
  readonly home?: string;
  readonly ssl: SslSettings;
  readonly connectTimeoutSeconds: number;
  readonly targetSessionAttributes: SessionAttributes;
  /** Options for the server at connection start, e.g. `-c geqo=off`. */
  readonly options?: string;
  /** What only libpq understands, by the name of its environment variable (PGGSSENCMODE, ...): handed to the client tools as it is. */
  readonly libpqOnly: Readonly<Record<string, string>>;
}

/** libpq waits without end by default; a nightly job must not. */
const CONNECT_TIMEOUT_SECONDS = 15;

const environmentVariables: Readonly<Record<string, string>> = {
  PGHOST: 'host',
  PGHOSTADDR: 'hostaddr',
  PGPORT: 'port',
  PGDATABASE: 'dbname',
  PGUSER: 'user',
  PGPASSWORD: 'password',
  PGPASSFILE: 'passfile',
  PGSERVICE: 'service',
  PGOPTIONS: 'options',
  PGSSLMODE: 'sslmode',
  PGSSLROOTCERT: 'sslrootcert',
  PGSSLCERT: 'sslcert',
  PGSSLKEY: 'sslkey',
  PGSSLNEGOTIATION: 'sslnegotiation',
  PGCONNECT_TIMEOUT: 'connect_timeout',
  PGTARGETSESSIONATTRS: 'target_session_attrs',
};

/** Keywords that our own client has no part in. */
const libpqOnly: Readonly<Record<string, string>> = {
  channel_binding: 'PGCHANNELBINDING',
  gssencmode: 'PGGSSENCMODE',
  krbsrvname: 'PGKRBSRVNAME',
  gsslib: 'PGGSSLIB',
  gssdelegation: 'PGGSSDELEGATION',
  requirepeer: 'PGREQUIREPEER',
  require_auth: 'PGREQUIREAUTH',
  sslcrl: 'PGSSLCRL',
  sslcrldir: 'PGSSLCRLDIR',
  sslcertmode: 'PGSSLCERTMODE',
  sslsni: 'PGSSLSNI',
  ssl_min_protocol_version: 'PGSSLMINPROTOCOLVERSION',
  ssl_max_protocol_version: 'PGSSLMAXPROTOCOLVERSION',
  min_protocol_version: 'PGMINPROTOCOLVERSION',
  max_protocol_version: 'PGMAXPROTOCOLVERSION',
};

const understood = new Set([...Object.values(environmentVariables), 'sslpassword', ...Object.keys(libpqOnly)]);

/**
 * What applications put into DATABASE_URL for their own driver (Prisma, node-postgres, JDBC), and what we set
 * ourselves. It says nothing about which database is meant, so it is passed over; any other unknown word is an
 * error, because a mistyped `sslmode` would silently weaken the connection.
 */
const passedOver = new Set([
  'application_name',
  'client_encoding',
  'connection_limit',
  'fallback_application_name',
  'keepalives',
  'keepalives_count',
  'keepalives_idle',
  'keepalives_interval',
  'load_balance_hosts',
  'pgbouncer',
  'pool_timeout',
  'schema',
  'socket_timeout',
  'statement_cache_size',
  'tcp_user_timeout',
  'uselibpqcompat',
]);

function invalid(message: string, hint?: string): JetbackupError {
  return new JetbackupError('config-invalid', message, hint === undefined ? {} : { hint });
}

/**
 * Reads where the database is: `url` (a URI or a keyword string), completed from libpq's variables in `env`,
 * completed from libpq's defaults. Looks at no file and no network. Throws `config-invalid`; no message shows
 * the URL or a password.
 */
export function parseConnection(source: {
  readonly url?: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}): ConnectionSettings {
  const keywords = readKeywords(source.url, source.env);
  if (keywords.has('service')) {
    throw invalid(
      'service files are not supported (PGSERVICE, or service= in the connection string)',
      'Give the connection as a URL or by PGHOST, PGPORT, PGUSER and PGDATABASE.',
    );
  }
  const { env } = source;
  const user = keywords.get('user') ?? env['USER'] ?? env['LOGNAME'];
  if (user === undefined || user === '')
    throw invalid('the connection names no user', 'Write it into the URL (postgres://user@host/database) or set PGUSER.');
  const password = keywords.get('password');
  if (password !== undefined && /[\r\n]/.test(password))
    throw invalid('the database password contains a line break', 'Is there a stray newline at its end?');
  const hosts = hostsOf(keywords);
  const passfile = keywords.get('passfile') ?? (env['HOME'] === undefined ? undefined : `${env['HOME']}/.pgpass`);
  const options = keywords.get('options');
  const others = Object.entries(libpqOnly).flatMap(([keyword, variable]) => {
    const value = keywords.get(keyword);
    return value === undefined ? [] : [[variable, value] as const];
  });
  return {
    hosts,
    port: portOf(keywords.get('port')?.split(',')[0]),
    user,
    database: keywords.get('dbname') ?? user,
    ...(password === undefined ? {} : { password: hidden(password) }),
    ...(passfile === undefined ? {} : { passfile }),
    ...(env['HOME'] === undefined ? {} : { home: env['HOME'] }),
    ssl: sslOf(keywords),
    connectTimeoutSeconds: timeoutOf(keywords.get('connect_timeout')),
    targetSessionAttributes: oneOf(sessionAttributes, 'target_session_attrs', keywords.get('target_session_attrs') ?? 'any'),
    ...(options === undefined ? {} : { options }),
    libpqOnly: Object.fromEntries(others),
  };
}

function readKeywords(url: string | undefined, env: Readonly<Record<string, string | undefined>>): Keywords {
  let given: Keywords = new Map();
  if (url !== undefined && url.trim() !== '') {
    try {
      given = parseConnectionString(url);
    } catch (error) {
      if (!(error instanceof ConnectionStringError)) throw error;
      throw invalid(`the database connection string ${error.message}`, 'It looks like postgres://user:password@host:5432/database.');
    }
  }
  for (const [keyword, value] of given) {
    if (keyword === 'ssl' || keyword === 'sslaccept') {
      // JDBC's and Prisma's spellings.
      if (!given.has('sslmode'))
        given.set('sslmode', value === 'strict' ? 'verify-full' : value === 'false' || value === '0' ? 'disable' : 'require');
      given.delete(keyword);
    } else if (keyword === 'pgbouncer' && value !== 'false') {
      throw invalid(
        'the database connection string says pgbouncer=true, and a dump needs a session with the server itself',
        "Give the server's direct address (port 5432 as a rule, PgBouncer's is 6432), and leave pgbouncer=true out.",
      );
    } else if (passedOver.has(keyword)) {
      given.delete(keyword);
    } else if (!understood.has(keyword)) {
      throw invalid(
        `the database connection string has an unknown parameter "${keyword}"`,
        'See "Parameter Key Words" in the documentation of libpq.',
      );
    }
  }
  const keywords: Keywords = new Map();
  const fromEnvironment = [
    ...Object.entries(environmentVariables),
    ...Object.entries(libpqOnly).map(([keyword, variable]) => [variable, keyword] as const),
  ];
  for (const [variable, keyword] of fromEnvironment) {
    const value = env[variable];
    if (value !== undefined && value !== '') keywords.set(keyword, value);
  }
  // A host of the URL must not be paired with the address or the list of ports of another one.
  if (given.has('host') || given.has('hostaddr')) for (const keyword of ['host', 'hostaddr', 'port']) keywords.delete(keyword);
  for (const [keyword, value] of given) keywords.set(keyword, value);
  return keywords;
}

function hostsOf(keywords: Keywords): HostPort[] {
  const names = keywords.get('host')?.split(',');
  const addresses = keywords.get('hostaddr')?.split(',');
  const ports = keywords.get('port')?.split(',') ?? [];
  const count = names?.length ?? addresses?.length ?? 0;
  if (names !== undefined && addresses !== undefined && names.length !== addresses.length) {
    throw invalid('the connection names not as many addresses (hostaddr) as hosts');
  }
  if (ports.length > 1 && ports.length !== count) throw invalid('the connection names not as many ports as hosts');
  return Array.from({ length: count }, (_, index) => {
    const hostaddr = addresses?.[index];
    const host = names?.[index] || hostaddr || '';
    if (host === '') throw invalid('the connection has an empty name in its list of hosts');
    const port = portOf(ports.length === 1 ? ports[0] : ports[index]);
    return hostaddr === undefined || hostaddr === '' ? { host, port } : { host, hostaddr, port };
  });
}

function portOf(text: string | undefined): number {
  if (text === undefined || text === '') return 5432;
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (port < 1 || port > 65_535) throw invalid('the database port is not a number from 1 to 65535');
  return port;
}

function timeoutOf(text: string | undefined): number {
  if (text === undefined) return CONNECT_TIMEOUT_SECONDS;
  if (!/^\d{1,6}$/.test(text)) throw invalid('connect_timeout is not a number of seconds');
  // 0 is libpq's "for ever".
  return Number(text) === 0 ? CONNECT_TIMEOUT_SECONDS : Math.max(2, Number(text));
}

function oneOf<T extends string>(allowed: readonly T[], keyword: string, value: string): T {
  const found = allowed.find((candidate) => candidate === value);
  if (found === undefined) throw invalid(`${keyword} is none of ${allowed.join(', ')}`);
  return found;
}

function sslOf(keywords: Keywords): SslSettings {
  const rootCert = keywords.get('sslrootcert');
  const given = keywords.get('sslmode');
  // libpq: with `sslrootcert=system`, whoever trusts public authorities must check the name too.
  const fallback = rootCert === 'system' ? 'verify-full' : 'prefer';
  // `no-verify` is node-postgres's word for what libpq calls `require` without a root certificate.
  const mode = oneOf(sslModes, 'sslmode', given === 'no-verify' ? 'require' : (given ?? fallback));
  if (rootCert === 'system' && mode !== 'verify-full')
    throw invalid(`sslrootcert=system cannot go with sslmode=${mode}`, 'Use sslmode=verify-full.');
  const cert = keywords.get('sslcert');
  const key = keywords.get('sslkey');
  const keyPassword = keywords.get('sslpassword');
  const negotiation = keywords.get('sslnegotiation');
  return {
    mode,
    ...(rootCert === undefined ? {} : { rootCert }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    ...(keyPassword === undefined ? {} : { keyPassword: hidden(keyPassword) }),
    ...(negotiation === undefined ? {} : { negotiation: oneOf(['postgres', 'direct'] as const, 'sslnegotiation', negotiation) }),
  };
}

/** The same server and user, another database. */
export function withDatabase(settings: ConnectionSettings, database: string): ConnectionSettings {
  return { ...settings, database };
}

/** `jetadmin on db.example:5432 as backup`; never a secret. */
export function describeConnection(settings: ConnectionSettings): string {
  const hosts = settings.hosts.map(({ host, port }) => (host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`));
  return `${settings.database} on ${hosts.length === 0 ? `this machine (port ${settings.port})` : hosts.join(', ')} as ${settings.user}`;
}
