import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { access, chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, connect, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ConnectionSettings, openClient, parseConnection } from '../../../src/postgres/connection.ts';
import { exportSnapshot } from '../../../src/postgres/snapshot.ts';
import { type PostgresServer, startPostgres } from '../../support/postgres.ts';
import { startTcpProxy } from '../../support/tcp-proxy.ts';
import { until } from '../../support/waiting.ts';
import { settingsOf } from './pipeline.ts';

let server: PostgresServer;
beforeAll(async () => {
  server = await startPostgres(17);
});
afterAll(async () => {
  await server?.stop();
});

const at = (port: number, query = ''): ConnectionSettings => {
  const url = new URL(server.url());
  url.host = `127.0.0.1:${port}`;
  return parseConnection({ url: `${url.href}${query}`, env: {} });
};
const refusal = async (settings: ConnectionSettings): Promise<unknown> =>
  await openClient(settings, { applicationName: 'test' }).then(
    async (client) => await client.end(),
    (error: unknown) => error,
  );
const refused = {
  code: 'database-denied',
  message: expect.stringContaining('pooler (PgBouncer'),
  hint: expect.stringContaining('direct'),
};

const program = await Promise.any(
  // Debian puts it where only root's PATH leads.
  [...(process.env['PATH'] ?? '').split(':'), '/usr/sbin'].map(async (folder) => {
    const path = join(folder, 'pgbouncer');
    await access(path);
    return path;
  }),
).catch(() => undefined);

describe.skipIf(program === undefined)(`behind PgBouncer${program === undefined ? ' (skipped: this machine has none)' : ''}`, () => {
  let folder: string;
  const running: ChildProcess[] = [];
  const ports = new Map<string, number>();

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'pooler-test-'));
    await chmod(folder, 0o755);
    for (const [name, lines] of Object.entries({
      transaction: ['pool_mode = transaction'],
      lenient: ['pool_mode = transaction', 'ignore_startup_parameters = options, extra_float_digits'],
      session: ['pool_mode = session'],
    })) {
      const port = await freePort();
      ports.set(name, port);
      const file = join(folder, `${name}.ini`);
      const password = server.password.replaceAll("'", "''");
      await writeFile(
        file,
        `[databases]
* = host=${server.host} port=${server.port} user=${server.user} password='${password}'
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = any
max_client_conn = 20
default_pool_size = 1
${lines.join('\n')}
`,
        { mode: 0o644 },
      );
      const user = process.getuid?.() === 0 ? ['-u', 'nobody'] : [];
      running.push(spawn(program ?? '', ['-q', ...user, file], { stdio: 'ignore' }));
      await until(`PgBouncer listens on ${port}`, () => listens(port));
    }
  });
  afterAll(async () => {
    for (const child of running) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const exited = once(child, 'exit');
      child.kill('SIGKILL');
      await exited;
    }
    await rm(folder, { recursive: true, force: true });
  });
  const portOf = (name: string) => ports.get(name) ?? 0;

  it.each(['transaction', 'lenient', 'session'])('in %s mode a connection is refused with the direct address as a remedy', async (name) => {
    expect(await refusal(at(portOf(name)))).toMatchObject(refused);
    await expect(exportSnapshot(at(portOf(name)), { lockName: 'x' })).rejects.toMatchObject(refused);
  });

  it('options that PgBouncer does not take are told as what they are', async () => {
    expect(await refusal(at(portOf('transaction'), '?options=-c%20geqo%3Doff'))).toMatchObject(refused);
  });

  it("the application's session is as it was before we came", async () => {
    const read = async () => {
      const client = new pg.Client({ ...server.connection(), host: '127.0.0.1', port: portOf('lenient') });
      await client.connect();
      try {
        const { rows } = await client.query<Record<string, string>>(
          `SELECT pg_backend_pid() AS pid, current_setting('search_path') AS path, current_setting('statement_timeout') AS statement,
                  current_setting('client_connection_check_interval') AS check`,
        );
        return rows[0];
      } finally {
        await client.end();
      }
    };
    await server.query("ALTER ROLE postgres SET statement_timeout = '7min'");
    try {
      const before = await read();
      expect(await refusal(at(portOf('lenient')))).toMatchObject(refused);
      expect(await read()).toEqual(before);
    } finally {
      await server.query('ALTER ROLE postgres RESET statement_timeout');
    }
  });
});

describe('a direct connection is taken for one', () => {
  it.each([15, 17, 18] as const)('by PostgreSQL %i, by TCP', async (major) => {
    const other = major === 17 ? undefined : await startPostgres(major);
    try {
      expect(await refusal(settingsOf(other ?? server))).toBeUndefined();
    } finally {
      await other?.stop();
    }
  });

  it('through a proxy that passes on what comes', async () => {
    await using proxy = await startTcpProxy({ host: server.host, port: server.port });
    expect(await refusal(at(proxy.port, '?sslmode=disable'))).toBeUndefined();
    expect(proxy.connections).toBe(1);
  });

  it('through a proxy that numbers the connections itself, and yet gives each a server process of its own', async () => {
    const proxy = await startRenumbering(server);
    try {
      const { port } = proxy.address() as AddressInfo;
      const client = await openClient(at(port, '?sslmode=disable&options=-c%20geqo%3Doff'), { applicationName: 'test' });
      const { rows } = await client.query("SELECT current_setting('geqo') AS geqo, current_setting('search_path') AS path");
      expect(rows).toEqual([{ geqo: 'off', path: '' }]);
      await client.end();
    } finally {
      proxy.close();
    }
  });
});

/** Passes all on, but puts another process id into BackendKeyData, as hosted services' proxies do. */
async function startRenumbering(target: { host: string; port: number }): Promise<Server> {
  const listening = createServer((client) => {
    const upstream = connect(target.port, target.host);
    client.on('error', () => upstream.destroy());
    upstream.on('error', () => client.destroy());
    client.pipe(upstream);
    upstream.on('data', (chunk: Buffer) => {
      const key = chunk.indexOf(Buffer.from([0x4b, 0, 0, 0, 12]));
      if (key !== -1 && key + 9 <= chunk.length) chunk.writeInt32BE(1, key + 5);
      client.write(chunk);
    });
    upstream.on('end', () => client.end());
  });
  listening.listen(0, '127.0.0.1');
  await once(listening, 'listening');
  return listening;
}

async function freePort(): Promise<number> {
  const probe = createServer();
  probe.listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, 'close');
  return port;
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.end());
  });
}
