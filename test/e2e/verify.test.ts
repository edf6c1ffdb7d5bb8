import { spawnSync } from 'node:child_process';
import { mkdir, readFile, rm, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type * as z from 'zod';
import { VerifyDocument } from '../../src/cli/json-verify.ts';
import { MiB } from '../../src/core/bytes.ts';
import { checkIds } from '../../src/core/verification.ts';
import type { CliResult, RunningCli } from '../support/cli.ts';
import { engineByTcp } from '../support/engine-by-tcp.ts';
import { createSample, expectFailure, type Installation } from '../support/installation.ts';
import { localServerPrograms, type SourceServer, startLocalServer } from '../support/local-server.ts';
import { type PostgresServer, startPostgres } from '../support/postgres.ts';
import { docker, partsOfProcess } from '../support/sandboxes.ts';
import { makeVerifyInstallation, type VerifyInstallation } from '../support/verify-installation.ts';
import { until } from '../support/waiting.ts';

const DATABASE = 'source';
const programs = await localServerPrograms();
const kinds = programs === undefined ? (['container'] as const) : (['container', 'local'] as const);

type Result = z.infer<typeof VerifyDocument>['verified'][number];

function theOne(ended: CliResult): Result {
  const { verified, unverified } = VerifyDocument.parse(ended.json());
  expect(unverified).toEqual([]);
  const [result, ...others] = verified;
  expect(others).toEqual([]);
  if (result === undefined) throw new Error(`nothing was verified: ${ended.stderr}`);
  return result;
}

/** Nothing can be said: status 32, with what to do, and never a word of proof. */
function expectUnknown(ended: CliResult, message: RegExp, hint: RegExp): void {
  expectFailure(ended, 32, message);
  expect(/^hint: (.*)$/m.exec(ended.stderr)?.[1]).toMatch(hint);
  expect(ended.stdout).not.toContain('proven');
}

describe('jetbackup verify', () => {
  let server: SourceServer & AsyncDisposable;
  let site: VerifyInstallation;
  let installation: Installation;
  let id: string;
  let pristine: Map<string, Buffer>;

  beforeAll(async () => {
    server = programs === undefined ? await startPostgres(15) : await startLocalServer(programs);
    await createSample(server, DATABASE, 25);
    site = await makeVerifyInstallation({ server, database: DATABASE });
    installation = site.installation;
    id = await installation.backup();
    const { repository } = installation;
    pristine = new Map(await Promise.all((await repository.keys()).map(async (name) => [name, await repository.read(name)] as const)));
  });
  afterEach(async () => {
    const { repository, programs: wrapped } = installation;
    await wrapped.restore();
    await site.configureVerify();
    for (const name of await repository.keys()) if (!pristine.has(name)) await repository.delete(name);
    for (const [name, bytes] of pristine) await repository.write(name, bytes);
    await installation.expectNothingLeft();
  });
  afterAll(async () => {
    await site?.[Symbol.asyncDispose]();
    await server?.[Symbol.asyncDispose]();
  });

  const key = (name: string) => `${DATABASE}/${id}/${name}`;
  const proofOf = async () => {
    const listed = await installation.cli.run('list', '--json');
    return (listed.json() as { backups: { proof: unknown }[] }).backups[0]?.proof;
  };
  const nothingLeft = async (run: RunningCli) => {
    expect(await site.leftOf(run)).toEqual([]);
    await installation.expectNothingLeft(run);
  };

  describe('of a good backup', () => {
    const there = () => `postgres://${server.user}@${server.host}:${server.port}/?sslmode=disable`;

    it.each([...kinds, 'a server'])('proves it in %s, tells the RTO by its phases, and leaves nothing but the proof', async (kind) => {
      const [sandbox, env] = kind === 'a server' ? [there(), { PGPASSWORD: server.password }] : [kind, {}];
      const started = performance.now();
      const run = installation.cli.start(['verify', '--sandbox', sandbox, '--json', '--junit', 'report.xml'], env);
      const ended = await run.ended;
      const wallSeconds = (performance.now() - started) / 1000;
      expect(ended, ended.stderr).toMatchObject({ code: 0 });

      const result = theOne(ended);
      expect(result).toMatchObject({
        database: DATABASE,
        backup: id,
        outcome: 'proven',
        attached: true,
        sandbox: { kind: kind === 'a server' ? 'server' : kind },
      });
      expect(result.checks.map((check) => check.id)).toEqual(checkIds);
      expect(result.checks.filter(({ status }) => status === 'fail')).toEqual([]);
      expect(result.checks.find((check) => check.id === 'fingerprint')).toMatchObject({
        status: 'pass',
        message: expect.stringContaining('row for row'),
      });

      const rto = result.rtoSeconds ?? Number.NaN;
      const sum = result.phases.reduce((total, { ms }) => total + ms, 0) / 1000;
      expect(Math.abs(sum / rto - 1)).toBeLessThan(0.02);
      expect(rto).toBeLessThan(wallSeconds);
      const phases = [
        'find',
        'locate',
        'provision',
        'globals',
        'create',
        'pre-data',
        'data',
        'post-data',
        'open',
        'analyze',
        'promote',
        'checks',
        'first-query',
      ];
      expect(result.phases.map(({ phase }) => phase)).toEqual(phases.filter((phase) => kind !== 'a server' || phase !== 'promote'));

      const report = await readFile(join(installation.cli.directory, 'report.xml'), 'utf8');
      expect(report).toMatch(
        new RegExp(`<testsuite name="${DATABASE} ${id}" timestamp="[^"]+" tests="${checkIds.length}" failures="0" errors="0"`),
      );
      expect(report.match(/<testcase /g)).toHaveLength(checkIds.length);
      await rm(join(installation.cli.directory, 'report.xml'));

      expect(await proofOf()).toBe('proven');
      await nothingLeft(run);
    });
  });

  describe('of a backup that is damaged ends in 30, names the check, and marks it failed', () => {
    it.each<[what: string, check: string, damage: (files: Installation['repository'], other: string) => Promise<void>]>([
      [
        'a dump that lost its last byte',
        'objects',
        async (files) => await files.write(key('dump.pgc.gz.age'), (await files.read(key('dump.pgc.gz.age'))).subarray(0, -1)),
      ],
      [
        'a dump with one bit turned over',
        'archive',
        async (files) => {
          const bytes = Buffer.from(await files.read(key('dump.pgc.gz.age')));
          bytes[bytes.byteLength >> 1] = (bytes[bytes.byteLength >> 1] ?? 0) ^ 1;
          await files.write(key('dump.pgc.gz.age'), bytes);
        },
      ],
      [
        'the manifest of another backup',
        'authentic',
        async (files, other) => await files.write(key('manifest.json'), await files.read(`${DATABASE}/${other}/manifest.json`)),
      ],
    ])('%s', async (_, check, damage) => {
      const other = check === 'authentic' ? await installation.backup() : '';
      await damage(installation.repository, other);
      const run = installation.cli.start(['verify', id, '--sandbox', kinds.at(-1) ?? '', '--json', '--junit', 'report.xml']);
      const ended = await run.ended;
      expect(ended, ended.stderr).toMatchObject({ code: 30 });
      const result = theOne(ended);
      expect(result.outcome).toBe('failed');
      expect(result.checks.at(-1)).toMatchObject({ id: check, status: 'fail', hint: expect.stringMatching(/\S/) });
      expect(await readFile(join(installation.cli.directory, 'report.xml'), 'utf8')).toMatch(
        / failures="1" errors="0"[\s\S]*<failure message="/,
      );
      await rm(join(installation.cli.directory, 'report.xml'));
      expect(await site.leftOf(run)).toEqual([]);
      if (check !== 'authentic') expect(await proofOf()).toBe('failed');
    });
  });

  describe('of which nothing can be told ends in 32 with the remedy, and proves nothing', () => {
    it('where no container engine answers', async () => {
      const ended = await installation.cli.start(['verify', '--sandbox', 'container'], { DOCKER_HOST: 'tcp://127.0.0.1:1' }).ended;
      expectUnknown(ended, /no container engine answers at tcp:\/\/127\.0\.0\.1:1/, /Start Docker or Podman.*DOCKER_HOST.*--sandbox local/);
    });

    it('where the engine has no such image and cannot pull it', async () => {
      const ended = await installation.cli.start(['verify', '--sandbox', 'container', '--junit', 'report.xml'], {
        JETBACKUP_SANDBOX_IMAGE: 'localhost:1/does-not/exist:{major}',
      }).ended;
      expectUnknown(
        ended,
        /does not have the image localhost:1\/does-not\/exist:15/,
        /docker pull localhost:1\/does-not\/exist:15.*JETBACKUP_SANDBOX_IMAGE/,
      );
      // An error, which a CI server does not colour green.
      expect(await readFile(join(installation.cli.directory, 'report.xml'), 'utf8')).toMatch(
        /tests="1" failures="0" errors="1"[\s\S]*<error message="/,
      );
      await rm(join(installation.cli.directory, 'report.xml'));
    });

    it('where no engine answers and this machine has no place for a server', async () => {
      const env = { DOCKER_HOST: 'tcp://127.0.0.1:1', JETBACKUP_SANDBOX: 'auto' };
      await site.configureVerify({ directory: join(site.sandboxes, 'is not there') });
      const ended = await installation.cli.start(['verify'], env).ended;
      expectUnknown(
        ended,
        /there is no sandbox to restore into\. No container: .*And no server of this machine: /,
        /One of these helps; for a container: .*for a server of this machine: /,
      );
    });

    it('where the limits leave no room for its data', async () => {
      await site.configureVerify({ storage: 'memory', memory: '300MB' });
      expectUnknown(
        await site.verify('--sandbox', 'container'),
        /there is no room for the sandbox/,
        /verify\.storage: disk.*verify\.memory/,
      );
    });

    it('where its disk fills up while rows are loaded: in a container', async () => {
      await site.configureVerify({ storage: 'memory', memory: '1GB' });
      await installation.programs.hold('pg_restore', '*/data.list*');
      const run = installation.cli.start(['verify', '--sandbox', 'container']);
      await until('rows are about to be loaded', () => installation.programs.reached());
      const [container = ''] = (await partsOfProcess(run.child.pid)).flatMap((part) => /^container \/(.*)$/.exec(part)?.[1] ?? []);
      const filling = await (await docker())
        .getContainer(container)
        .exec({ Cmd: ['sh', '-c', 'cat /dev/zero > /var/lib/jetbackup-sandbox/filler'] });
      await (await filling.start({})).resume();
      await until('its memory is full', async () => !(await filling.inspect()).Running);
      await installation.programs.restore();
      expectUnknown(await run.ended, /No space left on device|memory that hold its data are full/, /verify\.storage: disk/);
      await nothingLeft(run);
    });

    it.skipIf(programs === undefined || process.getuid?.() !== 0)(
      'where its disk fills up while rows are loaded: on this machine (needs the right to mount)',
      async () => {
        const place = join(site.sandboxes, 'small');
        await mkdir(place);
        expect(spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=450m,mode=755', 'tmpfs', place]).status).toBe(0);
        try {
          await site.configureVerify({ directory: place });
          await installation.programs.hold('pg_restore', '*/data.list*');
          const run = installation.cli.start(['verify', '--sandbox', 'local']);
          await until('rows are about to be loaded', () => installation.programs.reached());
          // Also while the server still writes.
          await until('the disk is full', async () => {
            const { bavail, bsize } = await statfs(place);
            return spawnSync('fallocate', ['-l', String(bavail * bsize - MiB), join(place, 'filler')]).status === 0;
          });
          await installation.programs.restore();
          expectUnknown(await run.ended, /No space left on device|is full/, /verify\.directory/);
          await rm(join(place, 'filler'));
          expect(spawnSync('ls', ['-A', place]).stdout.toString()).toBe('');
          await nothingLeft(run);
        } finally {
          spawnSync('umount', ['--lazy', place]);
          await rm(place, { recursive: true });
        }
      },
    );

    it('where the engine goes away with its containers: what is left is told, and removed by the next one', async () => {
      await using engine = await engineByTcp();
      await installation.programs.hold('pg_restore', '*/data.list*');
      const run = installation.cli.start(['verify', '--sandbox', 'container'], { DOCKER_HOST: engine.url });
      await until('rows are about to be loaded', () => installation.programs.reached());
      const [container = ''] = (await partsOfProcess(run.child.pid)).flatMap((part) => /^container \/(.*)$/.exec(part)?.[1] ?? []);
      await engine.stop();
      await (await docker()).getContainer(container).kill();
      await installation.programs.restore();
      const ended = await run.ended;
      expectUnknown(ended, /the container engine does not answer/, /neither proven nor found bad\. Verify it again/);
      expect(ended.stderr).toMatch(new RegExp(`something of the sandbox is left: .*docker rm --force --volumes ${container}`));
      const next = await site.verify('--sandbox', 'container');
      expect(next, next.stderr).toMatchObject({ code: 0 });
      await nothingLeft(run);
    });
  });
});

describe('what the source has and the sandbox lacks', () => {
  let source: PostgresServer;
  let site: VerifyInstallation;
  const EXTENSIONS = '/usr/share/postgresql/15/extension';

  beforeAll(async () => {
    source = await startPostgres(15, { tmpfs: true });
    await source.query(`CREATE DATABASE ${DATABASE}`);
    site = await makeVerifyInstallation({ server: source, database: DATABASE });
  });
  afterAll(async () => {
    await site?.[Symbol.asyncDispose]();
    await source?.stop();
  });

  it.each(kinds)('an extension: verify in %s ends in 32, before anything is loaded, and says where to get it', async (kind) => {
    const made = await source.exec([
      'sh',
      '-c',
      `printf "default_version = '1.0'\\nrelocatable = true\\n" > ${EXTENSIONS}/house_rules.control && echo 'CREATE FUNCTION rule() RETURNS int LANGUAGE sql RETURN 42;' > ${EXTENSIONS}/house_rules--1.0.sql`,
    ]);
    expect(made.exitCode).toBe(0);
    await source.query('CREATE EXTENSION IF NOT EXISTS house_rules', DATABASE);
    await site.installation.backup();
    expectUnknown(
      await site.verify('--sandbox', kind),
      /cannot take this backup: .*house_rules/,
      /\S.*(verify\.image|--sandbox container)/,
    );
  });

  it('a library of functions in C: verify ends in 32, and does not blame the backup', async () => {
    await source.query('DROP EXTENSION IF EXISTS house_rules', DATABASE);
    expect(
      (await source.exec(['sh', '-c', 'mkdir -p /opt/house && cp /usr/lib/postgresql/15/lib/refint.so /opt/house/rules.so'])).exitCode,
    ).toBe(0);
    await source.query(
      "CREATE OR REPLACE FUNCTION rules() RETURNS trigger LANGUAGE c AS '/opt/house/rules.so', 'check_primary_key'",
      DATABASE,
    );
    await site.installation.backup();
    expectUnknown(
      await site.verify('--sandbox', 'container'),
      /could not access file "\/opt\/house\/rules\.so"/,
      /library that the sandbox lacks.*verify\.image/,
    );
  });
});
