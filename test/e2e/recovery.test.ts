import { access, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { installedPrograms } from '../../scripts/client-tools.ts';
import { inPath } from '../../scripts/prerequisites.ts';
import { contentsOf, createSample, type Installation, makeInstallation } from '../support/installation.ts';
import { type PostgresServer, startPostgres } from '../support/postgres.ts';
import { type S3Server, startS3Server } from '../support/s3-servers.ts';
import { type Ended, runProgram } from '../support/stock-programs.ts';

/** All that RECOVERY.md may ask for: what a plain Debian has, and the programs that it names. */
const basics = [
  'sh',
  'ls',
  'cat',
  'sort',
  'tail',
  'xargs',
  'dirname',
  'sha256sum',
  'cut',
  'mktemp',
  'base64',
  'mkdir',
  'tar',
  'gunzip',
  'gzip',
  'rm',
  'grep',
  'awk',
  'tr',
  'sed',
  'env',
];
const stock = ['age', 'zstd', 'jq', 'openssl'];
const clientPrograms = ['psql', 'pg_restore', 'createdb'];
const found = await Promise.all([15, 16, 17, 18].map((major) => installedPrograms(major, clientPrograms)));
const client = found.find((directory) => directory !== undefined);
const missing = await Promise.all(stock.map(async (name) => ((await inPath(name)) ? [] : [name])));
const lacking = [...missing.flat(), ...(client === undefined ? ['createdb'] : [])];

const DATABASE = 'source';

/** The text of every `sh` block, in order. */
function shellBlocks(markdown: string): string[] {
  return [...markdown.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map(([, text = '']) => text);
}

/** A folder of links to exactly these programs. */
async function toolbox(directory: string): Promise<void> {
  await mkdir(directory);
  for (const name of [...basics, ...stock]) {
    const folders = (process.env['PATH'] ?? '').split(':');
    for (const folder of folders) {
      const there = await access(join(folder, name)).then(
        () => true,
        () => false,
      );
      if (!there) continue;
      await symlink(join(folder, name), join(directory, name));
      break;
    }
  }
  for (const name of clientPrograms) await symlink(join(client ?? '', name), join(directory, name));
}

describe.skipIf(lacking.length > 0)(`RECOVERY.md${lacking.length > 0 ? ` (needs ${lacking.join(', ')})` : ''}`, () => {
  let server: PostgresServer;
  let s3: S3Server;
  let folder: string;
  let programs: string;

  beforeAll(async () => {
    [server, s3, folder] = await Promise.all([startPostgres(15), startS3Server('first'), mkdtemp(join(tmpdir(), 'jetbackup-recovery-'))]);
    programs = join(folder, 'bin');
    await toolbox(programs);
    await createSample(server, DATABASE, 2);
    await server.query("CREATE ROLE clerk LOGIN PASSWORD 'secret'; GRANT CONNECT ON DATABASE source TO clerk");
    await server.query('GRANT SELECT ON account TO clerk; ALTER TABLE event OWNER TO clerk', DATABASE);
  });
  afterAll(async () => {
    await Promise.all([server?.stop(), s3?.stop()]);
    await rm(folder, { recursive: true, force: true });
  });

  /** What a person has: the repository (or a copy), the identity, the address of a server; and no jetbackup. */
  async function follow(installation: Installation, repository: string, target: PostgresServer): Promise<Ended> {
    const home = await mkdtemp(join(folder, 'home-'));
    const identity = join(home, 'identity.txt');
    await writeFile(identity, await readFile(join(installation.cli.directory, 'jetbackup-identity.txt')), { mode: 0o600 });
    const blocks = shellBlocks(await readFile(join(repository, 'RECOVERY.md'), 'utf8'));
    expect(blocks.length).toBeGreaterThanOrEqual(6);
    const variables = {
      PATH: programs,
      HOME: home,
      TMPDIR: home,
      REPOSITORY: repository,
      IDENTITY: identity,
      TARGET: 'recovered',
      PGHOST: target.host,
      PGPORT: String(target.port),
      PGUSER: target.user,
      PGPASSWORD: target.password,
    };
    const settings = Object.entries(variables).map(([name, value]) => `${name}=${value}`);
    const script = join(home, 'recovery.sh');
    await writeFile(script, blocks.join('\n'));
    return await runProgram('env', ['-i', '-C', home, ...settings, join(programs, 'sh'), '-eu', script], '');
  }

  async function provesEqual(installation: Installation, repository: string): Promise<void> {
    // A server that has never seen the source.
    await using target = await startPostgres(15);
    const ended = await follow(installation, repository, target);
    expect(ended, `${ended.stderr}\n${ended.stdout.toString()}`).toMatchObject({ code: 0 });
    expect(ended.stdout.toString()).toMatch(/dump: whole[\s\S]*Signature Verified Successfully/);
    expect(await contentsOf(target, 'recovered')).toEqual(await contentsOf(server, DATABASE));
    const owners = "SELECT tablename, tableowner FROM pg_tables WHERE schemaname = 'public' ORDER BY 1";
    expect(await target.query(owners, 'recovered')).toEqual(await server.query(owners, DATABASE));
    const password = "SELECT rolpassword FROM pg_authid WHERE rolname = 'clerk'";
    expect(await target.query(password)).toEqual(await server.query(password));
  }

  it.each(['gzip', 'zstd'] as const)('brings a database back out of a directory with stock tools alone (%s)', async (codec) => {
    const files = join(folder, `app-${codec}.env`);
    await writeFile(files, 'KEY=value\n');
    await using installation = await makeInstallation({
      server,
      database: DATABASE,
      settings: { files: [files] },
      config: { compression: { codec } },
    });
    await installation.backup();
    await provesEqual(installation, join(installation.cli.directory, 'repository'));
  });

  it('brings a database back out of a bucket, once its objects are copied down', async () => {
    await s3.createBucket('recovery');
    await using installation = await makeInstallation({
      server,
      database: DATABASE,
      s3: { server: s3, bucket: 'recovery', endpoint: s3.endpoint },
    });
    await installation.backup();
    const copy = join(folder, 'copy');
    for (const key of await installation.repository.keys()) {
      await mkdir(join(copy, dirname(key)), { recursive: true });
      await writeFile(join(copy, key), await installation.repository.read(key));
    }
    await provesEqual(installation, copy);
  });

  it('stops at a damaged object and at a changed manifest, before anything is loaded', async () => {
    await using installation = await makeInstallation({ server, database: DATABASE });
    const id = await installation.backup();
    const { repository } = installation;
    const directory = join(installation.cli.directory, 'repository');
    const exists = async () => (await server.query("SELECT FROM pg_database WHERE datname = 'recovered'")).length;
    for (const [name, from, to] of [
      ['dump.pgc.gz.age', undefined, undefined],
      ['manifest.json', '"tags": {}', '"tags": {"approved": "yes"}'],
    ] as const) {
      const key = `${DATABASE}/${id}/${name}`;
      const whole = await repository.read(key);
      const changed = Buffer.from(from === undefined ? whole : whole.toString('utf8').replace(from, to));
      if (from === undefined) changed[1000] = (changed[1000] ?? 0) ^ 1;
      await repository.write(key, changed);
      const ended = await follow(installation, directory, server);
      expect(ended.code, `${name}: ${ended.stdout}`).not.toBe(0);
      expect(`${ended.stdout}${ended.stderr}`).toMatch(from === undefined ? /dump: DAMAGED/ : /Signature Verification Failure/);
      expect(await exists()).toBe(0);
      await repository.write(key, whole);
    }
  });
});
