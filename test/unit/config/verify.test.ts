import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Config } from '../../../src/config/config.ts';
import { type LoadOptions, loadConfig } from '../../../src/config/load.ts';
import { problemsOf } from '../../../src/config/problems.ts';
import { bytes, decimal } from '../../../src/config/scalars.ts';
import { redactor, Secret } from '../../../src/config/secret.ts';
import { parseConnection } from '../../../src/postgres/connection.ts';

let cwd: string;
beforeEach(() => {
  cwd = mkdtempSync(join(tmpdir(), 'jetbackup-config-'));
});
afterEach(() => rmSync(cwd, { recursive: true, force: true }));

const checks: NonNullable<LoadOptions['checks']> = {
  connection: (url, env) => parseConnection({ ...(url === undefined ? {} : { url }), env: { ...env, USER: 'me' } }),
};

const file = () => join(cwd, 'jetbackup.yaml');
function load(yaml: string | undefined, env: Record<string, string> = {}): Config {
  if (yaml !== undefined) writeFileSync(file(), yaml, { mode: 0o600 });
  return loadConfig({ cwd, env, search: [file()], checks });
}

/** Each problem as `line:column: message`, and its remedy below where it has one. */
function complaints(yaml: string | undefined, env: Record<string, string> = {}): string[] {
  try {
    load(yaml, env);
  } catch (error) {
    const problems = problemsOf(error);
    if (problems.length === 0) throw error;
    return problems.map(({ source, line, column, message, remedy }) => {
      const place = line === undefined ? source : `${line}:${column}`;
      return `${place}: ${message}${remedy === undefined ? '' : `\n${remedy}`}`;
    });
  }
  return [];
}

const repository = 'repository: file:///backups\n';
const verify = (text: string) => `${repository}verify: { ${text} }\n`;
const database = (text: string) => `${repository}databases:\n  - name: shop\n    url: postgres://app@db/shop\n    ${text}\n`;

const DURATION = 'must be a duration: a number and a unit: 500ms, 10s, 5m, 26h, 30d, 2w';
const CANARY_REMEDY = 'true means public.jetbackup_canary. The table is made by the backup, and is for nothing else.';

