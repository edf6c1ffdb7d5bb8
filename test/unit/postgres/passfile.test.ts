import { chmod, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { libpqEnvironment, parseConnection } from '../../../src/postgres/connection.ts';
import { passfileLine, passwordFor, passwordIn } from '../../../src/postgres/passfile.ts';

const field = fc.string({ unit: 'binary', minLength: 1 }).filter((text) => !/[\r\n\0]/.test(text) && text !== '*' && !text.startsWith('#'));

describe('a passfile', () => {
  it('gives back any password that was written into it', () => {
    fc.assert(
      fc.property(field, field, field, field, (host, database, user, password) => {
        const content = `# a comment\n${passfileLine([host, '5432', database, user, password])}\n`;
        expect(passwordIn(content, host, 5432, database, user)).toBe(password);
        expect(passwordIn(content, host, 5433, database, user)).toBeUndefined();
      }),
    );
  });

  it('takes the first line that matches, with * for anything', () => {
    const content = 'h:5432:other:u:no\n*:*:db:u:first\nh:5432:db:u:second\n';
    expect(passwordIn(content, 'h', 5432, 'db', 'u')).toBe('first');
  });

  it('calls a Unix socket localhost', () => {
    expect(passwordIn('localhost:5432:db:u:pw', '/var/run/postgresql', 5432, 'db', 'u')).toBe('pw');
  });
});

describe('with files', () => {
  let home: string;
  beforeEach(async () => {
    home = await mkdtemp(join(tmpdir(), 'passfile-test-'));
  });
  afterEach(async () => {
    await rm(home, { recursive: true });
  });

  it('passes over a passfile that others may read', async () => {
    const path = join(home, '.pgpass');
    await writeFile(path, 'h:5432:db:u:pw\n');
    const settings = parseConnection({ url: 'postgres://u@h/db', env: { HOME: home } });
    const host = { host: 'h', port: 5432 };
    await chmod(path, 0o644);
    expect(await passwordFor(settings, host)).toBeUndefined();
    await chmod(path, 0o600);
    expect((await passwordFor(settings, host))?.reveal()).toBe('pw');
  });

  it('lets no variable of libpq through to the client programs but its own, and removes its files', async () => {
    const settings = parseConnection({ url: 'postgres://u:p%3Aw%5C@h/db?options=-cgeqo%3Doff', env: {} });
    const base = {
      PATH: '/bin',
      HOME: home,
      TMPDIR: home,
      PGPASSWORD: 'leak',
      PGOPTIONS: '-c leak=1',
      PGSERVICE: 'leak',
      LC_ALL: 'de_DE.UTF-8',
      UNSET: undefined,
    };
    const libpq = await libpqEnvironment(settings, base, { applicationName: 'app', options: '-c a=b' });
    const { PGPASSFILE, PGSERVICEFILE, ...rest } = libpq.env;
    expect(rest).toEqual({
      PATH: '/bin',
      HOME: home,
      TMPDIR: home,
      LC_ALL: 'C',
      PGSERVICE: 'jetbackup',
      PGHOST: 'h',
      PGPORT: '5432',
      PGUSER: 'u',
      PGDATABASE: 'db',
      PGAPPNAME: 'app',
      PGCONNECT_TIMEOUT: '15',
      PGOPTIONS: '-cgeqo=off -c a=b',
      PGSSLMODE: 'prefer',
    });
    expect((await stat(PGPASSFILE ?? '')).mode & 0o777).toBe(0o600);
    expect((await stat(PGSERVICEFILE ?? '')).mode & 0o777).toBe(0o600);
    await libpq[Symbol.asyncDispose]();
    expect(await readdir(home)).toEqual([]);
  });

  it('removes what a dead run left, and nothing else', async () => {
    const settings = parseConnection({ url: 'postgres://u@h/db', env: {} });
    const extra = { applicationName: 'app' };
    await using first = await libpqEnvironment(settings, { TMPDIR: home }, extra);
    const [mine = ''] = await readdir(home);
    // No process has an id of 2^22 or more on Linux, and none this large elsewhere.
    const dead = mine.replace(`-${process.pid}-`, '-999999999-');
    const elsewhere = mine.replace(/^jetbackup-\d+-\d+-/, 'jetbackup-1-999999999-');
    await writeFile(join(home, dead), 'secret');
    await writeFile(join(home, elsewhere), 'of another namespace');
    await using second = await libpqEnvironment(settings, { TMPDIR: home }, extra);
    const left = await readdir(home);
    expect(left).toHaveLength(3);
    expect(left).not.toContain(dead);
    expect(left).toEqual(expect.arrayContaining([mine, elsewhere]));
    expect(first.env['PGPASSFILE']).not.toBe(second.env['PGPASSFILE']);
  });
});
