import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { collect } from '../../../src/core/bytes.ts';
import { isJetbackupError } from '../../../src/core/errors.ts';
import { systemClock } from '../../../src/platform/clock.ts';
import { type ConnectionSettings, openClient, parseConnection } from '../../../src/postgres/connection.ts';
import { dumpDatabase } from '../../../src/postgres/dump.ts';
import { exportSnapshot } from '../../../src/postgres/snapshot.ts';
import { type PostgresServer, startPostgres } from '../../support/postgres.ts';
import { baseEnv, deps, tools } from './pipeline.ts';

const run = promisify(execFile);

describe('a server with a certificate of its own authority', () => {
  let server: PostgresServer;
  let folder: string;
  const file = (name: string) => join(folder, name);

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tls-test-'));
    server = await startPostgres(17);
    const openssl = (...args: string[]) => run('openssl', args, { cwd: folder });
    for (const name of ['ca', 'stranger']) {
      await openssl(
        'req',
        '-x509',
        '-newkey',
        'rsa:2048',
        '-nodes',
        '-keyout',
        `${name}.key`,
        '-out',
        `${name}.crt`,
        '-days',
        '2',
        '-subj',
        `/CN=${name}`,
      );
    }
    await openssl(
      'req',
      '-newkey',
      'rsa:2048',
      '-nodes',
      '-keyout',
      'server.key',
      '-out',
      'server.csr',
      '-subj',
      '/CN=db',
      '-addext',
      'subjectAltName=DNS:localhost',
    );
    await openssl(
      'x509',
      '-req',
      '-in',
      'server.csr',
      '-CA',
      'ca.crt',
      '-CAkey',
      'ca.key',
      '-CAcreateserial',
      '-out',
      'server.crt',
      '-days',
      '2',
      '-copy_extensions',
      'copy',
    );
    const [{ data_directory: data } = {}] = await server.query('SHOW data_directory');
    for (const name of ['server.key', 'server.crt']) {
      const text = await readFile(file(name), 'utf8');
      const put = await server.exec([
        'sh',
        '-c',
        `printf %s '${text}' > ${data}/${name} && chmod 600 ${data}/${name} && chown --reference=${data} ${data}/${name}`,
      ]);
      expect(put).toMatchObject({ exitCode: 0 });
    }
    await server.query('ALTER SYSTEM SET ssl = on');
    await server.query('SELECT pg_reload_conf()');
    const isOn = async () => (await server.query('SHOW ssl'))[0]?.['ssl'] === 'on';
    for (let tries = 0; tries < 50 && !(await isOn()); tries += 1) await systemClock.sleep(100);
  });
  afterAll(async () => {
    await server?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  const settings = (host: string, query: string): ConnectionSettings => {
    const url = new URL(server.url());
    url.hostname = host;
    return parseConnection({ url: `${url.href}?${query}`, env: {} });
  };
  const encrypted = async (at: ConnectionSettings) => {
    const client = await openClient(at, { applicationName: 'test' });
    const { rows } = await client.query<{ ssl: boolean }>('SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()');
    await client.end();
    return rows[0]?.ssl;
  };
  const refusal = async (at: ConnectionSettings) => {
    const error: unknown = await openClient(at, { applicationName: 'test' }).then(
      () => undefined,
      (thrown) => thrown,
    );
    if (!isJetbackupError(error)) throw new Error('it should have been refused', { cause: error });
    return error;
  };

  it('is talked to as each sslmode means it for libpq', async () => {
    expect(await encrypted(settings('127.0.0.1', 'sslmode=disable'))).toBe(false);
    expect(await encrypted(settings('127.0.0.1', 'sslmode=allow'))).toBe(false);
    expect(await encrypted(settings('127.0.0.1', ''))).toBe(true);
    expect(await encrypted(settings('127.0.0.1', 'sslmode=require'))).toBe(true);
    expect(await encrypted(settings('127.0.0.1', `sslmode=verify-ca&sslrootcert=${file('ca.crt')}`))).toBe(true);
    expect(await encrypted(settings('localhost', `sslmode=verify-full&sslrootcert=${file('ca.crt')}`))).toBe(true);
  });

  it('is refused when the authority or the name is another', async () => {
    for (const at of [
      settings('127.0.0.1', `sslmode=verify-full&sslrootcert=${file('ca.crt')}`),
      settings('localhost', `sslmode=verify-ca&sslrootcert=${file('stranger.crt')}`),
      settings('localhost', `sslmode=require&sslrootcert=${file('stranger.crt')}`),
    ]) {
      expect(await refusal(at)).toMatchObject({ code: 'database-denied', hint: expect.stringContaining('sslrootcert') });
    }
    expect(await refusal(settings('localhost', 'sslmode=verify-full'))).toMatchObject({
      code: 'config-invalid',
      hint: expect.stringContaining('system'),
    });
  });

  it('is dumped over the same kind of connection, with the name checked though the address is nailed down', async () => {
    const at = settings('localhost', `sslmode=verify-full&sslrootcert=${file('ca.crt')}`);
    await using snapshot = await exportSnapshot(at, { lockName: 'tls' });
    expect(snapshot.settings.hosts[0]).toMatchObject({ host: 'localhost', hostaddr: expect.stringMatching(/^(127\.0\.0\.1|::1)$/) });
    expect(await encrypted(snapshot.settings)).toBe(true);
    const request = { settings: snapshot.settings, tools: await tools(17), snapshot: snapshot.id, lockTimeoutMs: 5000, baseEnv };
    const archive = await collect(dumpDatabase(deps, request), 1e6);
    expect(Buffer.from(archive.subarray(0, 5)).toString()).toBe('PGDMP');
  });
});
