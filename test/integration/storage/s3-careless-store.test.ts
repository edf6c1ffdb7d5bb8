import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { afterEach, describe, expect, it } from 'vitest';
import { collect } from '../../../src/core/bytes.ts';
import { systemClock } from '../../../src/platform/clock.ts';
import { createS3Store } from '../../../src/storage/s3.ts';
import type { ObjectStore } from '../../../src/storage/store.ts';

/** What no real server does on demand: each test scripts the answers of a store that gets something wrong. */
describe('a careless store', () => {
  let server: Server | undefined;
  let store: ObjectStore | undefined;

  const open = async (answer: (request: IncomingMessage, response: ServerResponse) => void) => {
    const listening = createServer(answer);
    server = listening;
    await new Promise<void>((resolve) => listening.listen(0, '127.0.0.1', resolve));
    const address = listening.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    const credentials = { accessKeyId: 'a', secretAccessKey: 'b' };
    const hasty = { ...systemClock, sleep: async () => {} };
    store = createS3Store(
      { bucket: 'b', prefix: '', endpoint: `http://127.0.0.1:${address.port}`, credentials, maxAttempts: 3 },
      { clock: hasty },
    );
    return store;
  };
  afterEach(async () => {
    store?.close();
    server?.closeAllConnections();
    await new Promise((resolve) => server?.close(resolve) ?? resolve(undefined));
  });

  const failed = (code: string, message: RegExp) => expect.objectContaining({ code, message: expect.stringMatching(message) });

  it('that ignores If-Match cannot make two objects into one', async () => {
    let version = 0;
    const careless = await open((request, response) => {
      version += 1;
      const start = Number(/bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0);
      const range = request.headers.range === undefined ? {} : { 'content-range': `bytes ${start}-99999/100000` };
      response.writeHead(start > 0 ? 206 : 200, { etag: `"${version}"`, 'content-length': 100_000 - start, ...range });
      response.write(Buffer.alloc(1000, version), () => setTimeout(() => response.destroy(), 20));
    });
    await expect(collect(await careless.get('x'), 200_000)).rejects.toEqual(failed('storage-failed', /replaced/));
  });

  it('that sends the whole object instead of the range is found out', async () => {
    const careless = await open((_request, response) => {
      response.writeHead(200, { etag: '"1"', 'content-length': 10 }).end('0123456789');
    });
    await expect(careless.get('x', { range: { offset: 5, length: 2 } })).rejects.toEqual(failed('storage-failed', /byte 0 instead of 5/));
  });

  it('that cuts every answer short, but properly ends it, is given up and never taken for whole', async () => {
    const careless = await open((_request, response) => {
      response.writeHead(200, { etag: '"1"', 'content-range': 'bytes 0-99/100', 'transfer-encoding': 'chunked' }).end();
    });
    await expect(collect(await careless.get('x'), 1000)).rejects.toEqual(failed('storage-unreachable', /byte 0 of 100/));
  });

  it('that repeats the same page of a list for ever is noticed', async () => {
    const page = `<?xml version="1.0"?><ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>again</NextContinuationToken>
      <Contents><Key>a</Key><Size>1</Size><LastModified>2026-01-01T00:00:00Z</LastModified></Contents></ListBucketResult>`;
    const careless = await open((_request, response) => {
      response.writeHead(200, { 'content-type': 'application/xml' }).end(page);
    });
    await expect(Array.fromAsync(careless.list(''))).rejects.toEqual(failed('storage-failed', /ascending/));
  });

  it('that says that a list goes on, and not where, is not taken to have ended it', async () => {
    const careless = await open((_request, response) => {
      response
        .writeHead(200, { 'content-type': 'application/xml' })
        .end('<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>');
    });
    await expect(Array.fromAsync(careless.list(''))).rejects.toEqual(failed('storage-failed', /goes on/));
  });

  it('that stored fewer bytes than were sent is found out', async () => {
    let putId = '';
    const careless = await open((request, response) => {
      if (request.method === 'PUT') putId = String(request.headers['x-amz-meta-jetbackup-put']);
      request.resume().on('end', () => {
        response
          .writeHead(200, { etag: '"1"', 'content-length': request.method === 'HEAD' ? 3 : 0, 'x-amz-meta-jetbackup-put': putId })
          .end();
      });
    });
    async function* body(): AsyncGenerator<Uint8Array> {
      yield Buffer.from('12345');
    }
    await expect(careless.put('x', body())).rejects.toEqual(failed('storage-failed', /has 3 bytes, and 5 were written/));
  });
});
