import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Config } from '../../../src/config/config.ts';
import { type LoadOptions, loadConfig } from '../../../src/config/load.ts';
import { problemsOf } from '../../../src/config/problems.ts';
import { isJetbackupError } from '../../../src/core/errors.ts';
import { validatePublicKey } from '../../../src/crypto/signature.ts';
import { parseConnection } from '../../../src/postgres/connection.ts';

let cwd: string;
beforeEach(() => {
  cwd = mkdtempSync(join(tmpdir(), 'jetbackup-config-'));
});
afterEach(() => rmSync(cwd, { recursive: true, force: true }));

const checks: NonNullable<LoadOptions['checks']> = {
  connection: (url, env) => parseConnection({ ...(url === undefined ? {} : { url }), env: { ...env, USER: 'me' } }),
  publicKey: validatePublicKey,
};

function load(yaml: string | undefined, env: Record<string, string> = {}, more: Partial<LoadOptions> = {}): Config {
  if (yaml !== undefined) writeFileSync(join(cwd, 'jetbackup.yaml'), yaml, { mode: 0o600 });
  return loadConfig({ cwd, env, search: [join(cwd, 'jetbackup.yaml')], checks, ...more });
}

/** What the user sees of every problem: `place: message`. */
function complaints(yaml: string | undefined, env: Record<string, string> = {}): string[] {
  try {
    load(yaml, env);
  } catch (error) {
    expect(isJetbackupError(error, 'config-invalid')).toBe(true);
    return problemsOf(error).map(
      ({ source, line, column, message }) => `${source}${line === undefined ? '' : `:${line}:${column}`}: ${message}`,
    );
  }
  return [];
}

const good = `repository: file:///backups
databases:
  - name: jetadmin
    url: postgres://app@db/jetadmin
`;

