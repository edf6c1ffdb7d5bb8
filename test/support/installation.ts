import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  DeleteObjectCommand,
  GetObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
} from '@aws-sdk/client-s3';
import { expect } from 'vitest';
import { parse, stringify } from 'yaml';
import * as z from 'zod';
import { type CliFolder, type CliResult, makeCliFolder, type RunningCli } from './cli.ts';
import { clientTools } from './client-tools.ts';
import type { SourceServer } from './local-server.ts';
import type { PostgresServer, Row } from './postgres.ts';
import { type PostgresProxy, startPostgresProxy } from './postgres-proxy.ts';
import type { S3Server } from './s3-servers.ts';
import { until } from './waiting.ts';
import { type WrappedPrograms, wrapPrograms } from './wrapped-programs.ts';

/** A repository as one sees it without jetbackup: to look at, to damage, to swap things in. */
export interface RepositoryFiles {
  /** Sorted. */
  keys(): Promise<string[]>;
  read(key: string): Promise<Buffer>;
  write(key: string, bytes: Uint8Array | string): Promise<void>;
  delete(key: string): Promise<void>;
  /** Puts that were begun and never finished: multipart uploads, temporary files. */
  unfinished(): Promise<string[]>;
}

export function directoryFiles(directory: string): RepositoryFiles {
  const temporary = '.jetbackup-unfinished';
  const all = async () => {
    const entries = await readdir(directory, { recursive: true, withFileTypes: true });
    return entries
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(directory.length + 1))
      .sort();
  };
  return {
    keys: async () => (await all()).filter((key) => !key.startsWith(temporary)),
    read: (key) => readFile(join(directory, key)),
    write: (key, bytes) => writeFile(join(directory, key), bytes),
    delete: async (key) => {
      const { rm } = await import('node:fs/promises');
      await rm(join(directory, key));
    },
    unfinished: async () => (await all()).filter((key) => key.startsWith(temporary)),
  };
}

export function bucketFiles({ client }: S3Server, bucket: string): RepositoryFiles {
  return {
    // Fewer than 1,000 objects: one page.
    keys: async () => ((await client.send(new ListObjectsV2Command({ Bucket: bucket }))).Contents ?? []).map(({ Key }) => Key ?? '').sort(),
    async read(key) {
      const { Body } = await client.send(new GetObjectCommand({ Bucket: bucket, Key: key }));
      if (Body === undefined) throw new Error(`${key} has no body`);
      return Buffer.from(await Body.transformToByteArray());
    },
    write: async (key, bytes) => void (await client.send(new PutObjectCommand({ Bucket: bucket, Key: key, Body: bytes }))),
    delete: async (key) => void (await client.send(new DeleteObjectCommand({ Bucket: bucket, Key: key }))),
    unfinished: async () =>
      ((await client.send(new ListMultipartUploadsCommand({ Bucket: bucket }))).Uploads ?? []).map(({ Key }) => Key ?? ''),
  };
}

const ListSchema = z.object({ backups: z.array(z.object({ id: z.string() })), unusable: z.array(z.object({ id: z.string() })) });
const ManifestPart = z.object({ artifacts: z.array(z.object({ objects: z.array(z.object({ name: z.string() })) })) });

export interface InstallationOptions {
  readonly server: SourceServer;
  /** The database to back up; also its name in the repository. */
  readonly database: string;
  /** Default: a directory below the installation's own folder. */
  readonly s3?: { readonly server: S3Server; readonly bucket: string; readonly endpoint: string };
  /** Instead of the default directory. */
  readonly directory?: string;
  /** Settings of the one database in jetbackup.yaml, e.g. `fingerprint`. */
  readonly settings?: Readonly<Record<string, unknown>>;
  /** Further sections of jetbackup.yaml. */
  readonly config?: Readonly<Record<string, unknown>>;
}

/** A user's folder after `jetbackup init`, whose database is reached through a proxy and whose client programs can be made to misbehave. */
export interface Installation extends AsyncDisposable {
  readonly cli: CliFolder;
  readonly database: string;
  readonly proxy: PostgresProxy;
  readonly programs: WrappedPrograms;
  readonly repository: RepositoryFiles;
  readonly initialized: CliResult;
  configure(settings: Readonly<Record<string, unknown>>, config?: Readonly<Record<string, unknown>>): Promise<void>;
  /** Ids that `jetbackup list` shows; fails when one of them is not usable. */
  ids(): Promise<string[]>;
  /** Ids with a manifest, oldest first: what `list` goes by. */
  committed(): Promise<string[]>;
  /** Backs up, and fails unless that went well. Gives the new id. */
  backup(...args: string[]): Promise<string>;
  /** Restores under a new name, compares it with the source row by row, and drops it again. */
  restoresEqual(when?: string): Promise<void>;
  /** Asserts that no process, temporary file, unfinished upload, stray object, staging database or session is left. */
  expectNothingLeft(run?: RunningCli): Promise<void>;
  /** As hours later: what runs left that were committing is no longer spared for a manifest that might yet arrive, and notes of killed readers and objects of killed probes are swept. */
  endGrace(): Promise<void>;
}

