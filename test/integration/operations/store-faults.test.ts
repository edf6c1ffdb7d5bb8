import { readdir } from 'node:fs/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { bytesOf, collect, MiB } from '../../../src/core/bytes.ts';
import { systemClock } from '../../../src/platform/clock.ts';
import { createS3Store } from '../../../src/storage/s3.ts';
import type { ObjectStore } from '../../../src/storage/store.ts';
import { type HttpFault, type HttpFaultProxy, startHttpFaultProxy } from '../../support/http-fault-proxy.ts';
import { bucketFiles, contentsOf, createSample, type RepositoryFiles } from '../../support/installation.ts';
import { type PostgresServer, startPostgres } from '../../support/postgres.ts';
import { type S3Server, startS3Server } from '../../support/s3-servers.ts';
import { startTcpProxy, type TcpProxy } from '../../support/tcp-proxy.ts';
import { leftOn, openWorkshop, type Workshop } from './operations.ts';

const DATABASE = 'source';
const BUCKET = 'store-faults';

/** Each attempt waits a moment only, so that tests are quick. */
const hastyClock: typeof systemClock = { ...systemClock, sleep: (ms, signal) => systemClock.sleep(Math.min(ms, 20), signal) };

const requests = {
  'the claim': /^PUT .*claim\.json/,
  'a part of the dump': /^PUT .*dump\.pgc.*partNumber=2/,
  'the completion of the dump': /^POST .*dump\.pgc.*uploadId=/,
  'the roles': /^PUT .*globals\.sql/,
  'the manifest': /^PUT .*manifest\.json/,
} as const;
type Request = keyof typeof requests;

const answers = {
  '500': { answer: { status: 500, code: 'InternalError' }, code: 'storage-unreachable' },
  '503': { answer: { status: 503, code: 'SlowDown' }, code: 'storage-unreachable' },
  '403': { answer: { status: 403, code: 'AccessDenied' }, code: 'storage-denied' },
  nothing: { answer: 'hang', code: 'storage-unreachable' },
} as const satisfies Record<string, { answer: HttpFault['answer']; code: string }>;
type Answer = keyof typeof answers;