describe('a configuration file', () => {
  it('needs a repository and a database; the rest has defaults', () => {
    const config = load(good);
    expect(config.databases[0]).toMatchObject({
      name: 'jetadmin',
      fingerprint: 'content',
      rolePasswords: true,
      lockTimeoutMs: 10_000,
      files: [],
    });
    expect(config).toMatchObject({ timeZone: 'UTC', compression: { codec: 'gzip', level: undefined }, recipients: [], warnings: [] });
    expect(config.repository.reveal()).toBe('file:///backups');
  });

  it('is filled from the environment, numbers and truth values too', () => {
    const config = load(
      `timezone: \${ZONE:-Europe/Berlin}
repository: file:///\${DIR}
databases:
  - name: jetadmin
    url: \${DATABASE_URL}
    rolePasswords: \${ROLES}
    files: [a.env, /etc/b.env]
    tags: { team: data }
compression: { codec: zstd, level: \${LEVEL} }
encryption: { recipients: [\${R1}, '\${R2:-x: y, z}'], identityFile: \${JETBACKUP_IDENTITY_FILE:-} }
`,
      { DIR: 'x', DATABASE_URL: 'postgres://u@h/d', ROLES: 'false', LEVEL: '7', R1: 'a, b' },
    );
    expect(config.recipients).toEqual(['a, b', 'x: y, z']);
    expect(config.timeZone).toBe('Europe/Berlin');
    expect(config.compression).toMatchObject({ codec: 'zstd', level: 7 });
    expect(config.databases[0]).toMatchObject({ rolePasswords: false, files: [join(cwd, 'a.env'), '/etc/b.env'], tags: { team: 'data' } });
    expect(config.identity).toBeUndefined();
  });

  it('may take a variable from NAME_FILE, without the line break at its end', () => {
    writeFileSync(join(cwd, 'url'), 'postgres://u:p w@h/d\n');
    const config = load(good.replace('postgres://app@db/jetadmin', '${DATABASE_URL}'), { DATABASE_URL_FILE: 'url' });
    expect(config.databases[0]?.url?.reveal()).toBe('postgres://u:p w@h/d');
  });

  it.each<[what: string, yaml: string, expected: string[]]>([
    ['an unknown key', `${good}databse: x\n`, ['jetbackup.yaml:5:1: unknown key "databse"; did you mean "databases"?']],
    [
      'a key inside a database',
      good.replace('url:', 'fingerpint: off\n    url:'),
      ['jetbackup.yaml:4:5: unknown key "fingerpint"; did you mean "fingerprint"?'],
    ],
    ['a missing repository', good.replace(/^repository.*\n/, ''), ['jetbackup.yaml:1:1: "repository" is missing']],
    ['a missing name', good.replace('name: jetadmin\n    ', ''), ['jetbackup.yaml:3:5: the database has no name']],
    ['an empty file', '', ['jetbackup.yaml:1:1: "repository" is missing']],
    [
      'a list as a file',
      '- a\n',
      ['jetbackup.yaml:1:1: the file must hold sections (key: value)', 'jetbackup.yaml:1:1: "repository" is missing'],
    ],
    [
      'an unset variable',
      good.replace('file:///backups', '${BUCKET}'),
      ['jetbackup.yaml:1:13: the environment variable BUCKET is not set'],
    ],
    ['a repeated key', `${good}repository: b\n`, ['jetbackup.yaml:5:1: this key stands here twice']],
    [
      'a repeated database',
      `${good}  - name: jetadmin\n    url: postgres://a@b/c\n`,
      ['jetbackup.yaml:5:5: "databases[1].name": there is another database of this name above'],
    ],
    ['a time zone', `timezone: Europe/Berlni\n${good}`, ['jetbackup.yaml:1:1: "timezone": is not a time zone that is known here']],
    [
      'a duration',
      good.replace('url:', 'lockTimeout: soon\n    url:'),
      ['jetbackup.yaml:4:5: "databases[0].lockTimeout": must be a duration: a number and a unit: 500ms, 10s, 5m, 26h, 30d, 2w'],
    ],
    [
      'a codec',
      `${good}compression: { codec: gzp }\n`,
      ['jetbackup.yaml:5:16: "compression.codec" must be one of gzip, zstd; did you mean "gzip"?'],
    ],
    ['a level', `${good}compression: { level: 12 }\n`, ['jetbackup.yaml:5:16: "compression.level": gzip has the levels 1 to 9']],
    [
      'a truth value',
      good.replace('url:', 'rolePasswords: yes\n    url:'),
      ['jetbackup.yaml:4:5: "databases[0].rolePasswords": must be true or false'],
    ],
    ['a text where a section belongs', `${good}signing: key.pem\n`, ['jetbackup.yaml:5:1: "signing" must be a section (key: value)']],
    [
      'a section where a list belongs',
      'repository: r\ndatabases: { name: a }\n',
      ['jetbackup.yaml:2:1: "databases" must be a list (- item)'],
    ],
    [
      'a repeated recipient',
      `${good}encryption: { recipients: [age1a, age1b, age1a] }\n`,
      ['jetbackup.yaml:5:42: this recipient is listed twice'],
    ],
    [
      'a URL of another database system',
      good.replace('postgres://app@db/jetadmin', 'mysql://app:topsecret@db/jetadmin'),
      ['jetbackup.yaml:4:5: the database connection string begins with mysql:, not with postgres://'],
    ],
    [
      'a public key',
      `${good}signing: { publicKey: abc }\n`,
      ['jetbackup.yaml:5:12: "signing.publicKey": a public key for signatures begins with "ed25519:"'],
    ],
    [
      'a name that is a path',
      good.replace('name: jetadmin', 'name: ../x'),
      [expect.stringContaining('jetbackup.yaml:3:5: "databases[0].name": letters, digits')],
    ],
    ['broken YAML', `${good}  - [`, [expect.stringMatching(/^jetbackup.yaml:5:6: this is not YAML: flow sequence/)]],
    ['a tab', `databases:\n\t- name: a\n`, ['jetbackup.yaml:2:1: tabs cannot indent YAML; use spaces']],
  ])('with a wrong one is refused with its place: %s', (_, yaml, expected) => {
    expect(complaints(yaml)).toEqual(expected);
  });

  it('is refused with all of its problems at once, in the order of its lines', () => {
    const found = complaints(
      `timezone: Mars/Phobos
repository: \${NOWHERE}
databases:
  - name: a
    url: \${PASSWORD_URL}
    fingerprint: contents
  - name: a
    lockRetries: many
colour: blue
`,
      { DATABASE_URL_FILE: '/nowhere' },
    );
    expect(found.map((text) => text.split(':')[1])).toEqual(['1', '2', '5', '6', '7', '8', '9']);
  });

  it('complains of an unset variable once, not also of the value that it does not have', () => {
    expect(complaints(`timezone: \${NOWHERE}\n${good}compression: { codec: \${NOWHERE}, level: \${NOWHERE} }\n`)).toEqual(
      ['1:11', '6:23', '6:42'].map((place) => `jetbackup.yaml:${place}: the environment variable NOWHERE is not set`),
    );
  });

  it('that is named and not there is an error, not a reason to look elsewhere', () => {
    load(good);
    expect(() => load(undefined, {}, { file: 'other.yaml' })).toThrow(/other\.yaml/);
    expect(() => load(undefined, { JETBACKUP_CONFIG: 'another.yaml' })).toThrow(/another\.yaml/);
  });

  it('that blows up through aliases is refused', () => {
    const bomb = [
      'a: &a [x,x,x,x,x,x,x,x,x,x]',
      ...'bcdefg'.split('').map((key, index) => `${key}: &${key} [${Array(10).fill(`*${'abcdef'[index]}`).join(',')}]`),
    ];
    expect(complaints(`${bomb.join('\n')}\n`).join()).toContain('beyond any sensible size');
  });
});