/** What is in every table, independent of the order of its rows; to compare two databases by. */
export async function contentsOf(server: Pick<PostgresServer, 'query'>, database: string): Promise<Record<string, Row>> {
  const tables = await server.query(
    "SELECT quote_ident(relname) AS name FROM pg_class WHERE relkind = 'r' AND oid >= 16384 AND relnamespace = 'public'::regnamespace ORDER BY 1",
    database,
  );
  const contents: Record<string, Row> = {};
  for (const { name } of tables) {
    const [row] = await server.query(
      `SELECT count(*)::int AS rows, md5(string_agg(md5(t::text), '' ORDER BY md5(t::text))) AS digest FROM ${String(name)} t`,
      database,
    );
    contents[String(name)] = row ?? {};
  }
  const indexes = await server.query("SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1", database);
  contents['indexes'] = { indexes: indexes.map(({ indexdef }) => indexdef) };
  return contents;
}

/** Two tables with a foreign key and an index; `megabytes` of dump that hardly compresses. */
export async function createSample(server: Pick<PostgresServer, 'query'>, database: string, megabytes: number): Promise<void> {
  await server.query(`CREATE DATABASE ${database}`);
  await server.query(
    `CREATE TABLE account (id int PRIMARY KEY, name text NOT NULL);
     CREATE TABLE event (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, account int NOT NULL REFERENCES account, body bytea NOT NULL);
     CREATE INDEX event_account ON event (account);
     INSERT INTO account SELECT n, 'account ' || n FROM generate_series(1, 100) n;
     INSERT INTO event (account, body) SELECT 1 + n % 100, (SELECT string_agg(decode(md5(n::text || ':' || i), 'hex'), '') FROM generate_series(1, 32) i)
       FROM generate_series(1, ${Math.ceil(megabytes * 960)}) n;`,
    database,
  );
}

async function processesWithin(directory: string): Promise<string[]> {
  const ids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const found = await Promise.all(
    ids.map(async (id) => {
      // Children get this HOME from jetbackup; programs that do not run any more have an empty environment.
      const environ = await readFile(`/proc/${id}/environ`, 'utf8').catch(() => '');
      if (!environ.split('\0').includes(`HOME=${directory}`)) return [];
      return [(await readFile(`/proc/${id}/cmdline`, 'utf8').catch(() => '')).replaceAll('\0', ' ')];
    }),
  );
  return found.flat().filter((line) => line !== '');
}

