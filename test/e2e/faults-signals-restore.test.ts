import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { RunningCli } from '../support/cli.ts';
import { type HttpFaultProxy, startHttpFaultProxy } from '../support/http-fault-proxy.ts';
import { createSample, type Installation, makeInstallation } from '../support/installation.ts';
import { type PostgresServer, startPostgres } from '../support/postgres.ts';
import { type S3Server, startS3Server } from '../support/s3-servers.ts';
import { until } from '../support/waiting.ts';

interface Stage {
  readonly stage: string;
  /** Held up by a request to the store that is never answered: method and URL, and the Range header. */
  readonly request?: RegExp;
  readonly range?: RegExp;
  /** Held up by a session that is never answered. */
  readonly application?: RegExp;
  readonly sends?: RegExp;
  /** The server answers once the signal is there: cleaning up needs that very session. */
  readonly goesOn?: boolean;
  /** Needs a dump of more than one segment. */
  readonly large?: boolean;
}

const stages: readonly Stage[] = [
  { stage: 'looking for the backup', request: /^GET .*manifest\.json/ },
  { stage: 'looking at the target', application: /inspect$/ },
  { stage: 'reading the fingerprint', request: /^GET .*fingerprint\.json/ },
  { stage: 'making the staging database', application: /staging/, sends: /CREATE DATABASE/, goesOn: true },
  { stage: 'creating tables', application: /pg_restore pre-data$/, sends: /CREATE TABLE/ },
  { stage: 'downloading rows', request: /^GET .*dump\.pgc/, range: /bytes=8388608-/, large: true },
  { stage: 'loading rows', application: /pg_restore data$/, sends: /COPY public\.event/ },
  { stage: 'building indexes', application: /pg_restore post-data$/, sends: /CREATE INDEX|ADD CONSTRAINT/ },
  { stage: 'collecting statistics', application: /analyze$/, sends: /ANALYZE/ },
  { stage: 'comparing with the fingerprint', application: /fingerprint$/ },
];

const naming: Stage = { stage: 'naming the finished database', application: /staging/, sends: /RENAME TO/ };

describe('a restore that is told to stop', () => {
  let server: PostgresServer;
  let s3: S3Server;
  let http: HttpFaultProxy;
  let small: Installation;
  let large: Installation;

  const databases = async () => (await server.query('SELECT datname FROM pg_database ORDER BY 1')).map(({ datname }) => datname);
  const untouched = ['large', 'postgres', 'small', 'template0', 'template1'];
  const installationOf = (held: Stage): Installation => (held.large === true ? large : small);

  async function makeSite(database: string, megabytes: number): Promise<Installation> {
    await createSample(server, database, megabytes);
    await s3.createBucket(database);
    const installation = await makeInstallation({ server, database, s3: { server: s3, bucket: database, endpoint: http.endpoint } });
    await installation.backup();
    return installation;
  }

  beforeAll(async () => {
    [server, s3] = await Promise.all([startPostgres(15), startS3Server('first')]);
    http = await startHttpFaultProxy(s3);
    small = await makeSite('small', 1);
    large = await makeSite('large', 18);
  });
  afterEach(() => {
    http.heal();
    for (const installation of [small, large]) installation.proxy.heal();
  });
  afterAll(async () => {
    for (const installation of [small, large]) await installation?.[Symbol.asyncDispose]();
    await Promise.all([http?.stop(), server?.stop(), s3?.stop()]);
  });

  async function startUntil(held: Stage): Promise<RunningCli> {
    const { stage, request, range, application, sends } = held;
    const installation = installationOf(held);
    const struck = http.struck;
    if (request !== undefined) {
      const when = ({
        method,
        url,
        headers,
      }: {
        method?: string | undefined;
        url?: string | undefined;
        headers: { range?: string | undefined };
      }) => request.test(`${method} ${url}`) && (range === undefined || range.test(headers.range ?? ''));
      http.plant({ when, answer: 'hang', times: 1 });
    }
    if (application !== undefined) installation.proxy.plant({ application, at: sends === undefined ? 'start' : { sends }, kind: 'stall' });
    const run = installation.cli.start(['restore', 'latest', '--as', 'restored']);
    const reached = () => http.struck > struck || installation.proxy.struck > 0;
    await until(`the restore is ${stage}`, () => reached() || run.child.exitCode !== null);
    if (!reached()) throw new Error(`the restore ended before: ${run.stderr()}`);
    return run;
  }

  describe.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('by %s', (signal, code) => {
    it.each(stages)('while $stage leaves the server as it was', async (held) => {
      const installation = installationOf(held);
      const run = await startUntil(held);
      run.child.kill(signal);
      await until('it says that it stops', () => run.stderr().includes(`${signal}: stopping and cleaning up`));
      if (held.goesOn === true) installation.proxy.heal();
      const ended = await run.ended;
      expect(ended, ended.stderr).toMatchObject({ code });
      expect(await databases()).toEqual(untouched);
      await installation.expectNothingLeft(run);
    });

    it('while naming the finished database either has not done it, or says that it is done', async () => {
      const installation = small;
      const run = await startUntil(naming);
      run.child.kill(signal);
      await until('it says that it stops', () => run.stderr().includes(`${signal}: stopping and cleaning up`));
      installation.proxy.heal();
      const ended = await run.ended;
      const done = ended.code === 0;
      if (!done) expect(ended, ended.stderr).toMatchObject({ code });
      expect(await databases()).toEqual(done ? [...untouched, 'restored'].sort() : untouched);
      if (done) await server.query('DROP DATABASE restored');
      await installation.expectNothingLeft(run);
    });
  });

  describe('by SIGKILL', () => {
    it.each([...stages, naming])('while $stage shows no half database, and the next restore removes what it left', async (held) => {
      const installation = installationOf(held);
      const run = await startUntil(held);
      run.child.kill('SIGKILL');
      expect(await run.ended).toMatchObject({ code: null, signal: 'SIGKILL' });
      expect(await databases()).not.toContain('restored');
      installation.proxy.heal();
      await installation.restoresEqual();
      expect(await databases()).toEqual(untouched);
      await installation.endGrace();
      await installation.expectNothingLeft(run);
    });
  });
});
