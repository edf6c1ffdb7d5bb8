import { createHash } from 'node:crypto';
import { ListMultipartUploadsCommand } from '@aws-sdk/client-s3';
import { Temporal } from 'temporal-polyfill';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { bytesOf, collect, MiB } from '../../../src/core/bytes.ts';
import { systemClock } from '../../../src/platform/clock.ts';
import { createS3Store } from '../../../src/storage/s3.ts';
import type { S3Settings } from '../../../src/storage/s3-settings.ts';
import type { ObjectStore } from '../../../src/storage/store.ts';
import { inChunks, pattern } from '../../contract/subject.ts';
import { type HttpFaultProxy, startHttpFaultProxy } from '../../support/http-fault-proxy.ts';
import { type S3Server, startS3Server } from '../../support/s3-servers.ts';
import { startTcpProxy, type TcpProxy } from '../../support/tcp-proxy.ts';

const BUCKET = 'faults';
const sum = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
const big = pattern(23 * MiB + 17, 3);
const body = () => inChunks(big, 100_000);
const coded = (code: string) => expect.objectContaining({ name: 'JetbackupError', code });
const isPart = (request: { method?: string | undefined; url?: string | undefined }) =>
  request.method === 'PUT' && /partNumber=/.test(request.url ?? '');
const isCompletion = (request: { method?: string | undefined; url?: string | undefined }) =>
  request.method === 'POST' && /uploadId=/.test(request.url ?? '');
const isPut = (request: { method?: string | undefined; url?: string | undefined }) =>
  request.method === 'PUT' && !/partNumber=/.test(request.url ?? '');

/** Each attempt waits a moment only, so that tests are quick; how long is the business of a unit test. */
const hastyClock: typeof systemClock = { ...systemClock, sleep: (ms, signal) => systemClock.sleep(Math.min(ms, 20), signal) };

async function failure(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => {
      throw new Error('it should have failed');
    },
    (error: unknown) => error,
  );
}