describe('the environment', () => {
  const env = { JETBACKUP_REPOSITORY: 's3://bucket/prefix', DATABASE_URL: 'postgres://app:pw@db:5433/shop%20floor?sslmode=require' };

  it('alone configures one database, named in its URL or by JETBACKUP_DATABASE', () => {
    const config = load(undefined, {
      ...env,
      DATABASE_URL: 'postgres://app@db/shop',
      JETBACKUP_RECIPIENTS: 'age1a, ssh-ed25519 AAAA me@host',
      JETBACKUP_CODEC: 'zstd',
    });
    expect(config.databases.map(({ name }) => name)).toEqual(['shop']);
    expect(config.recipients).toEqual(['age1a', 'ssh-ed25519 AAAA me@host']);
    expect(config.compression.codec).toBe('zstd');
    expect(load(undefined, { ...env, JETBACKUP_DATABASE: 'floor' }).databases[0]?.name).toBe('floor');
  });

  it('with a database name that cannot be a folder says which variable to set', () => {
    expect(complaints(undefined, env)).toEqual([expect.stringMatching(/^DATABASE_URL: "databases\[0\].name": letters/)]);
  });

  it('takes the PG* variables of libpq', () => {
    const config = load(undefined, {
      JETBACKUP_REPOSITORY: 'file:///b',
      PGHOST: 'db',
      PGDATABASE: 'shop',
      PGUSER: 'app',
      PGPASSWORD: 'pw',
    });
    expect(config.databases[0]).toMatchObject({ name: 'shop', url: undefined });
    expect(config.connectionEnvironment(config.databases[0])).toMatchObject({ PGHOST: 'db', PGPASSWORD: 'pw' });
  });

  it('needs no database for a host that only reads the repository', () => {
    expect(load(undefined, { JETBACKUP_REPOSITORY: 'file:///b', JETBACKUP_DATABASE: 'shop' })).toMatchObject({
      databases: [],
      selected: 'shop',
    });
  });

  it('stands before the file', () => {
    const config = load(`${good}compression: { codec: gzip, level: 9 }\n`, {
      JETBACKUP_REPOSITORY: 'file:///other',
      JETBACKUP_CODEC: 'zstd',
    });
    expect(config.repository.reveal()).toBe('file:///other');
    expect(config.compression).toMatchObject({ codec: 'zstd', level: 9 });
  });

  it('does not turn a database of the file into another one', () => {
    const config = load(good, { DATABASE_URL: 'postgres://x@staging/other' });
    expect(config.databases.map(({ url }) => url?.reveal())).toEqual(['postgres://app@db/jetadmin']);
  });

  it('may give any secret as a file, but not both ways at once', () => {
    writeFileSync(join(cwd, 'secret'), 'from the file\n');
    const base = { JETBACKUP_REPOSITORY: 'file:///b', PGDATABASE: 'shop', PGPASSWORD_FILE: 'secret' };
    expect(load(undefined, base).connectionEnvironment(undefined)['PGPASSWORD']).toBe('from the file');
    expect(
      load(undefined, { ...base, AWS_SECRET_ACCESS_KEY_FILE: 'secret' })
        .awsVariable('AWS_SECRET_ACCESS_KEY')
        ?.reveal(),
    ).toBe('from the file');
    expect(complaints(undefined, { ...base, PGPASSWORD: 'x' })).toEqual(['PGPASSWORD: PGPASSWORD and PGPASSWORD_FILE are both set']);
    expect(complaints(undefined, { ...base, PGPASSWORD_FILE: 'nowhere' })).toEqual([expect.stringMatching(/^PGPASSWORD_FILE: ENOENT/)]);
  });

  it('with a misspelt variable warns, and leaves those of others alone', () => {
    const config = load(good, {
      JETBACKUP_RECIPENTS: 'age1a',
      JETBACKUP_PORT_80_TCP: 'tcp://10.0.0.1:80',
      JETBACKUP_SERVICE_HOST: '10.0.0.1',
    });
    expect(config.warnings.map(({ text }) => text)).toEqual([expect.stringContaining('did you mean "JETBACKUP_RECIPIENTS"?')]);
  });

  it('that says nothing at all leads to init', () => {
    expect(() => load(undefined)).toThrow(
      expect.objectContaining({ code: 'config-invalid', hint: expect.stringContaining('jetbackup init') }),
    );
  });
});