export async function makeInstallation(options: InstallationOptions): Promise<Installation> {
  const { server, database, s3 } = options;
  const proxy = await startPostgresProxy(server);
  const cli = await makeCliFolder();
  const temporary = join(cli.directory, 'tmp');
  const directory = options.directory ?? join(cli.directory, 'repository');
  await mkdir(temporary);
  cli.env['TMPDIR'] = temporary;
  cli.env['JETBACKUP_REPOSITORY'] = s3 === undefined ? `file://${directory}` : `s3://${s3.bucket}?endpoint=${s3.endpoint}`;
  if (s3 !== undefined) {
    cli.env['AWS_ACCESS_KEY_ID'] = s3.server.credentials.accessKeyId;
    cli.env['AWS_SECRET_ACCESS_KEY'] = s3.server.credentials.secretAccessKey;
  }
  const { user, password } = server;
  cli.env['DATABASE_URL'] =
    `postgres://${encodeURIComponent(user)}:${encodeURIComponent(password)}@${proxy.host}:${proxy.port}/${database}?sslmode=disable`;
  const programs = await wrapPrograms(join(cli.directory, 'bin'), (await clientTools(server.major)).directory);
  const repository = s3 === undefined ? directoryFiles(directory) : bucketFiles(s3.server, s3.bucket);

  const initialized = await cli.run('init');
  expect(initialized, initialized.stderr).toMatchObject({ code: 0 });
  for (const name of ['JETBACKUP_REPOSITORY', 'DATABASE_URL']) delete cli.env[name];
  const file = join(cli.directory, 'jetbackup.yaml');
  const configure: Installation['configure'] = async (settings, config = {}) => {
    const written = z.looseObject({ databases: z.array(z.looseObject({})) }).parse(parse(await readFile(file, 'utf8')));
    const [first, ...others] = written.databases;
    await writeFile(file, stringify({ ...written, ...config, databases: [{ ...first, ...settings }, ...others] }));
  };
  await configure({ bindir: programs.directory, ...options.settings }, options.config);

  const installation: Installation = {
    cli,
    database,
    proxy,
    programs,
    repository,
    initialized,
    configure,
    async ids() {
      const listed = await cli.run('list', '--json');
      expect(listed, listed.stderr).toMatchObject({ code: 0 });
      const { backups, unusable } = ListSchema.parse(listed.json());
      expect(unusable).toEqual([]);
      return backups.map(({ id }) => id);
    },
    committed: async () => (await repository.keys()).flatMap((key) => /^[^/]+\/([^/]+)\/manifest\.json$/.exec(key)?.[1] ?? []),
    async backup(...args) {
      const done = await cli.run('backup', '--json', ...args);
      expect(done.code, done.stderr).toBe(0);
      const id = ListSchema.pick({ backups: true }).parse(done.json()).backups[0]?.id;
      if (id === undefined) throw new Error('a backup was made and not told');
      return id;
    },
    async restoresEqual(when = 'latest') {
      const restored = await cli.run('restore', when, '--as', 'restored_copy');
      expect(restored.code, restored.stderr).toBe(0);
      expect(await contentsOf(server, 'restored_copy')).toEqual(await contentsOf(server, database));
      await server.query('DROP DATABASE restored_copy');
    },
    async endGrace() {
      // Both are removed by date, which an S3 server lets nobody set.
      for (const key of (await repository.keys()).filter((name) => /^(?:readers|[.]jetbackup-probe)[/]/.test(name)))
        await repository.delete(key);
      for (const key of (await repository.keys()).filter((name) => name.endsWith('/claim.json'))) {
        const claim = z.object({ source: z.string() }).parse(JSON.parse((await repository.read(key)).toString('utf8')));
        await repository.write(key, JSON.stringify({ ...claim, committing: false }));
      }
    },
    async expectNothingLeft(run) {
      await until('no process of ours is left', async () => (await processesWithin(cli.directory)).length === 0, 10_000).catch(async () => {
        expect(await processesWithin(cli.directory)).toEqual([]);
      });
      const sessions = () =>
        server.query("SELECT application_name, state, query FROM pg_stat_activity WHERE application_name LIKE 'jetbackup%'");
      await until('no session of ours is left', async () => (await sessions()).length === 0, 10_000).catch(async () => {
        expect(await sessions()).toEqual([]);
      });
      expect(await server.query("SELECT datname FROM pg_database WHERE datname LIKE '%jetbackup%'")).toEqual([]);
      // testcontainers shares an empty lock file among the processes of a user, and leaves it.
      expect((await readdir(temporary)).filter((name) => !/^testcontainers-node.*\.lock$/.test(name))).toEqual([]);
      const shared = (await readdir('/dev/shm').catch(() => [])).filter((name) => name.includes(`-${run?.child.pid}-`));
      expect(shared).toEqual([]);
      expect(await repository.unfinished()).toEqual([]);
      expect((await repository.keys()).filter((key) => !/^(?:runs|leases)\//.test(key))).toEqual(await expectedKeys());
    },
    async [Symbol.asyncDispose]() {
      await proxy.stop();
      await cli[Symbol.asyncDispose]();
    },
  };

  /** The repository's own files, and of each backup what its manifest names, and its proof where it was verified. */
  async function expectedKeys(): Promise<string[]> {
    const keys = await repository.keys();
    const manifests = keys.filter((key) => key.endsWith('/manifest.json'));
    const objects = await Promise.all(
      manifests.map(async (key) => {
        const { artifacts } = ManifestPart.parse(JSON.parse((await repository.read(key)).toString('utf8')));
        const folder = key.slice(0, -'manifest.json'.length);
        const proof = keys.filter((other) => other === `${folder}proof.json`);
        return [key, ...proof, ...artifacts.flatMap((artifact) => artifact.objects.map(({ name }) => `${folder}${name}`))];
      }),
    );
    return ['RECOVERY.md', 'jetbackup.json', ...objects.flat()].sort();
  }
  return installation;
}

/** Asserts how a run ended: its status, and two lines that say what happened and what to do. */
export function expectFailure(result: CliResult, code: number, text?: RegExp): void {
  expect(result, result.stderr).toMatchObject({ code });
  expect(result.stderr).toMatch(/^error: \S/m);
  expect(result.stderr).toMatch(/^hint: \S/m);
  if (text !== undefined) expect(result.stderr).toMatch(text);
}
