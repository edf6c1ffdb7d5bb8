import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';

describe.skipIf(!existsSync('/usr/bin/chrt'))('a process that reads a child in bulk', () => {
  // The 41st field of /proc/self/stat is the scheduling policy (proc_pid_stat(5)); the second is a name in parentheses.
  const policy = 'sed "s/.*) //" /proc/$$/stat | cut -d " " -f 39';
  // In a process of its own, which stays as it becomes. Its threads are there before: the pool's with the first hash.
  const script = `
    import { pbkdf2 } from 'node:crypto';
    import { readdirSync, readFileSync } from 'node:fs';
    import { promisify } from 'node:util';
    import { createProcessRunner } from ${JSON.stringify(path.resolve('src/platform/processes.ts'))};
    await promisify(pbkdf2)('', '', 1, 16, 'sha256');
    const command = { program: '/bin/sh', args: ['-c', ${JSON.stringify(policy)}], env: process.env };
    const child = async (more) => Buffer.concat(await Array.fromAsync(createProcessRunner().output({ ...command, ...more }))).toString().trim();
    const before = await child({});
    const bulk = await child({ bulk: true });
    const after = await child({});
    const ours = readdirSync('/proc/self/task').map((id) => readFileSync('/proc/self/task/' + id + '/stat', 'utf8').split(') ').at(-1).split(' ')[38]);
    console.log(JSON.stringify({ before, bulk, after, ours: [...new Set(ours)] }));
  `;
  const policies = async (...under: string[]): Promise<unknown> => {
    const [program = '', ...args] = [...under, process.execPath, '--input-type=module', '--eval', script];
    return JSON.parse((await promisify(execFile)(program, args)).stdout);
  };

  test('gives way to whoever computes, with all that it runs', async () => {
    expect(await policies('/usr/bin/chrt', '-o', '0')).toEqual({ before: '0', bulk: '3', after: '3', ours: ['3'] }); // SCHED_BATCH
  });

  test('keeps the policy that somebody chose for it', async () => {
    expect(await policies('/usr/bin/chrt', '-i', '0')).toEqual({ before: '5', bulk: '5', after: '5', ours: ['5'] }); // SCHED_IDLE
  });
});
