import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { documents, ErrorDocument } from '../../../src/cli/json.ts';
import { bytesOf } from '../../../src/core/bytes.ts';
import { type ErrorCode, JetbackupError } from '../../../src/core/errors.ts';
import type { BackupInput } from '../../../src/operations/backup.ts';
import type { RestoreInput } from '../../../src/operations/restore.ts';
import { ID, manifest, oneDatabase, runRecord, type Typed, type as typed, type World } from './command-line.ts';
import { surveying } from './retention-fakes.ts';

const shop = { database: 'shop', id: ID, manifest: manifest(), authentic: true } as const;
const plan = {
  manifest: manifest(),
  database: 'shop',
  target: 'shop on db:5432 as app',
  rolesToCreate: [],
  dumpBytes: 5_000_000,
  replacesEmpty: false,
};
const restored = { ...plan, run: runRecord('restore'), warnings: [], compared: true };

function works(seen: { backup?: BackupInput; restore?: RestoreInput } = {}): NonNullable<World['operations']> {
  return {
    backup: async (_deps, input) => {
      seen.backup = input;
      return { manifest: manifest({ database: input.database }), run: runRecord('backup'), partial: false };
    },
    planRestore: async (_deps, input) => {
      seen.restore = input;
      return plan;
    },
    restore: async (_deps, input) => {
      seen.restore = input;
      return restored;
    },
    listBackups: async () => [shop, { database: 'shop', id: ID, error: new JetbackupError('damaged', 'the manifest is not JSON') }],
    showBackup: async () => shop,
    surveyRetention: surveying([ID]),
    exportBackup: async (_deps, input) => {
      await input.output(bytesOf('PGDMP', 'data'));
      return manifest();
    },
  };
}

const fails = (error: unknown): World => ({
  operations: {
    listBackups: async () => {
      throw error;
    },
  },
});

/** The one document on standard output. */
function json(result: Typed): unknown {
  return JSON.parse(result.stdout);
}

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'jetbackup-cli-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

describe('an error', () => {
  it.each<[ErrorCode, number]>([
    ['usage', 2],
    ['config-invalid', 10],
    ['storage-unreachable', 11],
    ['locked', 12],
    ['no-backup', 13],
    ['dump-failed', 20],
    ['key-missing', 21],
    ['damaged', 22],
    ['restore-failed', 23],
    ['check-failed', 30],
    ['interrupted', 130],
    ['terminated', 143],
  ])('%s ends with status %d, a message and a hint on standard error, and nothing on standard output', async (code, exitCode) => {
    const result = await typed('list', fails(new JetbackupError(code, 'it broke', { hint: 'mend it' })));
    expect(result).toEqual({ exitCode, stdout: '', stderr: 'error: it broke\nhint: mend it\n' });
  });

  it('with --json is one document on standard output', async () => {
    const result = await typed('list --json', fails(new JetbackupError('no-backup', 'none', { hint: 'make one' })));
    expect(ErrorDocument.parse(json(result))).toEqual({ error: { code: 'no-backup', message: 'none', hint: 'make one', exitCode: 13 } });
  });

  it('that nobody foresaw is called one of jetbackup, and shows its stack only with --verbose', async () => {
    const bug = new TypeError('x is not a function');
    const short = await typed('list', fails(bug));
    expect(short.exitCode).toBe(1);
    expect(short.stderr).toMatch(/^error: x is not a function\nhint: This is an error in jetbackup itself. Please report it/);
    expect(short.stderr).not.toContain('    at ');
    expect((await typed('list --verbose', fails(bug))).stderr).toContain('    at ');
    expect(ErrorDocument.parse(json(await typed('list --json', fails(bug)))).error.code).toBe('bug');
  });

  it('after a signal is the signal, whatever tore because of it', async () => {
    const signal = AbortSignal.abort(new JetbackupError('terminated', 'ended by SIGTERM'));
    expect(await typed('list', { ...fails(new Error('Premature close')), signal })).toMatchObject({
      exitCode: 143,
      stderr: 'error: ended by SIGTERM\n',
    });
  });

  it('in the configuration lists every problem, also as JSON', async () => {
    const env = { JETBACKUP_REPOSITORY: 'file:///b', JETBACKUP_TIMEZONE: 'Mars/Phobos', JETBACKUP_CODEC: 'rar' };
    const { error } = ErrorDocument.parse(json(await typed('list --json', { env })));
    expect(error.problems?.map(({ source }) => source)).toEqual(['JETBACKUP_TIMEZONE', 'JETBACKUP_CODEC']);
    const { stderr } = await typed('list', { env });
    expect(stderr).toContain('2 problems:\n  JETBACKUP_TIMEZONE:');
  });
});

