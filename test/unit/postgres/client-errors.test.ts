import { describe, expect, it } from 'vitest';
import { ProcessFailed } from '../../../src/platform/processes.ts';
import { classifyFailure } from '../../../src/postgres/client-errors.ts';
import { dumpSymptoms } from '../../../src/postgres/dump.ts';
import { restoreSymptoms } from '../../../src/postgres/restore-errors.ts';

const command = { program: '/usr/bin/pg_dump', args: [], env: {} };
const dumped = (stderr: string, killedBy: NodeJS.Signals | null = null) =>
  classifyFailure(
    new ProcessFailed(command, killedBy === null ? 1 : null, killedBy, stderr),
    'the dump failed',
    dumpSymptoms,
    'dump-failed',
  );
const restored = (stderr: string) =>
  classifyFailure(new ProcessFailed(command, 1, null, stderr), 'the restore failed', restoreSymptoms, 'restore-failed');

describe('what pg_dump said', () => {
  it.each([
    [
      'pg_dump: error: query failed: ERROR:  canceling statement due to statement timeout\npg_dump: detail: Query was: LOCK TABLE public."T x", public.b IN ACCESS SHARE MODE',
      'dump-interrupted-by-lock',
      'public."T x"',
    ],
    [
      'pg_dump: error: Dumping the contents of table "t" failed: PQgetResult() failed.\npg_dump: detail: Error message from server: ERROR:  canceling statement due to conflict with recovery',
      'dump-recovery-conflict',
      'hot_standby_feedback',
    ],
    [
      'pg_dump: error: query failed: ERROR:  permission denied for table t\npg_dump: detail: Query was: LOCK TABLE public.t',
      'database-denied',
      'table t',
    ],
    [
      'pg_dump: error: aborting because of server version mismatch\npg_dump: detail: server version: 17.6; pg_dump version: 15.1',
      'tools-missing',
      'install',
    ],
    ['pg_dump: error: query failed: ERROR:  invalid snapshot identifier: "00000003-1"', 'database-unreachable', 'again'],
    ['pg_dump: error: connection to server at "h" (::1), port 5432 failed: Connection refused', 'database-unreachable', 'running'],
    [
      'pg_dump: error: connection to server at "h" failed: FATAL:  password authentication failed for user "u"',
      'database-denied',
      'password',
    ],
    ['pg_dump: error: something new', 'dump-failed', 'pg_dump'],
  ])('%s is %s', (stderr, code, hint) => {
    expect(dumped(stderr)).toMatchObject({ code, hint: expect.stringContaining(hint) });
  });

  it('is nothing when it was killed: then the signal is named', () => {
    expect(dumped('', 'SIGKILL')).toMatchObject({
      code: 'dump-failed',
      message: 'the dump failed: pg_dump was killed by SIGKILL',
      hint: expect.stringContaining('memory'),
    });
    expect(classifyFailure(new ProcessFailed(command, 3, null, ''), 'x', [], 'dump-failed').message).toBe(
      'x: pg_dump exited with status 3',
    );
  });
});

describe('what pg_restore said', () => {
  it.each([
    [
      'pg_restore: error: could not execute query: ERROR:  role "app" does not exist\nCommand was: ALTER TABLE t OWNER TO app;',
      'role-missing',
      'role app',
    ],
    [
      'pg_restore: error: could not execute query: ERROR:  extension "vector" is not available\nDETAIL:  Could not open extension control file "/usr/share/vector.control"',
      'extension-missing',
      'vector',
    ],
    [
      'ERROR:  could not open extension control file "/usr/share/postgresql/14/extension/vector.control": No such file or directory',
      'extension-missing',
      'vector',
    ],
    [
      'ERROR:  unrecognized configuration parameter "transaction_timeout"\nCommand was: SET transaction_timeout = 0;',
      'target-too-old',
      'transaction_timeout',
    ],
    ['ERROR:  could not extend file "base/1/2": No space left on device', 'restore-failed', 'space'],
    ['ERROR:  permission denied to create extension "x"', 'target-denied', 'superuser'],
    ['pg_restore: error: unsupported version (1.16) in file header', 'tools-missing', 'newer'],
    ['pg_restore: error: could not read from input file: end of file', 'damaged', 'another backup'],
    [
      'FATAL:  terminating connection due to administrator command\nserver closed the connection unexpectedly',
      'target-unreachable',
      'running',
    ],
  ])('%s is %s', (stderr, code, hint) => {
    expect(restored(stderr)).toMatchObject({ code, hint: expect.stringContaining(hint) });
  });

  it('is quoted without the rows in it', () => {
    const { message } = restored(
      'ERROR:  duplicate key value violates unique constraint "k"\nDETAIL:  Key (email, f(x))=(a@b.example, (1)) already exists.\nCONTEXT:  COPY t, line 5: "a@b.example"',
    );
    expect(message).toContain('COPY t, line 5');
    expect(message).not.toContain('a@b');
    expect(restored('ERROR:  null value in column "c"\nDETAIL:  Failing row contains (7, secret (x').message).not.toContain('secret');
    expect(restored('ERROR:  duplicate key\nDETAIL:  Key (a)=(one\nsecret) already exists.').message).toBe(
      'the restore failed: ERROR:  duplicate key\nDETAIL:  Key (a)=(…)',
    );
  });

  it('is quoted by its error, not by the end of the statement', () => {
    const body = Array.from({ length: 40 }, (_, line) => `    line ${line} of the function`).join('\n');
    const { message } = restored(`pg_restore: while PROCESSING TOC:
pg_restore: from TOC entry 231; 1255 16390 FUNCTION f() app
pg_restore: error: could not execute query: ERROR:  syntax error at or near "BEGIM"
LINE 3:     AS $$BEGIM
                 ^
DETAIL:  A detail.
HINT:  A hint.
Command was: CREATE FUNCTION public.f() RETURNS integer
    LANGUAGE plpgsql
    AS $$BEGIM
${body}
$$;

`);
    expect(message).toBe(`the restore failed: pg_restore: from TOC entry 231; 1255 16390 FUNCTION f() app
pg_restore: error: could not execute query: ERROR:  syntax error at or near "BEGIM"
DETAIL:  A detail.
HINT:  A hint.
Command was: CREATE FUNCTION public.f() RETURNS integer`);
  });

  it('is quoted without the literals of the statement, which may be passwords', () => {
    const { message } = restored(
      `pg_restore: error: could not execute query: ERROR:  server "s" does not exist\nCommand was: CREATE USER MAPPING FOR app SERVER s OPTIONS (user 'o''neill', password 'hush\nhush');`,
    );
    expect(message).toContain("Command was: CREATE USER MAPPING FOR app SERVER s OPTIONS (user '…', password '…'");
    expect(message).not.toMatch(/neill|hush/);
  });

  it('is not judged by what the statement says', () => {
    const stderr = `pg_restore: error: could not execute query: ERROR:  something new
Command was: COMMENT ON TABLE t IS 'permission denied
must be owner of t';`;
    expect(restored(stderr)).toMatchObject({ code: 'restore-failed' });
  });

  it('is quoted in bounds, however much it was', () => {
    const { message } = restored(Array.from({ length: 500 }, (_, i) => `pg_restore: error: ${i} ${'x'.repeat(2000)}`).join('\n'));
    expect(message.length).toBeLessThan(2000);
    expect(message).toContain('pg_restore: error: 0 x');
  });

  it('is quoted by its last lines where none is an error', () => {
    expect(restored('one\ntwo\nthree\nfour\nfive').message).toBe('the restore failed: two\nthree\nfour\nfive');
  });
});