describe.each(['first', 'second'] as const)('over a bad line to the %s S3 server', (which) => {
  let server: S3Server;
  let tcp: TcpProxy;
  let http: HttpFaultProxy;
  let direct: ObjectStore;
  const stores: ObjectStore[] = [];

  const storeAt = (endpoint: string, settings: Partial<S3Settings> = {}, clock = hastyClock) => {
    const common = {
      bucket: BUCKET,
      prefix: 'p',
      region: server.region,
      credentials: server.credentials,
      partBytes: 5 * MiB,
      maxAttempts: 4,
    };
    const store = createS3Store({ ...common, endpoint, stallTimeoutMs: 1000, ...settings }, { clock });
    stores.push(store);
    return store;
  };
  const uploads = async () => (await server.client.send(new ListMultipartUploadsCommand({ Bucket: BUCKET }))).Uploads ?? [];
  const stored = async (key: string) => sum(await collect(await direct.get(key), 64 * MiB));

  beforeAll(async () => {
    server = await startS3Server(which);
    await server.createBucket(BUCKET);
    direct = storeAt(server.endpoint);
    await direct.put('big', body());
  });
  beforeEach(async () => {
    tcp = await startTcpProxy(server);
    http = await startHttpFaultProxy(server);
  });
  afterEach(async () => {
    await tcp.stop();
    await http.stop();
  });
  afterAll(async () => {
    for (const store of stores) store.close();
    await server?.stop();
  });

  const overTcp = (settings?: Partial<S3Settings>) => storeAt(`http://${tcp.host}:${tcp.port}`, settings);

  describe('a download', () => {
    it.each(['cut', 'stall'] as const)('goes on from the last byte each time that the line is %s, and is whole', async (kind) => {
      for (const afterBytes of [100, 3 * MiB, 9 * MiB + 1]) tcp.plant({ direction: 'down', afterBytes, kind });
      const back = await collect(await overTcp().get('big'), 64 * MiB);
      expect(tcp.struck).toBe(3);
      expect(sum(back)).toBe(sum(big));
    });

    it('of a range goes on inside that range', async () => {
      tcp.plant({ direction: 'down', afterBytes: 2 * MiB, kind: 'cut' });
      const back = await collect(await overTcp().get('big', { range: { offset: 1_000_001, length: 10 * MiB } }), 64 * MiB);
      expect(tcp.struck).toBe(1);
      expect(sum(back)).toBe(sum(big.subarray(1_000_001, 1_000_001 + 10 * MiB)));
    });

    it('is an error, never a short read, when the line stays down', async () => {
      const attempt = async () => {
        for await (const _ of await overTcp().get('big')) {
          tcp.refuse();
          tcp.cutAll();
        }
      };
      expect(await failure(attempt())).toEqual(coded('storage-unreachable'));
    });

    it('does not mix two objects when the first is replaced while the line is down', async () => {
      await direct.put('changing', body());
      const attempt = async () => {
        let first = true;
        for await (const _ of await overTcp().get('changing')) {
          if (!first) continue;
          first = false;
          tcp.cutAll();
          await direct.put('changing', inChunks(pattern(big.byteLength, 4), 100_000));
        }
      };
      expect(await failure(attempt())).toEqual(coded('storage-failed'));
    });
  });

  describe('an upload', () => {
    it.each(['cut', 'stall'] as const)('sends a part again when the line is %s in the middle of it', async (kind) => {
      for (const afterBytes of [1 * MiB, 7 * MiB]) tcp.plant({ direction: 'up', afterBytes, kind });
      await overTcp().put(`up-${kind}`, body());
      expect(tcp.struck).toBe(2);
      expect(await stored(`up-${kind}`)).toBe(sum(big));
      expect(await uploads()).toEqual([]);
    });

    it('whose line goes down for good commits nothing, and what could not be removed then is swept later', async () => {
      const store = overTcp();
      async function* breaking(): AsyncGenerator<Uint8Array> {
        yield big;
        tcp.refuse();
        tcp.cutAll();
        yield big;
      }
      expect(await failure(store.put('gone', breaking()))).toEqual(coded('storage-unreachable'));
      expect(await direct.stat('gone')).toBeUndefined();
      expect(await direct.sweepUnfinished('', Temporal.Instant.from('2100-01-01T00:00:00Z'))).toEqual(['gone']);
      expect(await uploads()).toEqual([]);
    });

    it.each([
      [500, 'InternalError'],
      [503, 'SlowDown'],
    ])('is carried through two answers of %i %s to each kind of request', async (status, code) => {
      for (const when of [isPart, isCompletion, isPut]) http.plant({ when, answer: { status, code }, times: 2 });
      const store = storeAt(http.endpoint);
      await store.put('patient', body());
      await store.put('patient-small', bytesOf('small'));
      expect(http.struck).toBe(6);
      expect(await stored('patient')).toBe(sum(big));
      expect(await stored('patient-small')).toBe(sum(Buffer.from('small')));
    });

    it.each([
      ['a part', isPart],
      ['the completion', isCompletion],
    ])('of which %s always meets 503 commits nothing, leaves no upload, and says that it may be tried again', async (_, when) => {
      http.plant({ when, answer: { status: 503, code: 'ServiceUnavailable' } });
      const error = await failure(storeAt(http.endpoint).put('unlucky', body()));
      expect(error).toMatchObject({ code: 'storage-unreachable', retryable: true });
      expect(await direct.stat('unlucky')).toBeUndefined();
      expect(await uploads()).toEqual([]);
    });

    it.each([
      [403, 'AccessDenied', 'storage-denied', /s3:PutObject/],
      [403, 'SignatureDoesNotMatch', 'storage-denied', /secret key/],
      [400, 'ExpiredToken', 'storage-denied', /temporary credentials/],
      [404, 'NoSuchBucket', 'storage-not-found', /aws s3 mb/],
      [507, 'InsufficientStorage', 'storage-full', /quota/],
    ])('that meets %i %s fails at once as %s, with a remedy', async (status, code, expected, hint) => {
      http.plant({ when: isPart, answer: { status, code } });
      const error = await failure(storeAt(http.endpoint).put('refused', body()));
      expect(error).toMatchObject({ code: expected, hint: expect.stringMatching(hint) });
      expect(String(error)).not.toContain(server.credentials.secretAccessKey);
      expect(await direct.stat('refused')).toBeUndefined();
      expect(await uploads()).toEqual([]);
    });

    it.each(['lose-answer', 'error-in-200'] as const)('whose completion was done but ended in %s counts as done', async (answer) => {
      http.plant({ when: isCompletion, answer, times: 1 });
      const info = await storeAt(http.endpoint).put(`done-${answer}`, body());
      expect(http.struck).toBe(1);
      expect(info.size).toBe(big.byteLength);
      expect(await stored(`done-${answer}`)).toBe(sum(big));
      expect(await uploads()).toEqual([]);
    });

    it.each([
      ['small', () => bytesOf('mine')],
      ['of several parts', body],
    ])('%s, if absent, that won before its answer was lost has not lost to itself', async (title, make) => {
      const key = `won-${title.replaceAll(' ', '-')}`;
      http.plant({
        when: (request) => isCompletion(request) || (isPut(request) && (request.url ?? '').includes(key)),
        answer: 'lose-answer',
        times: 1,
      });
      const info = await storeAt(http.endpoint).put(key, make(), { ifAbsent: true });
      expect(http.struck).toBe(1);
      expect(await direct.stat(key)).toEqual(info);
      expect(await failure(direct.put(key, bytesOf('other'), { ifAbsent: true }))).toEqual(coded('storage-exists'));
    });

    it('that the store says it has taken, and does not have, is an error', async () => {
      http.plant({ when: (request) => isPut(request) && (request.url ?? '').includes('swallowed'), answer: 'swallow' });
      expect(await failure(storeAt(http.endpoint).put('swallowed', bytesOf('lost')))).toEqual(coded('storage-failed'));
    });

    it('is stopped at once by the signal while a part hangs, and leaves nothing', async () => {
      http.plant({ when: isPart, answer: 'hang' });
      const stop = new AbortController();
      const reason = new Error('Ctrl-C');
      const started = systemClock.monotonicMs();
      setTimeout(() => stop.abort(reason), 300);
      const store = storeAt(http.endpoint, { stallTimeoutMs: 60_000 });
      expect(await failure(store.put('stopped', body(), { signal: stop.signal }))).toBe(reason);
      expect(systemClock.monotonicMs() - started).toBeLessThan(5_000);
      expect(await direct.stat('stopped')).toBeUndefined();
      expect(await uploads()).toEqual([]);
    });

    it('takes no more of its body into memory than four parts while the store is silent', async () => {
      http.plant({ when: isPart, answer: 'hang' });
      let taken = 0;
      async function* endless(): AsyncGenerator<Uint8Array> {
        const chunk = pattern(MiB);
        for (let sent = 0; sent < 200; sent += 1) {
          yield chunk;
          taken += chunk.byteLength;
        }
      }
      const stop = new AbortController();
      setTimeout(() => stop.abort(new Error('enough')), 1500);
      await failure(
        storeAt(http.endpoint, { stallTimeoutMs: 60_000, partBytes: 8 * MiB }).put('endless', endless(), { signal: stop.signal }),
      );
      expect(taken).toBeGreaterThan(16 * MiB);
      expect(taken).toBeLessThanOrEqual(33 * MiB);
    });
  });

  describe('a store that refuses checksum headers', () => {
    const hasChecksum = (request: { headers: NodeJS.Dict<unknown> }) =>
      Object.keys(request.headers).some((name) => /^x-amz-(checksum|sdk-checksum)/.test(name));

    it.each([
      [501, 'NotImplemented'],
      [400, 'InvalidArgument'],
    ])('with %i %s is written to with Content-MD5, and asked only once', async (status, code) => {
      http.plant({ when: hasChecksum, answer: { status, code } });
      const store = storeAt(http.endpoint);
      await store.put('plain', bytesOf('plain'));
      await store.put('plain-big', body());
      expect(http.struck).toBe(1);
      expect(await stored('plain-big')).toBe(sum(big));
      expect(await collect(await store.get('plain'), 100)).toEqual(Buffer.from('plain'));
      expect((await store.probe()).checksums).toBe(true);
    });

    it('on parts only is written to as well', async () => {
      http.plant({ when: (request) => isPart(request) && hasChecksum(request), answer: { status: 501, code: 'NotImplemented' } });
      await storeAt(http.endpoint).put('parts-only', body());
      expect(await stored('parts-only')).toBe(sum(big));
    });
  });

  it('a store that does not know conditions still refuses a key that is taken', async () => {
    http.plant({ when: (request) => request.headers['if-none-match'] !== undefined, answer: { status: 501, code: 'NotImplemented' } });
    const store = storeAt(http.endpoint);
    await store.put('unconditional', bytesOf('first'), { ifAbsent: true });
    expect(await failure(store.put('unconditional', bytesOf('second'), { ifAbsent: true }))).toEqual(coded('storage-exists'));
    await store.put('unconditional-big', body(), { ifAbsent: true });
    expect(await stored('unconditional-big')).toBe(sum(big));
    expect((await store.probe()).conditionalPut).toBe(false);
  });

  it('a store that is lucky in every ordinary race is still found out', async () => {
    http.plant({ when: (request) => request.headers['if-none-match'] !== undefined, answer: 'in-turn' });
    const store = storeAt(http.endpoint, { stallTimeoutMs: 30_000 }, systemClock);
    expect((await store.probe()).conditionalPut).toBe(server.features.plain.conditionalPut);
    expect(http.struck).toBeGreaterThan(0);
  });

  it('an endpoint that nobody listens at is unreachable, after the attempts that were allowed', async () => {
    const port = tcp.port;
    await tcp.stop();
    const store = storeAt(`http://127.0.0.1:${port}`, { maxAttempts: 3 });
    expect(await failure(store.stat('x'))).toMatchObject({ code: 'storage-unreachable', message: expect.stringContaining('3 attempts') });
    tcp = await startTcpProxy(server);
  });

  it('a server that never answers is given up after the request timeout', async () => {
    http.plant({ when: () => true, answer: 'hang' });
    const started = systemClock.monotonicMs();
    const store = storeAt(http.endpoint, { requestTimeoutMs: 300, stallTimeoutMs: 60_000, maxAttempts: 2 });
    expect(await failure(store.stat('x'))).toMatchObject({ code: 'storage-unreachable' });
    expect(systemClock.monotonicMs() - started).toBeLessThan(3_000);
  });

  it('wrong credentials, an unknown bucket and an unknown key are told apart', async () => {
    const wrong = { credentials: { ...server.credentials, secretAccessKey: 'wrong' } };
    expect(await failure(storeAt(server.endpoint, wrong).put('x', bytesOf('x')))).toMatchObject({ code: 'storage-denied' });
    expect(await failure(storeAt(server.endpoint, wrong).stat('x'))).toMatchObject({ code: 'storage-denied' });
    const nowhere = storeAt(server.endpoint, { bucket: 'no-such-bucket' });
    const calls = [
      () => nowhere.stat('x'),
      () => nowhere.put('x', bytesOf('x')),
      () => nowhere.get('x'),
      () => Array.fromAsync(nowhere.list('')),
    ];
    for (const call of calls) {
      expect(await failure(call())).toMatchObject({ code: 'storage-not-found', hint: expect.stringContaining('no-such-bucket') });
    }
    expect(await failure(direct.get('no-such-key'))).toMatchObject({ code: 'storage-not-found' });
  });
});
