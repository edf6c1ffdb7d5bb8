import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';

describe.skipIf(!existsSync('/usr/bin/chrt'))('a process that reads a child in bulk', () => {
  // The 41st field of /proc/self/stat is the scheduling policy (proc_pid_stat(5)); the second is a name in parentheses.
  const policy = 'sed "s/.*) //" /proc/$$/stat | cut -d " " -f 39';
  // In a process of its own. Its threads are there before: the pool's with the first hash.
  const script = `
    import { pbkdf2 } from 'node:crypto';
    import { readdirSync, readFileSync } from 'node:fs';
    import { promisify } from 'node:util';
    import { createProcessRunner } from ${JSON.stringify(path.resolve('src/platform/processes.ts'))};
    await promisify(pbkdf2)('', '', 1, 16, 'sha256');
    const runner = createProcessRunner();
    const ours = () => {
      const stats = readdirSync('/proc/self/task').map((id) => readFileSync('/proc/self/task/' + id + '/stat', 'utf8'));
      return [...new Set(stats.map((stat) => stat.split(') ').at(-1).split(' ')[38]))].join();
    };
    const look = async (more) => {
      let during = '';
      let text = '';
      for await (const piece of runner.output({ program: '/bin/sh', args: ['-c', ${JSON.stringify(policy)}], env: process.env, ...more })) {
        during = ours();
        text += piece;
      }
      return [text.trim(), during];
    };
    const before = await look({});
    const [bulk] = await Promise.all([look({ bulk: true }), look({ bulk: true })]);
    console.log(JSON.stringify({ before, bulk, after: await look({}) }));
  `;
  const policies = async (...under: string[]): Promise<unknown> => {
    const [program = '', ...args] = [...under, process.execPath, '--input-type=module', '--eval', script];
    return JSON.parse((await promisify(execFile)(program, args)).stdout);
  };

  // What each child has, and all threads of ours meanwhile: 0 is SCHED_OTHER, 3 SCHED_BATCH, 5 SCHED_IDLE.
  test('gives way to whoever computes, with all that it runs, until it is read', async () => {
    expect(await policies('/usr/bin/chrt', '-o', '0')).toEqual({ before: ['0', '0'], bulk: ['3', '3'], after: ['0', '0'] });
  });

  test('keeps the policy that somebody chose for it', async () => {
    for (const [option = '', number] of [
      ['-i', '5'],
      ['-b', '3'],
    ]) {
      const same = [number, number];
      expect(await policies('/usr/bin/chrt', option, '0')).toEqual({ before: same, bulk: same, after: same });
    }
  });
});