describe('a slip of the fingers', () => {
  it.each([
    ['bakcup', "unknown command 'bakcup'", 'Did you mean backup?'],
    ['backup --tga a=b', "unknown option '--tga'", 'Did you mean --tag?'],
    ['restore', "missing required argument 'when'", 'See: jetbackup restore --help'],
    ['export latest', "required option '-o, --output <file>' not specified", 'See: jetbackup export --help'],
    ['export latest -o x --artifact dmp', expect.stringContaining("'dmp' is invalid"), expect.anything()],
    ['restore latest --jobs many', expect.stringContaining('from 1 to 64'), expect.anything()],
    ['backup --tag deploy', '"deploy" is not a tag', expect.stringContaining('--tag key=value')],
    ['backup --tag a=1 --tag a=2', 'the tag "a" is given twice', null],
    ['backup --keep soon', '"soon" is not a duration', expect.stringContaining('30d')],
    ['list --quiet --verbose', expect.stringContaining('cannot be used with'), expect.anything()],
    ['backup nope', 'no database "nope" is configured', 'Configured: shop.'],
  ])('%s: status 2, and what was meant', async (line, message, hint) => {
    const result = await typed(`${line} --json`, { operations: works() });
    expect(result.exitCode).toBe(2);
    expect(ErrorDocument.parse(json(result)).error).toEqual({ code: 'usage', message, hint, exitCode: 2 });
  });

  it('no command at all prints the help, and is an error', async () => {
    const result = await typed('');
    expect(result).toMatchObject({ exitCode: 2, stdout: '' });
    expect(result.stderr).toContain('Usage: jetbackup');
  });
});

describe('--help', () => {
  it.each(['init', 'backup', 'list', 'show', 'restore', 'export', 'pin', 'unpin', 'prune'])(
    'of %s has examples and exit statuses, and ends well',
    async (command) => {
      const result = await typed([command, '--help'], { env: {} });
      expect(result).toMatchObject({ exitCode: 0, stderr: '' });
      expect(result.stdout).toContain(`jetbackup ${command}`);
      expect(result.stdout).toMatch(/Examples:[\s\S]+Exit status:\n {4}0 {2}done/);
      expect(result.stdout).toContain('--json');
    },
  );
});

