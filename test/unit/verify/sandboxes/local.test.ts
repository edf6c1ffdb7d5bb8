import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { chooseServerPrograms, versionOf } from '../../../../src/postgres/server-programs.ts';
import { configuration, serverEnvironment } from '../../../../src/verify/sandboxes/local-cluster.ts';
import { neededBytes } from '../../../../src/verify/sandboxes/local-room.ts';
import { accountIn } from '../../../../src/verify/sandboxes/server-account.ts';
import { superuserName } from '../../../../src/verify/sandboxes/superuser.ts';

const programs = (major: number, minor: number) => {
  const directory = `/pg/${major}.${minor}`;
  return { major, minor, directory, initdb: `${directory}/initdb`, postgres: `${directory}/postgres` };
};
const found = [programs(18, 1), programs(15, 8), programs(17, 2), programs(17, 6), programs(14, 20)];

test.each([
  [15, '15.8'],
  [17, '17.6'],
  [16, '17.6'],
  [13, '14.20'],
  [19, undefined],
])('for a server of PostgreSQL %i its own major, else the next newer one: %s', (major, chosen) => {
  const choice = chooseServerPrograms(found, major);
  expect(choice === undefined ? undefined : versionOf(choice)).toBe(chosen);
});

test('root runs the server as jetbackup-sandbox, else as nobody, and never as root or as postgres, who has clusters of his own', () => {
  const root = 'root:x:0:0:root:/root:/bin/bash\n';
  const nobody = 'nobody:x:65534:65533::/nonexistent:/usr/sbin/nologin\n';
  const postgres = 'postgres:x:101:104::/var/lib/postgresql:/bin/bash\n';
  const own = { name: 'jetbackup-sandbox', uid: 990, gid: 991 };
  expect(accountIn(`${root}${nobody}${postgres}jetbackup-sandbox:x:990:991::/:/usr/sbin/nologin\n`)).toEqual(own);
  expect(accountIn(root + postgres + nobody)).toEqual({ name: 'nobody', uid: 65_534, gid: 65_533 });
  expect(accountIn(root + postgres)).toEqual({ name: 'nobody', uid: 65_534, gid: 65_534 });
  expect(accountIn(root + nobody)).toEqual({ name: 'nobody', uid: 65_534, gid: 65_533 });
  expect(accountIn(root)).toEqual({ name: 'nobody', uid: 65_534, gid: 65_534 });
  expect(accountIn('jetbackup-sandbox:x:0:0::/:/bin/sh\njetbackup-sandbox2:x:5:5::/:/bin/sh\n')).toEqual({
    name: 'nobody',
    uid: 65_534,
    gid: 65_534,
  });
});

test('the room is for the database, its growth and its WAL', () => {
  const MiB = 1024 ** 2;
  const GiB = 1024 * MiB;
  expect(neededBytes({ databaseBytes: 0, walBytes: 4 * GiB })).toBe(256 * MiB);
  expect(neededBytes({ databaseBytes: 100 * GiB, walBytes: 4 * GiB })).toBe(134.25 * GiB);
});

test('no setting moves the server to where others reach it or its files are', () => {
  const text = configuration(
    {
      ...{ listen_addresses: '*', data_directory: '/var/lib/postgresql', hba_file: '/tmp/mine', work_mem: '7MB' },
      ...{ log_statement: 'all', log_min_error_statement: 'error', log_min_duration_statement: '0' },
    },
    '/s/b',
  );
  const last = new Map(text.split('\n').flatMap((line) => (line.includes(' = ') ? [line.split(' = ', 2) as [string, string]] : [])));
  expect(Object.fromEntries(last)).toMatchObject({
    ...{ listen_addresses: "''", data_directory: "'/s/b/data'", hba_file: "'/s/b/pg_hba.conf'", work_mem: "'7MB'" },
    ...{ unix_socket_directories: `'"/s/b/socket"'`, unix_socket_permissions: "'0700'", log_destination: "'stderr'" },
    ...{ log_statement: "'none'", log_min_error_statement: "'panic'", log_min_duration_statement: "'-1'" },
  });
});

test('a value is one string of postgresql.conf, whatever is in it', async () => {
  await fc.assert(
    fc.property(fc.string({ unit: 'binary-ascii' }), (value) => {
      const line = /^any\.thing = '(.*)'$/m.exec(configuration({ 'any.thing': value }, '/s/b'))?.[1] ?? 'not one line';
      // As guc-file.l reads it.
      const breaks: Record<string, string> = { n: '\n', r: '\r' };
      const read = line.replaceAll(/\\(.)|''/g, (_, escaped) => (escaped === undefined ? "'" : (breaks[escaped] ?? escaped)));
      expect(read).toBe(value);
    }),
  );
});

test('the superuser has the name that is wanted, unless no cluster can be made with it', () => {
  expect(['jetadmin', 'The owner: ä', '-x'].map(superuserName)).toEqual(['jetadmin', 'The owner: ä', '-x']);
  for (const name of ['a"b', "it's", 'a\\b', '$user', 'pg_admin']) expect(superuserName(name)).toBe('postgres');
});

test('a server gets nothing of our environment but where programs and libraries are', () => {
  const env = { PATH: '/opt/bin', AWS_SECRET_ACCESS_KEY: 'x', PGDATA: '/var/lib/postgresql', LD_LIBRARY_PATH: '/opt/lib', LC_ALL: 'de_DE' };
  expect(serverEnvironment(env)).toEqual({ PATH: '/opt/bin', LD_LIBRARY_PATH: '/opt/lib', LC_ALL: 'C', TZ: 'UTC' });
  expect(serverEnvironment({})).toEqual({ PATH: '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' });
});
