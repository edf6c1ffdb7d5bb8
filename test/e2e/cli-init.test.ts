import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { delimiter, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { documents, ErrorDocument } from '../../src/cli/json.ts';
import { type CliFolder, makeCliFolder } from '../support/cli.ts';

const program = join(import.meta.dirname, '../../dist/main.js');
const PASSWORD = 'p:a\\ss w0rd@#';
const DATABASE_URL = `postgres://app:${encodeURIComponent(PASSWORD)}@db.invalid:5433/shop?sslmode=require`;

let folder: CliFolder;
beforeEach(async () => {
  folder = await makeCliFolder();
});
afterEach(() => folder[Symbol.asyncDispose]());

const read = (name: string) => readFileSync(join(folder.directory, name), 'utf8');

describe('jetbackup init', () => {
  it('sets a folder up in which the next command needs nothing more', async () => {
    const made = await folder.start(['init', '--repository', './backups', '--json'], { DATABASE_URL }).ended;
    expect(made).toMatchObject({ code: 0, stderr: '' });
    const document = documents.init.parse(made.json());
    expect(document.database).toBe('shop');
    for (const { path, secret } of document.files) if (secret) expect(statSync(path).mode & 0o777, path).toBe(0o600);

    const listed = await folder.run('list', '--json');
    expect(listed).toMatchObject({ code: 0, stderr: '' });
    expect(documents.list.parse(listed.json())).toMatchObject({ backups: [], repository: document.repository.location });
  });

  it('writes files that the stock tools read', async () => {
    const { recipient } = documents.init.parse(
      (await folder.start(['init', '--repository', './backups', '--json'], { DATABASE_URL }).ended).json(),
    );
    const identity = join(folder.directory, 'jetbackup-identity.txt');
    // age-keygen, where it is there; the comment is what it would have written.
    const keygen = spawnSync('age-keygen', ['-y', identity], { encoding: 'utf8' });
    if (keygen.error === undefined) expect(keygen.stdout.trim()).toBe(recipient);
    expect(read('jetbackup-identity.txt')).toContain(`# public key: ${recipient}\n`);
    expect(
      execFileSync('openssl', ['pkey', '-in', join(folder.directory, 'jetbackup-signing-key.pem'), '-noout', '-text'], {
        encoding: 'utf8',
      }),
    ).toMatch(/ED25519/i);
  });

  it('puts the password into the password file and nowhere else', async () => {
    const made = await folder.start(['init', '--repository', './backups', '--verbose'], { DATABASE_URL }).ended;
    expect(made.code).toBe(0);
    expect(read('jetbackup.pgpass')).toBe('db.invalid:5433:*:app:p\\:a\\\\ss w0rd@#\n');
    expect(read('jetbackup.yaml')).toContain('url: "postgres://app@db.invalid:5433/shop?sslmode=require"');
    const others = [
      read('jetbackup.yaml'),
      made.stdout,
      made.stderr,
      readFileSync(join(folder.directory, 'backups/RECOVERY.md'), 'utf8'),
    ].join('\n');
    expect(others).not.toContain(PASSWORD);
    expect(others).not.toContain(encodeURIComponent(PASSWORD));
    expect(others).not.toContain('AGE-SECRET-KEY-1');
    expect(others).not.toContain('BEGIN PRIVATE KEY');
  });

  it('takes libpq’s variables as well', async () => {
    const pg = { PGHOST: '/var/run/postgresql', PGUSER: 'app', PGDATABASE: 'shop', JETBACKUP_REPOSITORY: 'backups-url' };
    const wrong = await folder.start(['init'], pg).ended;
    expect(wrong.code).toBe(10);
    expect(wrong.stderr).toContain('JETBACKUP_REPOSITORY: ');
    const made = await folder.start(['init'], { ...pg, JETBACKUP_REPOSITORY: `file://${folder.directory}/backups` }).ended;
    expect(made.code).toBe(0);
    expect(read('jetbackup.yaml')).toContain('url: "postgres://app@%2Fvar%2Frun%2Fpostgresql:5432/shop"');
    expect(existsSync(join(folder.directory, 'jetbackup.pgpass'))).toBe(false);
  });

  it('run twice changes nothing and lists what is in the way', async () => {
    await folder.start(['init', '--repository', './backups'], { DATABASE_URL }).ended;
    const before = read('jetbackup-identity.txt');
    const again = await folder.start(['init', '--repository', './other'], { DATABASE_URL }).ended;
    expect(again.code).toBe(10);
    expect(again.stderr).toContain('jetbackup.yaml');
    expect(again.stderr).toContain('jetbackup.pgpass');
    expect(read('jetbackup-identity.txt')).toBe(before);
    expect(existsSync(join(folder.directory, 'other'))).toBe(false);
  });

  it('leaves a repository that is there alone, and no keys that belong to nothing', async () => {
    await folder.start(['init', '--repository', './backups'], { DATABASE_URL }).ended;
    const again = await folder.start(['init', '--dir', 'second', '--repository', './backups'], { DATABASE_URL }).ended;
    expect(again.code).toBe(11);
    expect(again.stderr).toContain('already holds a repository');
    expect(readdirSync(join(folder.directory, 'second'))).toEqual([]);
  });

  it('interrupted while the store hangs ends with 130, and leaves no file', async () => {
    const server = createServer(() => {}).listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const address = server.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const { child, ended } = folder.start(['init', '--repository', `s3://bucket/x?endpoint=http://127.0.0.1:${port}&region=x`], {
      DATABASE_URL,
      AWS_ACCESS_KEY_ID: 'k',
      AWS_SECRET_ACCESS_KEY: 's',
    });
    await new Promise((resolve) => server.once('connection', resolve));
    expect(existsSync(join(folder.directory, 'jetbackup-identity.txt'))).toBe(true);
    child.kill('SIGINT');
    const { code, stderr } = await ended;
    server.close();
    expect(stderr).toContain('error: interrupted');
    expect(code).toBe(130);
    expect(readdirSync(folder.directory)).toEqual([]);
  });
});

describe('a host without what a command needs', () => {
  const env = () => ({ JETBACKUP_REPOSITORY: `file://${folder.directory}/backups`, DATABASE_URL });

  it.each([
    ['backup', 'JETBACKUP_RECIPIENTS'],
    ['restore latest', 'JETBACKUP_SIGNING_PUBLIC_KEY'],
    ['export latest -o x', 'JETBACKUP_SIGNING_PUBLIC_KEY'],
  ])('%s: status 21, and which variable to set', async (line, variable) => {
    const { code, stderr } = await folder.start(line.split(' '), env()).ended;
    expect(stderr).toContain(variable);
    expect(code).toBe(21);
  });

  it('an identity file that is not there is missed by its path', async () => {
    await folder.start(['init', '--repository', './backups'], { DATABASE_URL }).ended;
    writeFileSync(join(folder.directory, 'jetbackup.yaml'), read('jetbackup.yaml').replace('jetbackup-identity.txt', 'gone.txt'));
    const { code, stderr } = await folder.run('restore', 'latest');
    expect(stderr).toContain(join(folder.directory, 'gone.txt'));
    expect(code).toBe(21);
  });

  it('a repository that is not there is status 11', async () => {
    const { code, json } = await folder.start(['list', '--json'], env()).ended;
    expect(ErrorDocument.parse(json()).error.code).toBe('repository-missing');
    expect(code).toBe(11);
  });
});

describe('the program', () => {
  it('tells its version and its help without any configuration', async () => {
    expect(await folder.run('--version')).toMatchObject({ code: 0, stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/), stderr: '' });
    expect((await folder.run('restore', '--help')).stdout).toContain('jetbackup restore latest');
  });

  it('ends quietly when the reader of its output has had enough', () => {
    const { stderr } = spawnSync('bash', ['-c', `"${process.execPath}" "${program}" --help | head -n 1`], { encoding: 'utf8' });
    expect(stderr).toBe('');
  });

  it('names every problem of a broken configuration with its line', async () => {
    writeFileSync(
      join(folder.directory, 'jetbackup.yaml'),
      'repositry: file:///b\ndatabases:\n  - name: a\n    url: mysql://a:s3cr3t@b/c\n',
    );
    const { code, stderr } = await folder.run('backup', '--verbose');
    expect(code).toBe(10);
    expect(stderr).toContain('jetbackup.yaml:1:1: unknown key "repositry"; did you mean "repository"?');
    expect(stderr).toContain('jetbackup.yaml:4:5: ');
    expect(stderr).not.toContain('s3cr3t');
  });

  const old = oldNode();
  it.skipIf(old === undefined)(`says plainly that Node.js is too old (${old ?? 'skipped: this machine has no old Node.js'})`, () => {
    const { status, stderr, stdout } = spawnSync(old ?? '', [program, 'list'], { encoding: 'utf8' });
    expect({ status, stdout }).toEqual({ status: 10, stdout: '' });
    expect(stderr).toMatch(/^error: jetbackup needs Node\.js 22\.22 or newer, and this is \d+\.\d+\.\d+ \(.+\)\nhint: .+\n$/);
  });
});

/** A Node.js on this machine that is older than 22.22. */
function oldNode(): string | undefined {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/bin', '/usr/local/bin'];
  return [...new Set(folders)]
    .map((directory) => join(directory, 'node'))
    .find((path) => {
      const [major = 0, minor = 0] = (spawnSync(path, ['--version'], { encoding: 'utf8' }).stdout ?? '')
        .replace('v', '')
        .split('.')
        .map(Number);
      return major > 0 && (major < 22 || (major === 22 && minor < 22));
    });
}