describe('backup', () => {
  it('backs the only database up with its settings and says what it made', async () => {
    const seen: { backup?: BackupInput } = {};
    const result = await typed(['backup', '--tag', 'deploy=v2.3', '--tag', 'who=me', '--pin', 'before the move', '--keep', '30d'], {
      operations: works(seen),
    });
    expect(seen.backup).toMatchObject({
      database: 'shop',
      fingerprint: 'content',
      tags: { deploy: 'v2.3', who: 'me' },
      pin: { reason: 'before the move' },
    });
    expect(seen.backup?.keepUntil?.toString()).toBe('2026-12-20T12:00:00Z');
    expect(result.exitCode).toBe(0);
    expect(result.stdout).toBe(
      `backed up shop: ${ID}\n  as of 2026-11-20 02:00:01+00:00, 1,234 rows in 3 tables\n  4.77 MiB dumped, 977 KiB stored, in 8s\n`,
    );
  });

  it('keeps for 30 days of the calendar, also over a change of the clocks', async () => {
    const seen: { backup?: BackupInput } = {};
    await typed('backup --keep 6mo', { operations: works(seen), env: { ...oneDatabase, JETBACKUP_TIMEZONE: 'Europe/Berlin' } });
    expect(seen.backup?.keepUntil?.toString()).toBe('2027-05-20T11:00:00Z');
  });

  it('records the values and writes the canary that are configured, and no canary that is not', async () => {
    const seen: { backup?: BackupInput } = {};
    writeFileSync(
      join(directory, 'jetbackup.yaml'),
      `repository: file:///backups
databases: [{ name: shop, url: "postgres://app@db/shop", values: [{ name: orders, sql: TABLE n }], canary: ops.canary }]\n`,
    );
    await typed('backup', { operations: works(seen), env: { JETBACKUP_CONFIG: join(directory, 'jetbackup.yaml') } });
    expect(seen.backup).toMatchObject({
      values: [{ name: 'orders', sql: 'TABLE n' }],
      canary: { schema: 'ops', table: 'canary' },
    });
    await typed('backup', { operations: works(seen) });
    expect(seen.backup).toMatchObject({ values: [] });
    expect(seen.backup).not.toHaveProperty('canary');
  });

  it('prints a document as documented', async () => {
    const document = documents.backup.parse(json(await typed('backup --json', { operations: works() })));
    expect(document.backups[0]).toMatchObject({ id: ID, dumpBytes: 5_000_000, storedBytes: 1_000_000, seconds: 8 });
  });

  it('says nothing with --quiet when all went well', async () => {
    expect(await typed('backup --quiet', { operations: works() })).toEqual({ exitCode: 0, stdout: '', stderr: '' });
  });

  describe('of several databases', () => {
    const world = (broken: Readonly<Record<string, ErrorCode>>, partial: readonly string[] = []): World => {
      writeFileSync(
        join(directory, 'two.yaml'),
        'repository: file:///b\ndatabases: [{ name: one, url: "postgres://a@b/one" }, { name: two, url: "postgres://a@b/two" }]\n',
      );
      const good = works().backup;
      return {
        cwd: directory,
        env: { JETBACKUP_CONFIG: 'two.yaml' },
        operations: {
          backup: async (deps, input, signal) => {
            const { database } = input;
            const code = broken[database];
            if (code !== undefined) throw new JetbackupError(code, `cannot back up ${database}`, { hint: `mend ${database}` });
            if (good === undefined) throw new TypeError();
            return { ...(await good(deps, input, signal)), partial: partial.includes(database) };
          },
        },
      };
    };

    it('backs up all, in their order', async () => {
      const document = documents.backup.parse(json(await typed('backup --json', world({}))));
      expect(document.backups.map(({ database }) => database)).toEqual(['one', 'two']);
    });

    it('goes on after one that fails, and ends with that one’s status: a database without a backup is not "in part"', async () => {
      const result = await typed('backup --json', world({ one: 'database-unreachable' }));
      expect(result.exitCode).toBe(20);
      const document = documents.backup.parse(json(result));
      expect(document.backups.map(({ database }) => database)).toEqual(['two']);
      expect(document.failed).toMatchObject([{ database: 'one', error: { code: 'database-unreachable', exitCode: 20 } }]);
      expect(result.stderr).toContain('error: one: cannot back up one\nhint: mend one\n');
    });

    it('ends with the status of the first that failed, and lists each with its own', async () => {
      const result = await typed('backup --json', world({ one: 'storage-full', two: 'database-denied' }));
      expect(result.exitCode).toBe(11);
      const document = documents.backup.parse(json(result));
      expect(document.backups).toEqual([]);
      expect(document.failed).toMatchObject([
        { database: 'one', error: { code: 'storage-full', exitCode: 11 } },
        { database: 'two', error: { code: 'database-denied', exitCode: 20 } },
      ]);
      expect((await typed('backup', world({ one: 'locked', two: 'bug' }))).exitCode).toBe(12);
    });

    it('names each that failed with what to do about it, also with --quiet, and prints nothing on standard output where none was made', async () => {
      const result = await typed('backup --quiet', world({ one: 'database-unreachable', two: 'locked' }));
      expect(result).toEqual({
        exitCode: 20,
        stdout: '',
        stderr: 'error: one: cannot back up one\nhint: mend one\nerror: two: cannot back up two\nhint: mend two\n',
      });
      expect((await typed('backup', world({ one: 'locked', two: 'locked' }))).stdout).toBe('');
    });

    it('ends with status 3 only where all have their backup and one lacks something beside the dump', async () => {
      expect((await typed('backup', world({}, ['two']))).exitCode).toBe(3);
      expect((await typed('backup', world({ one: 'locked' }, ['two']))).exitCode).toBe(12);
    });

    it('asks which one where only one can be meant', async () => {
      const two: World = { ...world({}), composed: {} };
      const { error } = ErrorDocument.parse(json(await typed('restore latest --json', two)));
      expect(error).toMatchObject({ code: 'usage', hint: 'Configured: one, two.' });
    });
  });
});

