import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { RunningCli } from '../support/cli.ts';
import { type HttpFaultProxy, startHttpFaultProxy } from '../support/http-fault-proxy.ts';
import { createSample, type Installation, makeInstallation } from '../support/installation.ts';
import { type PostgresServer, startPostgres } from '../support/postgres.ts';
import { type S3Server, startS3Server } from '../support/s3-servers.ts';
import { until } from '../support/waiting.ts';

/** Where a backup is held up, by the request to the store or to the server that is never answered; `large` needs more than one part. */
const stages = [
  { stage: 'opening the repository', request: /^GET .*jetbackup\.json/ },
  { stage: 'connecting for the snapshot', session: { application: /snapshot$/, at: 'start' } },
  { stage: 'exporting the snapshot', session: { application: /snapshot$/, at: { sends: /pg_export_snapshot/ } } },
  { stage: 'claiming its folder', request: /^PUT .*claim\.json/ },
  { stage: 'connecting for the dump', session: { application: /pg_dump$/, at: 'start' } },
  { stage: 'reading rows', session: { application: /pg_dump$/, at: { answeredBytes: 300_000 } } },
  { stage: 'uploading the first part', large: true, request: /^PUT .*dump\.pgc.*partNumber=1/ },
  { stage: 'completing the upload of the dump', large: true, request: /^POST .*dump\.pgc.*uploadId=/ },
  { stage: 'taking the fingerprint', session: { application: /fingerprint$/, at: 'start' } },
  { stage: 'dumping the roles', session: { application: /pg_dumpall$/, at: 'start' } },
  { stage: 'uploading the files', request: /^PUT .*files\.tar/ },
  { stage: 'committing', request: /^PUT .*manifest\.json/ },
] as const;

describe('a backup that is told to stop', () => {
  let server: PostgresServer;
  let s3: S3Server;
  let http: HttpFaultProxy;
  let small: Site;
  let large: Site;
  let folder: string;

  /** A database with its repository, and the ids of its backups so far. */
  interface Site {
    readonly installation: Installation;
    before: string[];
  }
  const siteOf = (held: (typeof stages)[number]): Site => ('large' in held ? large : small);

  async function makeSite(database: string, megabytes: number): Promise<Site> {
    await createSample(server, database, megabytes);
    await s3.createBucket(database);
    const settings = { files: [join(folder, 'env')] };
    const installation = await makeInstallation({
      server,
      database,
      s3: { server: s3, bucket: database, endpoint: http.endpoint },
      settings,
    });
    return { installation, before: [await installation.backup()] };
  }

  beforeAll(async () => {
    [server, s3, folder] = await Promise.all([startPostgres(15), startS3Server('first'), mkdtemp(join(tmpdir(), 'jetbackup-files-'))]);
    await writeFile(join(folder, 'env'), 'KEY=value\n');
    http = await startHttpFaultProxy(s3);
    small = await makeSite('small', 1);
    large = await makeSite('large', 18);
  });
  afterEach(() => {
    http.heal();
    for (const { installation } of [small, large]) installation.proxy.heal();
  });
  afterAll(async () => {
    for (const site of [small, large]) await site?.installation[Symbol.asyncDispose]();
    await Promise.all([http?.stop(), server?.stop(), s3?.stop()]);
    await rm(folder, { recursive: true, force: true });
  });

  async function startUntil(held: (typeof stages)[number]): Promise<RunningCli> {
    const { installation } = siteOf(held);
    const struck = http.struck;
    if ('request' in held) http.plant({ when: ({ method, url }) => held.request.test(`${method} ${url}`), answer: 'hang', times: 1 });
    else installation.proxy.plant({ ...held.session, kind: 'stall' });
    const run = installation.cli.start(['backup']);
    const reached = () => http.struck > struck || installation.proxy.struck > 0;
    await until(`the backup is ${held.stage}`, () => reached() || run.child.exitCode !== null);
    if (!reached()) throw new Error(`the backup ended before: ${run.stderr()}`);
    return run;
  }

  describe.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('by %s', (signal, code) => {
    it.each(stages)('while $stage commits nothing and cleans up', async (held) => {
      const site = siteOf(held);
      const { installation } = site;
      const run = await startUntil(held);
      run.child.kill(signal);
      const ended = await run.ended;
      expect(ended, ended.stderr).toMatchObject({ code });
      expect(ended.stderr).toContain(`${signal}: stopping and cleaning up`);
      expect(await installation.committed()).toEqual(site.before);
      if (held.stage === 'committing') {
        // The request may arrive yet, so the objects stay, and nobody is told that they are a backup.
        expect(ended.stderr).toMatch(/whether the backup \S+ was committed is not known; .*jetbackup list/);
        const left = (await installation.repository.keys()).filter((key) => key.endsWith('claim.json'));
        site.before = [...site.before, await installation.backup()];
        expect(await installation.repository.keys()).toEqual(expect.arrayContaining(left));
        await installation.endGrace();
        site.before = [...site.before, await installation.backup()];
      }
      await installation.expectNothingLeft(run);
    });
  });

  describe('by SIGKILL', () => {
    it.each(stages)('while $stage commits nothing, and the next backup removes what it left', async (held) => {
      const site = siteOf(held);
      const { installation } = site;
      const run = await startUntil(held);
      run.child.kill('SIGKILL');
      expect(await run.ended).toMatchObject({ code: null, signal: 'SIGKILL' });
      installation.proxy.heal();
      expect(await installation.committed()).toEqual(site.before);
      if (held.stage === 'committing') await installation.endGrace();
      site.before = [...site.before, await installation.backup()];
      expect(await installation.committed()).toEqual(site.before);
      await installation.expectNothingLeft(run);
    });
  });

  it('by SIGKILL between the commit and its last step leaves a whole backup, and the next one removes its claim', async () => {
    const { installation } = small;
    const struck = http.struck;
    http.plant({ when: ({ method, url }) => method === 'DELETE' && url?.includes('claim.json') === true, answer: 'hang', times: 1 });
    const run = installation.cli.start(['backup']);
    await until('the backup is committed', () => http.struck > struck);
    run.child.kill('SIGKILL');
    expect(await run.ended).toMatchObject({ code: null, signal: 'SIGKILL' });
    const ids = await installation.ids();
    expect(ids).toHaveLength(small.before.length + 1);
    expect(await installation.repository.keys()).toContainEqual(expect.stringContaining(`${ids.at(-1)}/claim.json`));
    await installation.restoresEqual(ids.at(-1));
    small.before = [...ids, await installation.backup()];
    await installation.expectNothingLeft(run);
  });

  it('loses nothing: the first backups restore, and so do the next', async () => {
    for (const { installation, before } of [small, large]) {
      await installation.restoresEqual(before[0]);
      const next = await installation.backup();
      expect(await installation.ids()).toEqual([...before, next]);
      await installation.restoresEqual();
    }
  });
});