describe('verify', () => {
  it('needs nothing: a container where there is an engine, and an hour’s patience with no query', () => {
    expect(load(repository).verify).toEqual({
      ...{ sandbox: 'auto', profile: 'fast', image: 'postgres:{major}', memoryBytes: undefined, cpus: undefined, storage: 'auto' },
      ...{
        directory: undefined,
        timeoutMs: 86_400_000,
        plaintext: false,
        reaper: false,
        settings: {},
        amcheckBytes: 1e9,
        queryTimeoutMs: 60_000,
        afterBackup: false,
        queries: [],
      },
    });
  });

  it('takes what is written, in the units in which it is written', () => {
    const config = load(`${repository}verify:
  sandbox: local
  profile: durable
  image: registry.example/postgres:{major}-bookworm
  memory: 1.5GiB
  cpus: 1.5
  storage: disk
  directory: scratch
  plaintext: true
  reaper: true
  settings:
    work_mem: 64MB
    pg_stat_statements.track: all
  amcheck: 500 MB
  queryTimeout: 5m
  afterBackup: true
  queries:
    - name: somebody ordered
      sql: SELECT count(*) > 0 FROM orders
    - name: no orphans
      sql: |
        SELECT count(*)
          FROM line WHERE NOT EXISTS (SELECT FROM orders WHERE orders.id = line.id AND $$x$$ <> '')
      expect: 0
objectives: { rpo: 26h, rto: 30m }
databases:
  - name: shop
    url: postgres://app@db/shop
    queries: [{ name: own, sql: SELECT true }]
    objectives: { rto: 5m }
    values: [{ name: orders, sql: SELECT count(*) FROM orders }]
`);
    expect(config.verify).toMatchObject({
      ...{
        sandbox: 'local',
        profile: 'durable',
        image: 'registry.example/postgres:{major}-bookworm',
        memoryBytes: 1.5 * 2 ** 30,
        cpus: 1.5,
      },
      ...{ storage: 'disk', directory: join(cwd, 'scratch'), amcheckBytes: 5e8, queryTimeoutMs: 300_000, afterBackup: true },
      settings: { work_mem: '64MB', 'pg_stat_statements.track': 'all' },
    });
    expect(config.verify.queries.map(({ name, expect: expected }) => [name, expected])).toEqual([
      ['somebody ordered', undefined],
      ['no orphans', '0'],
    ]);
    expect(config.verify.queries[1]?.sql).toContain('$$x$$');
    expect(config.databases[0]).toMatchObject({
      queries: [{ name: 'own', sql: 'SELECT true', expect: undefined }],
      // The common RPO stays beside the own RTO.
      objectives: { rpoMs: 26 * 3_600_000, rtoMs: 300_000 },
      values: [{ name: 'orders', sql: 'SELECT count(*) FROM orders' }],
      canary: undefined,
    });
  });

  it.each([
    ['off', 0],
    ['all', Number.MAX_SAFE_INTEGER],
    ['0', 0],
    ['2GB', 2e9],
  ])('reads amcheck: %s', (text, expected) => {
    expect(load(verify(`amcheck: ${text}`)).verify.amcheckBytes).toBe(expected);
  });

  it.each<[string, string[]]>([
    [
      'sandbox: docker',
      ['2:11: "verify.sandbox": is no kind of sandbox\nUse auto, container, local, or the URL of a server: postgres://user@host/.'],
    ],
    [
      'sandbox: postgres://u@h:port/',
      [expect.stringMatching(/^2:11: the database connection string has a host or port that cannot be read/)],
    ],
    ['profile: quick', ['2:11: "verify.profile" must be one of fast, durable']],
    ['memory: plenty', ['2:11: "verify.memory": must be a size\nWrite 512MB, 2GB or 2GiB.']],
    ['memory: 32MB', ['2:11: "verify.memory": must be 64MB at least']],
    ['cpus: 0', ['2:11: "verify.cpus": must be a number from 0.1 to 1024']],
    ['storage: ram', ['2:11: "verify.storage" must be one of auto, memory, disk']],
    ['settings: { "work mem": 1 }', ['2:23: "work mem" is not the name of a setting of PostgreSQL']],
    ['settings: work_mem', ['2:11: "verify.settings" must be a section (key: value)']],
    ['amcheck: some', ['2:11: "verify.amcheck": must be off, all or a size\nWrite off, all, 500MB, 1GB or 1GiB.']],
    ['queryTimeout: 60', [`2:11: "verify.queryTimeout": ${DURATION}`]],
    ['queryTimeout: 0s', ['2:11: "verify.queryTimeout": must be longer than nothing']],
    ['afterBackup: yes', ['2:11: "verify.afterBackup": must be true or false']],
    ['queries: SELECT 1', ['2:11: "verify.queries" must be a list (- item)']],
    ['queries: [SELECT 1]', ['2:21: "verify.queries[0]" must be a section (key: value)']],
    ['queries: [{ name: a }]', ['2:21: "verify.queries[0].sql" is missing\nAdd sql: …']],
    [
      'queries: [{ name: a, sql: x, expected: 1 }]',
      ['2:40: unknown key "expected"; did you mean "expect"?\nKnown here: name, sql, expect.'],
    ],
    ['queries: [{ name: a, sql: x }, { name: b, sql: x }, { name: a, sql: y }]', ['2:65: "verify.queries[2].name": "a" is there twice']],
    ['sandboxes: local', [expect.stringMatching(/^2:11: unknown key "sandboxes"; did you mean "sandbox"\?\nKnown here: sandbox, profile/)]],
  ])('refuses { %s } with its place', (text, expected) => {
    expect(complaints(verify(text))).toEqual(expected);
  });

  it('may have its sandbox and the objectives from the environment, with problems in their variables’ names', () => {
    const config = load(`${repository}verify: { profile: durable }\n`, {
      ...{ JETBACKUP_SANDBOX: 'container', JETBACKUP_SANDBOX_IMAGE: 'pg:{major}', JETBACKUP_RPO: '1d', JETBACKUP_RTO: '1h' },
      ...{ DATABASE_URL: 'postgres://app@db/shop' },
    });
    expect(config.verify).toMatchObject({ sandbox: 'container', image: 'pg:{major}', profile: 'durable' });
    expect(config.databases[0]?.objectives).toEqual({ rpoMs: 86_400_000, rtoMs: 3_600_000 });
    expect(complaints(repository, { JETBACKUP_SANDBOX: 'docker', JETBACKUP_RTO: 'soon' })).toEqual([
      `JETBACKUP_RTO: "objectives.rto": ${DURATION}`,
      expect.stringMatching(/^JETBACKUP_SANDBOX: "verify.sandbox": is no kind of sandbox/),
    ]);
  });
});