describe('list and show', () => {
  it('show good and unusable backups, for people and for programs', async () => {
    const { stdout, exitCode } = await typed('list', { operations: works() });
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/^DATABASE +ID +AS OF/);
    expect(stdout).toMatch(
      /shop +20261120T020000Z-k3f9qa +2026-11-20 02:00:01\+00:00 +4\.77 MiB +977 KiB +1,234 +yes +no +newest +- +deploy=v2\.3/,
    );
    expect(stdout).toContain('the manifest is not JSON');
    const document = documents.list.parse(json(await typed('list --json', { operations: works() })));
    expect(document.backups).toMatchObject([{ id: ID, authentic: 'yes' }]);
    expect(document.unusable).toMatchObject([{ id: ID, error: { code: 'damaged', exitCode: 22 } }]);
    expect(documents.show.parse(json(await typed(`show ${ID} --json`, { operations: works() }))).manifest).toEqual(manifest());
    expect((await typed(`show ${ID}`, { operations: works() })).stdout).toContain('yes, the signature holds');
  });

  it('say so where nothing was checked', async () => {
    const operations = { listBackups: async () => [{ ...shop, authentic: undefined }] };
    expect(documents.list.parse(json(await typed('list --json', { operations }))).backups[0]?.authentic).toBe('unchecked');
  });

  it('say how to begin where there is no backup', async () => {
    const { stdout } = await typed('list', { operations: { listBackups: async () => [] } });
    expect(stdout).toContain('make one with: jetbackup backup');
  });

  it('use no colours under NO_COLOR or in a pipe, and some on a terminal', async () => {
    const world: World = { operations: works(), terminal: true };
    expect((await typed('list', world)).stdout).toContain('\u001b[');
    expect((await typed('list', { ...world, env: { ...oneDatabase, NO_COLOR: '1' } })).stdout).not.toContain('\u001b[');
    expect((await typed('list', { operations: works() })).stdout).not.toContain('\u001b[');
    const failing = { ...fails(new JetbackupError('locked', 'x')), terminal: true, env: { ...oneDatabase, NO_COLOR: '1' } };
    expect((await typed('list', failing)).stderr).toBe('error: x\n');
  });
});

