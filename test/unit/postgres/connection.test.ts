import { inspect } from 'node:util';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type ConnectionSettings, describeConnection, parseConnection, withDatabase } from '../../../src/postgres/connection.ts';

const parse = (url: string, env: Record<string, string | undefined> = { USER: 'os' }) => parseConnection({ url, env });

function errorOf(work: () => unknown): { code: string; text: string } {
  try {
    work();
  } catch (error) {
    if (error instanceof Error && 'code' in error && 'hint' in error)
      return { code: String(error.code), text: `${error.message} ${error.hint} ${inspect(error)}` };
    throw error;
  }
  throw new Error('it should have thrown');
}

const shape = ({ password, ...rest }: ConnectionSettings) => ({ ...rest, password: password?.reveal() });

describe('parseConnection', () => {
  it('reads a URL with everything in it', () => {
    expect(
      shape(
        parse('postgresql://me:pw@db.example:6543/app?sslmode=verify-full&sslrootcert=/ca.pem&connect_timeout=5&options=-c%20geqo%3Doff'),
      ),
    ).toMatchObject({
      hosts: [{ host: 'db.example', port: 6543 }],
      user: 'me',
      password: 'pw',
      database: 'app',
      ssl: { mode: 'verify-full', rootCert: '/ca.pem' },
      connectTimeoutSeconds: 5,
      options: '-c geqo=off',
    });
  });

  it.each([
    ['postgres://h', { hosts: [{ host: 'h', port: 5432 }], user: 'os', database: 'os' }],
    ['postgres:///app', { hosts: [], port: 5432, database: 'app' }],
    ['postgres://u@/app?host=/var/run/pg&port=5433', { hosts: [{ host: '/var/run/pg', port: 5433 }], user: 'u', database: 'app' }],
    ['postgres://%2Fvar%2Frun%2Fpg/app', { hosts: [{ host: '/var/run/pg', port: 5432 }] }],
    ['postgres://[::1]:5433/app', { hosts: [{ host: '::1', port: 5433 }] }],
    [
      'postgres://a:1,b:2/app?target_session_attrs=primary',
      {
        hosts: [
          { host: 'a', port: 1 },
          { host: 'b', port: 2 },
        ],
        targetSessionAttributes: 'primary',
      },
    ],
    [
      'postgres://a,b/app?port=7',
      {
        hosts: [
          { host: 'a', port: 7 },
          { host: 'b', port: 7 },
        ],
      },
    ],
    [
      "host=a dbname='my db' user=it\\'s password='p w\\\\'",
      { hosts: [{ host: 'a', port: 5432 }], database: 'my db', user: "it's", password: 'p w\\' },
    ],
    ['host = a port = 6', { hosts: [{ host: 'a', port: 6 }] }],
    ['postgres://h/db?sslmode=no-verify', { ssl: { mode: 'require' } }],
    ['postgres://h/db?ssl=true', { ssl: { mode: 'require' } }],
    ['postgres://h/db?schema=public&connection_limit=5&pgbouncer=false', { database: 'db' }],
    ['postgres://h/db?sslrootcert=system', { ssl: { mode: 'verify-full' } }],
  ])('reads %s as libpq does', (url, expected) => {
    expect(shape(parse(url))).toMatchObject(expected);
  });

  it('takes what the URL leaves out from the variables of libpq, and the URL wins', () => {
    const env = {
      PGHOST: 'env',
      PGPORT: '7777',
      PGUSER: 'envuser',
      PGPASSWORD: 'envpw',
      PGDATABASE: 'envdb',
      PGSSLMODE: 'require',
      PGGSSENCMODE: 'disable',
    };
    expect(shape(parseConnection({ env }))).toMatchObject({
      hosts: [{ host: 'env', port: 7777 }],
      user: 'envuser',
      password: 'envpw',
      database: 'envdb',
      ssl: { mode: 'require' },
      libpqOnly: { PGGSSENCMODE: 'disable' },
    });
    // The port belongs to the host: that of another host would be a wrong guess.
    expect(shape(parse('postgres://url/urldb', env))).toMatchObject({
      hosts: [{ host: 'url', port: 5432 }],
      user: 'envuser',
      database: 'urldb',
    });
  });

  it('looks for the password in PGPASSFILE, or in ~/.pgpass', () => {
    expect(parse('postgres://h/db', { USER: 'u', HOME: '/home/u' }).passfile).toBe('/home/u/.pgpass');
    expect(parse('postgres://h/db', { USER: 'u', HOME: '/home/u', PGPASSFILE: '/p' }).passfile).toBe('/p');
  });

  it.each([
    ['postgres://u:S3cret@x@h/db', '%40'],
    ['postgres://u:S3cret/x@h/db', '%2F'],
    ['postgres://u:S3cret%@h/db', '%25'],
    ['postgres://u:S3cret@h:99999/db', 'port'],
    ['postgres://u:S3cret@h/db?sslmod=verify-full', 'sslmod'],
    ['postgres://u:S3cret@h/db?sslmode=S3cret', 'sslmode'],
    ['postgres://u:S3cret@h/db?sslrootcert=system&sslmode=require', 'verify-full'],
    ['mysql://u:S3cret@h/db', 'postgres://'],
    ['u:S3cret@h/db', 'postgres://'],
    ['host=a password=S3cret with space', 'quotes'],
    ['postgres://u:S3cret@h/db?service=x', 'service'],
    ['postgres://u:S3cret@a,b/db?port=1,2,3', 'ports'],
    ['postgres://u:S3cret@[::1/db', 'host'],
    ['postgres://u:S3cret@h/db?pgbouncer=true', 'direct address'],
  ])('refuses %s with a remedy and without the password', (url, word) => {
    const { code, text } = errorOf(() => parse(url));
    expect(code).toBe('config-invalid');
    expect(text).toContain(word);
    expect(text).not.toContain('S3cret');
  });

  it('refuses a password with a line break, which a passfile cannot hold', () => {
    expect(errorOf(() => parse('postgres://h/db', { USER: 'u', PGPASSWORD: 'S3cret\n' })).text).not.toContain('S3cret');
  });

  it('gives back any user, password and database that was percent-encoded into a URL', () => {
    const text = fc.string({ unit: 'binary', minLength: 1 }).filter((value) => value.isWellFormed() && !/[\0\r\n]/.test(value));
    fc.assert(
      fc.property(text, text, text, (user, password, database) => {
        const url = `postgres://${encodeURIComponent(user)}:${encodeURIComponent(password)}@h/${encodeURIComponent(database)}`;
        expect(shape(parse(url))).toMatchObject({ user, password, database, hosts: [{ host: 'h', port: 5432 }] });
      }),
    );
  });

  it('gives back any values that were quoted into a keyword string', () => {
    const text = fc.string({ unit: 'binary', minLength: 1 }).filter((value) => value.isWellFormed() && !/[\0\r\n]/.test(value));
    const quote = (value: string) => `'${value.replaceAll(/[\\']/g, '\\$&')}'`;
    fc.assert(
      fc.property(text, text, (user, password) => {
        expect(shape(parse(`user=${quote(user)} password = ${quote(password)} host=h`))).toMatchObject({ user, password });
      }),
    );
  });
});

describe('describeConnection', () => {
  it('says which database on which server as whom, and no secret', () => {
    const settings = parse('postgres://me:S3cret@db:6543,[::1]/app');
    expect(describeConnection(settings)).toBe('app on db:6543, [::1]:5432 as me');
    expect(describeConnection(withDatabase(parse('postgres:///app', { USER: 'u', PGPORT: '6000' }), 'other'))).toBe(
      'other on this machine (port 6000) as u',
    );
  });

  it('keeps the password out of JSON, of text and of what console.log shows', () => {
    const settings = parse('postgres://me:S3cret@db/app?sslpassword=S3cret');
    expect(JSON.stringify(settings) + String(settings.password) + inspect(settings, { depth: 9 })).not.toContain('S3cret');
  });
});
