import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { bytesOf, MiB } from '../../../src/core/bytes.ts';
import { type Command, createProcessRunner } from '../../../src/platform/processes.ts';

const processes = createProcessRunner();
/** What is told of a command that is read from, and of the same that is fed. */
const failures = async (command: Command): Promise<unknown[]> => {
  const caught = (error: unknown) => error;
  return [await Array.fromAsync(processes.output(command)).catch(caught), await processes.consume(command, bytesOf('x')).catch(caught)];
};

describe('a program that cannot be started', () => {
  test('because it does not exist is named', async () => {
    const told = { code: 'tools-missing', message: expect.stringContaining('/nowhere/pg_dump') };
    expect(await failures({ program: '/nowhere/pg_dump', args: [], env: {} })).toMatchObject([told, told]);
  });

  // Node tells of this one at once, of others with an event.
  test('because the system refuses it is named, with the reason', async () => {
    const told = { code: 'tools-missing', message: 'cannot start /bin/echo: spawn E2BIG' };
    expect(await failures({ program: '/bin/echo', args: ['x'.repeat(4 * MiB)], env: {} })).toMatchObject([told, told]);
  });

  // Node makes no pipes then, and tells of it with an event. In a process of its own, which has none left for anything.
  test('for want of a file descriptor is named, and the source that was to feed it is released', async () => {
    const script = `
      import { openSync } from 'node:fs';
      import { createProcessRunner } from ${JSON.stringify(path.resolve('src/platform/processes.ts'))};
      const runner = createProcessRunner();
      const command = { program: '/bin/cat', args: [], env: {} };
      async function* silent() { try { yield Buffer.from('x'); } finally { console.log('released'); } }
      const told = ({ code, message }) => console.log(code, message);
      try {
        for (;;) openSync('/dev/null');
      } catch ({ code }) {
        console.log(code);
      }
      await Array.fromAsync(runner.output(command)).catch(told);
      const source = silent();
      await source.next();
      await runner.consume(command, source).catch(told);
    `;
    const limited = ['-c', 'ulimit -n 64; exec "$@"', 'sh', process.execPath, '--input-type=module', '--eval', script];
    const { stdout } = await promisify(execFile)('/bin/sh', limited);
    const told = 'tools-missing cannot start /bin/cat: spawn /bin/cat EMFILE\n';
    expect(stdout).toBe(`EMFILE\n${told}released\n${told}`);
  });
});