describe('restore', () => {
  it('passes every option on', async () => {
    const seen: { restore?: RestoreInput } = {};
    const line =
      'restore latest --as copy --table public.a --table public.b --schema s --jobs 3 --no-owner --no-tablespaces --create-roles --no-compare';
    await typed(line, { operations: works(seen) });
    expect(seen.restore).toMatchObject({
      database: 'shop',
      moment: { kind: 'latest' },
      as: 'copy',
      tables: ['public.a', 'public.b'],
      schemas: ['s'],
      jobs: 3,
      noOwner: true,
      noTablespaces: true,
      createRoles: true,
      compare: false,
    });
  });

  it('keeps owners, compares, and chooses jobs and name itself unless told otherwise', async () => {
    const seen: { restore?: RestoreInput } = {};
    const result = await typed('restore latest --json', { operations: works(seen) });
    expect(seen.restore).toMatchObject({
      noOwner: false,
      noTablespaces: false,
      createRoles: false,
      compare: true,
      jobs: 2,
      exactName: false,
      tables: [],
    });
    expect(seen.restore).not.toHaveProperty('as');
    expect(documents.restore.parse(json(result))).toMatchObject({
      dryRun: false,
      restoredDatabase: 'shop',
      result: { compared: true, rtoSeconds: 9.5 },
    });
  });

  it('--dry-run only says what it would do', async () => {
    const operations = { planRestore: async () => plan };
    expect((await typed('restore latest --dry-run', { operations })).stdout).toContain('nothing was changed');
    expect(documents.restore.parse(json(await typed('restore latest --dry-run --json', { operations }))).result).toBeNull();
  });

  it('into an empty database says that it steps aside, and asks for that very name again', async () => {
    const seen: { restore?: RestoreInput } = {};
    const replacing = { ...plan, replacesEmpty: true };
    const operations = { ...works(seen), planRestore: async () => replacing };
    const line = 'restore latest --to postgres://app@new/shop';
    expect((await typed(`${line} --dry-run`, { operations })).stdout).toMatch(
      /steps aside +the empty database of that name; it is renamed/,
    );
    expect(documents.restore.parse(json(await typed(`${line} --dry-run --json`, { operations }))).replacesEmpty).toBe(true);
    expect((await typed(line, { operations, terminal: true })).stderr).toContain('the empty database of that name is renamed and kept');
    // `as` wants a free name.
    expect(seen.restore).toMatchObject({ exactName: true, moment: { kind: 'id', id: ID } });
    expect(seen.restore).not.toHaveProperty('as');
  });

  it('at a terminal says beforehand what it is about to do, and does exactly that', async () => {
    const seen: { restore?: RestoreInput } = {};
    const { stderr } = await typed('restore latest', { operations: works(seen), terminal: true });
    expect(stderr).toContain(`restoring ${ID} (as of 2026-11-20 02:00:01+00:00) into a fresh database: shop on db:5432 as app`);
    expect(seen.restore).toMatchObject({ moment: { kind: 'id', id: ID }, as: 'shop' });
  });

  it('asks before it creates roles, but not under --yes and not where nobody can answer', async () => {
    const operations = { ...works(), planRestore: async () => ({ ...plan, rolesToCreate: ['app'] }) };
    const agreed = await typed('restore latest --create-roles --yes', { operations, terminal: true });
    expect(agreed.exitCode).toBe(0);
    expect(agreed.stderr).toContain('and creating the roles app');
    expect((await typed('restore latest --create-roles', { operations })).exitCode).toBe(0);
  });

  it('on a bare host finds the only database in the repository, but wants to know the server', async () => {
    const env = { JETBACKUP_REPOSITORY: 'file:///backups' };
    const seen: { restore?: RestoreInput } = {};
    expect((await typed('restore latest', { env, operations: works(seen) })).stderr).toContain('--to postgres://');
    expect((await typed('restore latest --to postgres://me@new/shop', { env, operations: works(seen) })).exitCode).toBe(0);
    expect(seen.restore).toMatchObject({ database: 'shop', exactName: true });
    const several = { env, composed: { databasesInRepository: async () => ['a', 'b'] } };
    expect((await typed('restore latest', several)).stderr).toContain('one of: a, b');
  });

  it('warns of a password in --to', async () => {
    const { stderr } = await typed('restore latest --to postgres://me:hunter22@new/shop', { operations: works() });
    expect(stderr).toContain('PGPASSWORD');
    expect(stderr).not.toContain('hunter22');
  });
});