describe('a sandbox on a server of one’s own', () => {
  const url = 'postgres://tester:s4ndb0x-pw@scratch:5433/';

  it('has a password that is never printed, and is known to the redactor', () => {
    const config = load(verify(`sandbox: "${url}"`));
    expect(config.verify.sandbox).toBeInstanceOf(Secret);
    expect(inspect(config, { depth: 10 }) + JSON.stringify(config)).not.toContain('s4ndb0x-pw');
    const redact = redactor(
      config.secrets.map((secret) => secret.reveal()),
      config.openWords,
    );
    expect(redact('password s4ndb0x-pw of tester on scratch')).toBe('password [redacted] of tester on scratch');
  });

  it('has a password that is in no complaint about it', () => {
    for (const wrong of [url.replace('5433', 'port'), url.replace('postgres:', 'mysql:')]) {
      const [found, ...more] = complaints(verify(`sandbox: "${wrong}"`));
      expect(found).toMatch(/^2:11: /);
      expect(found).not.toContain('s4ndb0x-pw');
      expect(more).toEqual([]);
    }
  });

  it('is warned of where others can read the file with the password in it', () => {
    expect(load(verify(`sandbox: "${url}"`)).warnings).toEqual([]);
    chmodSync(file(), 0o644);
    expect(load(undefined).warnings).toEqual([
      { text: expect.stringContaining('holds a password'), hint: expect.stringContaining(`chmod 600 ${file()}`) },
    ]);
  });
});

describe('objectives', () => {
  it.each<[string, string[]]>([
    ['objectives: { rpo: often }', [`5:19: "databases[0].objectives.rpo": ${DURATION}`]],
    ['objectives: { rto: 0m }', ['5:19: "databases[0].objectives.rto": must be longer than nothing']],
    ['objectives: { rpos: 1h }', ['5:19: unknown key "rpos"; did you mean "rpo"?\nKnown here: rpo, rto.']],
    ['objectives: 1h', ['5:5: "databases[0].objectives" must be a section (key: value)']],
  ])('refuses { %s } with its place', (text, expected) => {
    expect(complaints(database(text))).toEqual(expected);
  });
});

describe('values', () => {
  it.each<[string, string[]]>([
    ['values: [{ name: a, sql: x }, { name: a, sql: y }]', ['5:37: "databases[0].values[1].name": "a" is there twice']],
    ['values: [{ sql: x }]', ['5:14: "databases[0].values[0].name" is missing\nAdd name: …']],
    ['values: [{ name: a, sql: x, expect: 1 }]', ['5:33: unknown key "expect"\nKnown here: name, sql.']],
    ['values: { a: SELECT 1 }', ['5:5: "databases[0].values" must be a list (- item)']],
  ])('refuses { %s } with its place', (text, expected) => {
    expect(complaints(database(text))).toEqual(expected);
  });

  it('and a canary need a fingerprint to be recorded in', () => {
    const both = 'fingerprint: off\n    canary: true\n    values: [{ name: a, sql: SELECT 1 }]';
    expect(complaints(database(both))).toEqual([
      '6:5: "databases[0].canary" is recorded with the fingerprint, and "fingerprint" is off\nSet fingerprint: counts (or content), or take canary out.',
      '7:5: "databases[0].values" is recorded with the fingerprint, and "fingerprint" is off\nSet fingerprint: counts (or content), or take values out.',
    ]);
    for (const off of ['canary: false', 'values: []']) expect(complaints(database(`fingerprint: off\n    ${off}`))).toEqual([]);
    expect(complaints(database(both.replace('off', 'counts')))).toEqual([]);
    rmSync(file());
    const env = { JETBACKUP_REPOSITORY: 'file:///b', PGDATABASE: 'shop', JETBACKUP_FINGERPRINT: 'off', JETBACKUP_CANARY: 'true' };
    expect(complaints(undefined, env)).toEqual([expect.stringMatching(/^JETBACKUP_CANARY: .*"fingerprint" is off/)]);
  });
});