describe('keys', () => {
  it('come from the file beside the configuration, or from a variable', () => {
    const yaml = `${good}encryption: { identityFile: id.txt }\nsigning: { keyFile: keys/sign.pem }\n`;
    expect(load(yaml).identity).toEqual({ kind: 'file', path: join(cwd, 'id.txt') });
    const config = load(yaml, { JETBACKUP_IDENTITY: 'AGE-SECRET-KEY-1X', JETBACKUP_SIGNING_KEY_FILE: '/run/secrets/key' });
    expect(config.identity).toMatchObject({ kind: 'value', variable: 'JETBACKUP_IDENTITY' });
    expect(config.signingKey).toEqual({ kind: 'file', path: '/run/secrets/key' });
    const both = { JETBACKUP_IDENTITY: 'AGE-SECRET-KEY-1X', JETBACKUP_IDENTITY_FILE: 'id.txt' };
    expect(complaints(yaml, both)).toEqual(['JETBACKUP_IDENTITY: JETBACKUP_IDENTITY and JETBACKUP_IDENTITY_FILE are both set']);
  });

  it('that other users can read are warned of, each with the command that helps', () => {
    writeFileSync(join(cwd, 'id.txt'), '');
    writeFileSync(join(cwd, 'pass'), '');
    chmodSync(join(cwd, 'id.txt'), 0o644);
    chmodSync(join(cwd, 'pass'), 0o640);
    const config = load(`${good.trimEnd()}\n    passfile: pass\nencryption: { identityFile: id.txt }\n`);
    expect(config.warnings.map(({ hint }) => hint)).toEqual([
      `Run: chmod 600 ${join(cwd, 'id.txt')}`,
      `Run: chmod 600 ${join(cwd, 'pass')}`,
    ]);
    chmodSync(join(cwd, 'id.txt'), 0o600);
    chmodSync(join(cwd, 'pass'), 0o600);
    expect(load(undefined).warnings).toEqual([]);
  });

  it('and a password in the file itself: warned of when others can read the file', () => {
    const yaml = good.replace('app@db', 'app:pw1234@db');
    expect(load(yaml).warnings).toEqual([]);
    chmodSync(join(cwd, 'jetbackup.yaml'), 0o644);
    expect(load(undefined).warnings.map(({ text }) => text)).toEqual([expect.stringContaining('holds a password')]);
  });

  it('a passfile of a database is not overruled by a PGPASSWORD meant for another', () => {
    const config = load(`${good.trimEnd()}\n    passfile: pass\n`, { PGPASSWORD: 'other' });
    const environment = config.connectionEnvironment(config.databases[0]);
    expect(environment['PGPASSWORD']).toBeUndefined();
    expect(environment['PGPASSFILE']).toBe(join(cwd, 'pass'));
  });
});

describe('secrets', () => {
  const env = {
    DATABASE_URL: 'postgres://app:uRl-pa55@db/shop',
    PGPASSWORD: 'pG-pa55word',
    JETBACKUP_REPOSITORY: 's3://bucket/prefix?secretAccessKey=s3-k3y',
    JETBACKUP_IDENTITY: 'AGE-SECRET-KEY-1ABC',
    JETBACKUP_SIGNING_KEY: '-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----',
    JETBACKUP_PASSPHRASE: 'open sesame',
    AWS_SECRET_ACCESS_KEY: 'aws-s3cret',
  };
  const values = ['uRl-pa55', 'pG-pa55word', 's3-k3y', 'SECRET-KEY-1ABC', 'PRIVATE KEY', 'open sesame', 'aws-s3cret'];

  it('are not printed with the configuration, and are all known to the redactor', () => {
    const config = load(undefined, env);
    const printed = inspect(config, { depth: 10, showHidden: true }) + JSON.stringify(config);
    for (const value of values) expect(printed).not.toContain(value);
    const known = config.secrets.map((secret) => secret.reveal()).join('\n');
    for (const value of values) expect(known).toContain(value);
  });

  it('are in no complaint, whatever is wrong with them', () => {
    const wrong = { ...env, DATABASE_URL: 'mysql://app:uRl-pa55@db/shop', JETBACKUP_SIGNING_PUBLIC_KEY: env.JETBACKUP_SIGNING_KEY };
    const yaml = `timezone: \${PGPASSWORD}
compression: { codec: "\${JETBACKUP_PASSPHRASE}", level: "\${AWS_SECRET_ACCESS_KEY}" }
databases:
  - name: \${JETBACKUP_IDENTITY}
    url: postgres://app:uRl-pa55@db:port/x
    fingerprint: \${PGPASSWORD}
    lockTimeout: \${PGPASSWORD}
`;
    try {
      load(yaml, wrong);
      expect.unreachable();
    } catch (error) {
      const printed = inspect(error, { depth: 10 });
      for (const value of values.filter((value) => value !== 'PRIVATE KEY')) expect(printed).not.toContain(value);
      expect(problemsOf(error).length).toBeGreaterThan(6);
    }
  });
});