describe('a store that fails', () => {
  let server: PostgresServer;
  let s3: S3Server;
  let files: RepositoryFiles;
  let http: HttpFaultProxy;
  let tcp: TcpProxy;
  let workshop: Workshop;
  let direct: ObjectStore;
  let before: string[];
  const stores: ObjectStore[] = [];

  const storeAt = (endpoint: string) => {
    const timeouts = { requestTimeoutMs: 1_000, stallTimeoutMs: 1_000, connectTimeoutMs: 1_000, maxAttempts: 3, partBytes: 5 * MiB };
    const { region, credentials } = s3;
    const store = createS3Store({ bucket: BUCKET, prefix: '', region, credentials, endpoint, ...timeouts }, { clock: hastyClock });
    stores.push(store);
    return store;
  };
  const committed = async () => (await files.keys()).filter((key) => !key.startsWith('runs/'));
  const plant = (request: RegExp, answer: Answer, times?: number) =>
    http.plant({
      when: ({ method, url }) => request.test(`${method} ${url}`),
      answer: answers[answer].answer,
      ...(times === undefined ? {} : { times }),
    });

  beforeAll(async () => {
    [server, s3] = await Promise.all([startPostgres(15), startS3Server('first')]);
    await createSample(server, DATABASE, 14);
    await s3.createBucket(BUCKET);
    files = bucketFiles(s3, BUCKET);
    direct = storeAt(s3.endpoint);
    workshop = await openWorkshop(server, DATABASE);
    await workshop.init(direct);
    await workshop.backup(direct);
  });
  beforeEach(async () => {
    [http, tcp] = await Promise.all([startHttpFaultProxy(s3), startTcpProxy(s3)]);
    before = await committed();
  });
  afterEach(async () => {
    await Promise.all([http.stop(), tcp.stop()]);
    // Whatever the store did: no session, staging database, temporary file or upload of ours outlives the run.
    expect(await leftOn(server)).toEqual([]);
    expect(await readdir(workshop.temporary)).toEqual([]);
    expect(await files.unfinished()).toEqual([]);
  });
  afterAll(async () => {
    for (const store of stores) store.close();
    await workshop?.[Symbol.asyncDispose]();
    await Promise.all([server?.stop(), s3?.stop()]);
  });

  async function restoresEqual(store: ObjectStore): Promise<void> {
    const { compared } = await workshop.restore(store);
    expect(compared).toBe(true);
    expect(await contentsOf(server, 'restored')).toEqual(await contentsOf(server, DATABASE));
    await server.query('DROP DATABASE restored');
  }

  const each = (['500', '503', '403', 'nothing'] as const).flatMap((answer) =>
    (['the claim', 'a part of the dump', 'the completion of the dump', 'the roles'] as const).map((request) => ({ answer, request })),
  );
  it.each<{ answer: Answer; request: Request }>(each)(
    'with $answer to $request gets no backup, and keeps those it has',
    async ({ answer, request }) => {
      plant(requests[request], answer);
      await expect(workshop.backup(storeAt(http.endpoint))).rejects.toMatchObject({
        code: answers[answer].code,
        exitCode: 11,
        hint: expect.stringMatching(/\S/),
      });
      expect(http.struck).toBeGreaterThan(0);
      expect(await committed()).toEqual(before);
    },
  );

  it('that refuses the manifest with 403 gets no backup, and keeps nothing of it', async () => {
    plant(requests['the manifest'], '403');
    await expect(workshop.backup(storeAt(http.endpoint))).rejects.toMatchObject({ code: 'storage-denied', exitCode: 11 });
    expect(await committed()).toEqual(before);
  });

  it.each(['500', 'nothing'] as const)(
    'with %s to the manifest leaves no backup but objects, which the next run removes',
    async (answer) => {
      plant(requests['the manifest'], answer);
      await expect(workshop.backup(storeAt(http.endpoint))).rejects.toMatchObject({ code: 'storage-unreachable', exitCode: 11 });
      const left = (await committed()).filter((key) => !before.includes(key));
      expect(left.some((key) => key.endsWith('manifest.json'))).toBe(false);
      expect(left.some((key) => key.endsWith('claim.json'))).toBe(true);
      await workshop.backup(direct);
      expect(await committed()).toEqual(expect.arrayContaining(left));
      // As an hour later, when no manifest can be on its way any more.
      for (const key of left.filter((name) => name.endsWith('claim.json'))) {
        const claim = JSON.parse(Buffer.from(await collect(await direct.get(key), MiB)).toString('utf8')) as object;
        await direct.put(key, bytesOf(JSON.stringify({ ...claim, committing: false })));
      }
      await workshop.backup(direct);
      expect((await committed()).filter((key) => left.includes(key))).toEqual([]);
      await restoresEqual(direct);
    },
  );

  it.each(['500', '503'] as const)('with %s twice to each request, and then well, carries the backup and the restore', async (answer) => {
    for (const request of Object.values(requests)) plant(request, answer, 2);
    for (const request of [/^GET .*manifest\.json/, /^GET .*dump\.pgc/]) plant(request, answer, 2);
    const store = storeAt(http.endpoint);
    await workshop.backup(store);
    await restoresEqual(store);
    expect(http.struck).toBe(2 * 7);
  });

  it('that did what it was asked and lost the answer has the backup once, and whole', async () => {
    for (const request of [requests['the completion of the dump'], requests['the manifest']]) {
      http.plant({ when: ({ method, url }) => request.test(`${method} ${url}`), answer: 'lose-answer', times: 1 });
    }
    await workshop.backup(storeAt(http.endpoint));
    expect(http.struck).toBe(2);
    const manifests = (keys: string[]) => keys.filter((key) => key.endsWith('manifest.json')).length;
    expect(manifests(await committed())).toBe(manifests(before) + 1);
    await restoresEqual(direct);
  });

  it('whose line breaks in the middle of parts and of downloads carries the backup and the restore', async () => {
    for (const afterBytes of [1 * MiB, 4 * MiB]) tcp.plant({ direction: 'up', afterBytes, kind: 'cut' });
    const store = storeAt(`http://${tcp.host}:${tcp.port}`);
    await workshop.backup(store);
    expect(tcp.struck).toBe(2);
    for (const afterBytes of [1 * MiB, 3 * MiB]) tcp.plant({ direction: 'down', afterBytes, kind: 'cut' });
    await restoresEqual(store);
    expect(tcp.struck).toBe(4);
  });

  it('that goes away for good in the middle of the dump gets no backup; the next run removes what is there', async () => {
    const store = storeAt(`http://${tcp.host}:${tcp.port}`);
    tcp.plant({ direction: 'up', afterBytes: 3 * MiB, kind: 'stall' });
    const failing = workshop.backup(store);
    const watch = setInterval(() => {
      if (tcp.struck === 0) return;
      tcp.refuse();
      tcp.cutAll();
    }, 10);
    await expect(failing).rejects.toMatchObject({ code: 'storage-unreachable', exitCode: 11, hint: expect.stringMatching(/\S/) });
    clearInterval(watch);
    expect((await committed()).filter((key) => key.endsWith('manifest.json'))).toEqual(
      before.filter((key) => key.endsWith('manifest.json')),
    );
    const { manifest } = await workshop.backup(direct);
    const added = (await committed()).filter((key) => !before.includes(key));
    expect(added.every((key) => key.startsWith(`${DATABASE}/${manifest.id}/`))).toBe(true);
  });

  it.each<{ answer: Answer; request: string; match: RegExp }>(
    (['500', '503', '403', 'nothing'] as const).flatMap((answer) => [
      { answer, request: 'the manifest', match: /^GET .*manifest\.json/ },
      { answer, request: 'the dump', match: /^GET .*dump\.pgc/ },
    ]),
  )('with $answer to the download of $request fails the restore, and the server stays as it was', async ({ answer, match }) => {
    plant(match, answer);
    await expect(workshop.restore(storeAt(http.endpoint))).rejects.toMatchObject({
      code: answers[answer].code,
      exitCode: 11,
      hint: expect.stringMatching(/\S/),
    });
    expect(await committed()).toEqual(before);
  });

  it('that goes away for good in the middle of the download fails the restore, and the server stays as it was', async () => {
    tcp.plant({ direction: 'down', afterBytes: 3 * MiB, kind: 'stall' });
    const failing = workshop.restore(storeAt(`http://${tcp.host}:${tcp.port}`));
    const watch = setInterval(() => {
      if (tcp.struck === 0) return;
      tcp.refuse();
      tcp.cutAll();
    }, 10);
    await expect(failing).rejects.toMatchObject({ code: 'storage-unreachable', exitCode: 11 });
    clearInterval(watch);
  });

  it('has every backup whole in the end', async () => {
    await workshop.backup(direct);
    await restoresEqual(direct);
  });
});