describe('canary', () => {
  it.each<[string, Config['databases'][number]['canary']]>([
    ['true', { schema: 'public', table: 'jetbackup_canary' }],
    ['false', undefined],
    ['ops.Backup_Canary', { schema: 'ops', table: 'Backup_Canary' }],
  ])('reads canary: %s', (text, expected) => {
    expect(load(database(`canary: ${text}`)).databases[0]?.canary).toEqual(expected);
  });

  it('is off unless somebody asks for it', () => {
    expect(load(database('tags: {}')).databases[0]?.canary).toBeUndefined();
  });

  // A bare word would be a table of that name in somebody's database.
  it.each(['no', 'off', 'yes', 'canary', 'a.b.c', 'a.', '"a b.c"', 'x.y;drop', `s.${'t'.repeat(64)}`])('refuses canary: %s', (text) => {
    expect(complaints(database(`canary: ${text}`))).toEqual([
      `5:5: "databases[0].canary": must be true, false, or schema.table\n${CANARY_REMEDY}`,
    ]);
  });

  it('comes from JETBACKUP_CANARY where the environment alone configures the database', () => {
    const env = { JETBACKUP_REPOSITORY: 'file:///b', PGDATABASE: 'shop' };
    expect(load(undefined, { ...env, JETBACKUP_CANARY: 'ops.canary' }).databases[0]?.canary).toEqual({ schema: 'ops', table: 'canary' });
    expect(complaints(undefined, { ...env, JETBACKUP_CANARY: 'maybe' })).toEqual([expect.stringMatching(/^JETBACKUP_CANARY: /)]);
  });
});

describe('a size', () => {
  it.each([
    ['1048576', 1_048_576],
    ['512MB', 512e6],
    ['2GiB', 2 ** 31],
    ['1.5 kb', 1500],
    ['3TiB', 3 * 2 ** 40],
    ['0', 0],
  ])('%s is so many bytes', (text, expected) => {
    expect(bytes.parse(text)).toBe(expected);
  });

  it.each(['', 'MB', '-1MB', '1,5GB', '2 Gigs', '1e9', '1PB', '1.2345GB', '0x10', '12 345', '9000TiB'])('"%s" is refused', (text) => {
    expect(bytes.safeParse(text).success).toBe(false);
  });

  it('is a whole number of bytes, whatever is accepted', () => {
    fc.assert(
      fc.property(fc.nat(99_999), fc.nat(999), fc.constantFrom('', 'B', 'KB', 'MiB', 'gb', 'TIB'), (whole, part, unit) => {
        const read = bytes.safeParse(`${whole}.${part}${unit}`);
        expect(Number.isSafeInteger(read.success ? read.data : 0)).toBe(true);
      }),
    );
  });
});

describe('a decimal', () => {
  it.each(['0.5', '2', '16.25'])('%s is read', (text) => {
    expect(decimal(0.5, 16.25).parse(text)).toBe(Number(text));
  });

  it.each(['0.49', '16.26', '-1', '.5', '1e1', 'two', '1,5', 'NaN', ''])('"%s" is refused', (text) => {
    expect(decimal(0.5, 16.25).safeParse(text).success).toBe(false);
  });
});