describe('export', () => {
  it('writes a file that only its owner may read', async () => {
    const result = await typed(`export latest -o out.dump --json`, { operations: works(), cwd: directory });
    expect(readFileSync(join(directory, 'out.dump'), 'utf8')).toBe('PGDMPdata');
    expect(statSync(join(directory, 'out.dump')).mode & 0o777).toBe(0o600);
    expect(documents.export.parse(json(result))).toMatchObject({ file: 'out.dump', bytes: 9, artifact: 'dump' });
  });

  it('writes to standard output and nothing else there', async () => {
    expect((await typed('export latest -o -', { operations: works() })).stdout).toBe('PGDMPdata');
  });

  it('leaves no file behind when it fails half way, and the one that was there as it was', async () => {
    const operations: World['operations'] = {
      exportBackup: async (_deps, input) => {
        const torn = async function* () {
          yield Buffer.from('PGDMP');
          throw new JetbackupError('damaged', 'segment 2 is not as it was signed');
        };
        await input.output(torn());
        return manifest();
      },
    };
    const result = await typed('export latest -o out.dump', { operations, cwd: directory });
    expect(result.exitCode).toBe(22);
    expect(readdirSync(directory)).toEqual([]);
    writeFileSync(join(directory, 'out.dump'), 'before');
    await typed('export latest -o out.dump --force', { operations, cwd: directory });
    expect(readdirSync(directory)).toEqual(['out.dump']);
    expect(readFileSync(join(directory, 'out.dump'), 'utf8')).toBe('before');
  });

  it('replaces a file only with --force', async () => {
    writeFileSync(join(directory, 'out.dump'), 'before');
    expect(await typed('export latest -o out.dump', { operations: works(), cwd: directory })).toMatchObject({ exitCode: 2 });
    expect(readFileSync(join(directory, 'out.dump'), 'utf8')).toBe('before');
    expect(await typed('export latest -o out.dump --force', { operations: works(), cwd: directory })).toMatchObject({ exitCode: 0 });
    expect(readFileSync(join(directory, 'out.dump'), 'utf8')).toBe('PGDMPdata');
  });

  it('refuses to fill a terminal with binary data, and to mix it with JSON', async () => {
    expect((await typed('export latest -o -', { operations: works(), terminal: true })).exitCode).toBe(2);
    expect((await typed('export latest -o - --json', { operations: works() })).exitCode).toBe(2);
  });
});

describe('init', () => {
  const env = { ...oneDatabase, DATABASE_URL: 'postgres://app:t0psecret@db/shop' };

  it('writes the configuration, both keys and the password file, each secret for its owner alone', async () => {
    const result = await typed('init --dir new --json', { env, cwd: directory });
    expect(result).toMatchObject({ exitCode: 0, stderr: '' });
    const document = documents.init.parse(json(result));
    for (const { path, secret } of document.files) expect(statSync(path).mode & 0o777, path).toBe(secret ? 0o600 : 0o644);
    expect(readdirSync(join(directory, 'new')).sort()).toEqual([
      'jetbackup-identity.txt',
      'jetbackup-signing-key.pem',
      'jetbackup.pgpass',
      'jetbackup.yaml',
    ]);
    const yaml = readFileSync(join(directory, 'new/jetbackup.yaml'), 'utf8');
    expect(yaml).not.toContain('t0psecret');
    expect(yaml).toContain('passfile: jetbackup.pgpass');
    expect(readFileSync(join(directory, 'new/jetbackup-identity.txt'), 'utf8')).toBe(
      '# created: 2026-11-20T12:00:00Z\n# public key: age1recipient\nAGE-SECRET-KEY-1TEST\n',
    );
    const listed = await typed('list --json', { env: { JETBACKUP_CONFIG: 'new/jetbackup.yaml' }, cwd: directory, operations: works() });
    expect(listed).toMatchObject({ exitCode: 0, stderr: '' });
  });

  it('never overwrites, and lists every file that is in the way', async () => {
    writeFileSync(join(directory, 'jetbackup.yaml'), 'mine');
    writeFileSync(join(directory, 'jetbackup-identity.txt'), 'mine');
    const { stderr, exitCode } = await typed('init', { env, cwd: directory });
    expect(exitCode).toBe(10);
    expect(stderr).toContain(join(directory, 'jetbackup.yaml'));
    expect(stderr).toContain(join(directory, 'jetbackup-identity.txt'));
    expect(readFileSync(join(directory, 'jetbackup-identity.txt'), 'utf8')).toBe('mine');
  });

  it('without a terminal says everything that is missing at once, and asks nothing', async () => {
    const { stderr, exitCode } = await typed('init', { env: {}, cwd: directory });
    expect(exitCode).toBe(10);
    expect(stderr).toContain('Set JETBACKUP_REPOSITORY');
    expect(stderr).toContain('Set DATABASE_URL');
    expect(readdirSync(directory)).toEqual([]);
  });

  it('leaves nothing behind when the repository cannot be made', async () => {
    const createRepository = async () => {
      throw new JetbackupError('repository-exists', 'file:///backups already holds a repository');
    };
    expect(await typed('init', { env, cwd: directory, init: { createRepository } })).toMatchObject({ exitCode: 11 });
    expect(readdirSync(directory)).toEqual([]);
  });
});

