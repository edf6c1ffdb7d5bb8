import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { serverLog } from '../../../../src/verify/sandboxes/server-log.ts';

const stamp = '2026-11-20 02:00:00.000 UTC [4711] ';
const logOf = (...lines: string[]) => {
  const log = serverLog();
  log.add(lines.map((line) => `${stamp}${line}\n`).join(''));
  return log;
};

test.each([
  'ERROR:  could not extend file "base/16384/16390": No space left on device',
  'PANIC:  could not write to file "pg_wal/xlogtemp.4711": No space left on device',
  'FATAL:  could not write lock file "postmaster.pid": Disk quota exceeded',
  'LOG:  server process (PID 4712) was terminated by signal 9: Killed',
  'ERROR:  out of memory',
  'LOG:  could not fork new process for connection: Cannot allocate memory',
  'ERROR:  could not read block 5 in file "base/16384/16390": Input/output error',
  'PANIC:  stuck spinlock detected',
])('a server is in trouble that says %s', (line) => {
  const log = logOf('LOG:  database system is ready to accept connections', line, 'ERROR:  division by zero');
  expect(log.symptom()).toBe(line.replace(/^[A-Z]+: {2}/, ''));
});

test.each([
  'FATAL:  the database system is starting up',
  'FATAL:  terminating connection due to administrator command',
  'FATAL:  password authentication failed for user "postgres"',
  'ERROR:  duplicate key value violates unique constraint "orders_pkey"',
  'ERROR:  could not create unique index "orders_pkey"',
  'ERROR:  invalid memory alloc request size 1073741824',
  'ERROR:  relation "No_space" does not exist',
])('a server is well that says %s', (line) => {
  expect(logOf(line).symptom()).toBeUndefined();
});

test('the last word of a server is what ended it, and no statement that failed', () => {
  expect(logOf('ERROR:  division by zero').lastWord()).toBeUndefined();
  expect(logOf('LOG:  shutting down', 'ERROR:  division by zero').lastWord()).toBe('shutting down');
  expect(logOf('FATAL:  lock file is gone', 'LOG:  database system is shut down').lastWord()).toBe('lock file is gone');
});

test('it does not matter where the pieces of a log end', async () => {
  const text = `${stamp}LOG:  starting\n${stamp}ERROR:  could not extend file "x": No space left on device\n${stamp}FATAL:  gone\n`;
  await fc.assert(
    fc.property(fc.array(fc.nat(text.length)), (cuts) => {
      const log = serverLog();
      const at = [0, ...cuts.toSorted((a, b) => a - b), text.length];
      for (const [index, start] of at.entries()) log.add(text.slice(start, at[index + 1] ?? text.length));
      expect(log.symptom()).toBe('could not extend file "x": No space left on device');
      expect(log.lastWord()).toBe('gone');
    }),
  );
});

test('a line without end takes no memory without end', () => {
  const log = serverLog();
  for (let count = 0; count < 100; count += 1) log.add('x'.repeat(100_000));
  log.add(`\n${stamp}PANIC:  after all\n`);
  expect(log.symptom()).toBe('after all');
});
