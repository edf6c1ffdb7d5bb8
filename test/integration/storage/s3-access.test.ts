import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer } from 'node:tls';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bytesOf, collect, MiB } from '../../../src/core/bytes.ts';
import { systemClock } from '../../../src/platform/clock.ts';
import { openStore } from '../../../src/storage/all.ts';
import { parseRepositoryUrl } from '../../../src/storage/location.ts';
import { pattern } from '../../contract/subject.ts';
import { type S3Server, startS3Server } from '../../support/s3-servers.ts';

const run = promisify(execFile);

describe('the way to a bucket', () => {
  let server: S3Server;
  let folder: string;

  beforeAll(async () => {
    server = await startS3Server('first');
    await server.createBucket('backups');
    folder = await mkdtemp(join(tmpdir(), 'jetbackup-access-'));
  });
  afterAll(async () => {
    await server?.stop();
    if (folder !== undefined) await rm(folder, { recursive: true });
  });

  it('leads through TLS by an authority of one’s own, named by ca-file, and not without it', async () => {
    const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
    const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'];
    await run('openssl', [
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-days',
      '2',
      '-keyout',
      key,
      '-out',
      cert,
      ...subject,
    ]);
    const tls = createServer({ key: await readFile(key), cert: await readFile(cert) }, (client) => {
      const upstream = connect(server);
      client.on('error', () => upstream.destroy()).pipe(upstream);
      upstream.on('error', () => client.destroy()).pipe(client);
    });
    tls.on('tlsClientError', () => {});
    await new Promise<void>((resolve) => tls.listen(0, resolve));
    const address = tls.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    const url = `s3://backups/tls?endpoint=https://localhost:${address.port}`;
    const deps = { clock: systemClock, credentials: server.credentials, s3: { partBytes: 5 * MiB } };
    const trusting = await openStore(parseRepositoryUrl(`${url}&ca-file=${cert}`), deps);
    const stranger = await openStore(parseRepositoryUrl(url), deps);
    try {
      const bytes = pattern(11 * MiB);
      await trusting.put('x', bytesOf(bytes));
      expect(Buffer.compare(await collect(await trusting.get('x'), 20 * MiB), bytes)).toBe(0);
      await expect(stranger.stat('x')).rejects.toMatchObject({ code: 'storage-failed', hint: expect.stringContaining('ca-file') });
    } finally {
      trusting.close();
      stranger.close();
      await new Promise((resolve) => tls.close(resolve));
    }
  });

  describe('without credentials in the configuration', () => {
    const source = new URL('../../../src/', import.meta.url).href;
    const script = `
      import { bytesOf } from '${source}core/bytes.ts';
      import { openStore } from '${source}storage/all.ts';
      import { parseRepositoryUrl } from '${source}storage/location.ts';
      import { systemClock } from '${source}platform/clock.ts';
      const store = await openStore(parseRepositoryUrl(process.argv[1]), { clock: systemClock });
      await store.put('env', bytesOf('abc')).then((info) => console.log('size', info.size), (error) => console.log(error.code, error.hint));
      store.close();
    `;
    const put = async (environment: Record<string, string>) => {
      const env = { PATH: process.env['PATH'] ?? '', HOME: folder, AWS_EC2_METADATA_DISABLED: 'true', ...environment };
      const url = `s3://backups/env?endpoint=${server.endpoint}`;
      return (await run(process.execPath, ['--input-type=module', '-e', script, url], { env })).stdout.trim();
    };

    it('takes those of the environment', async () => {
      const { accessKeyId, secretAccessKey } = server.credentials;
      expect(await put({ AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey })).toBe('size 3');
    });

    it('says which variables to set where there are none at all', async () => {
      expect(await put({})).toMatch(/^storage-denied .*AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY/);
    });
  });
});