describe('secrets', () => {
  const values = ['uRl-pa55w0rd', 'pG-pa55word', 'AGE-SECRET-KEY-1ABC', 'open sesame', 'aws-s3cret'];
  const env = {
    ...oneDatabase,
    DATABASE_URL: 'postgres://app:uRl-pa55w0rd@db/shop',
    PGPASSWORD: 'pG-pa55word',
    JETBACKUP_IDENTITY: 'AGE-SECRET-KEY-1ABC',
    JETBACKUP_SIGNING_KEY: '-----BEGIN PRIVATE KEY-----\nMC4CAQ\n-----END PRIVATE KEY-----',
    JETBACKUP_PASSPHRASE: 'open sesame',
    AWS_SECRET_ACCESS_KEY: 'aws-s3cret',
  };

  it.each(['list --verbose', 'list --json', 'list', 'backup --verbose --json', 'restore latest --verbose', 'export latest -o x --verbose'])(
    'are in no output of `%s`, even where an error carries all of them',
    async (line) => {
      const inner = new Error(`driver said ${Object.values(env).join(' ')}`);
      const error = new JetbackupError('storage-failed', `failed with ${values.join(' ')}`, {
        hint: `try ${env.DATABASE_URL}`,
        cause: inner,
      });
      const fail = async () => {
        throw error;
      };
      const operations = { listBackups: fail, backup: fail, restore: fail, exportBackup: fail };
      for (const terminal of [false, true]) {
        const { stdout, stderr } = await typed(line, { env, terminal, operations: { ...operations, planRestore: fail } });
        for (const value of [...values, 'MC4CAQ']) expect(stdout + stderr).not.toContain(value);
        expect(stderr).toContain('[redacted]');
      }
    },
  );

  it('are in no progress and no warning, as text and as JSON', async () => {
    for (const JETBACKUP_LOG of ['text', 'json']) {
      let report: (text: string) => void = () => {};
      const { stderr } = await typed('backup', {
        env: { ...env, JETBACKUP_LOG },
        composed: {
          backupDeps: async (log) => {
            report = (text) => log({ type: 'warning', text, hint: text });
            return Object.freeze({}) as never;
          },
        },
        operations: {
          backup: async () => {
            report(Object.values(env).join(' "quoted" '));
            return { manifest: manifest(), run: runRecord('backup'), partial: false };
          },
        },
      });
      for (const value of [...values, 'MC4CAQ']) expect(stderr).not.toContain(value);
      if (JETBACKUP_LOG === 'json') expect(JSON.parse(stderr.trim())).toMatchObject({ level: 'warn' });
    }
  });
});
