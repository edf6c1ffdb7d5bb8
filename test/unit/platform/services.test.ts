import { mkdtemp, readFile, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, describe, expect, test } from 'vitest';
import { createServiceRunner, type ServiceCommand } from '../../../src/platform/services.ts';

const folder = await realpath(await mkdtemp(path.join(tmpdir(), 'jetbackup-services-')));
afterAll(() => rm(folder, { recursive: true, force: true }));

const shell = (script: string, over: Partial<ServiceCommand> = {}): ServiceCommand => ({
  ...{ program: 'sh', args: ['-c', script], env: { PATH: process.env['PATH'] ?? '' }, stop: { signal: 'SIGQUIT', graceMs: 10_000 } },
  ...over,
});

/** Serves after it has said so, until a signal. */
const serving = (trap = ':') => `${trap}; echo ready >&2; while :; do sleep 0.01; done`;

/** Starts it and waits for its first word. */
async function ready(script: string, over: Partial<ServiceCommand> = {}) {
  const runner = createServiceRunner();
  let heard = () => {};
  const first = new Promise<void>((resolve) => {
    heard = resolve;
  });
  const service = await runner.start(shell(script, { onStderr: () => heard(), ...over }));
  await first;
  return { runner, service };
}

describe('a service', () => {
  test('lives until it is stopped, by the signal that it wants', async () => {
    const { service } = await ready(serving('trap "echo bye >&2; exit 3" QUIT'));
    expect(service.end()).toBeUndefined();
    await Promise.all([service.stop(), service.stop()]);
    expect(service.end()).toEqual({ how: 'exited with status 3', lastWords: expect.stringMatching(/^ready\n(?:.*\n)*bye$/) });
    expect(await service.ended).toEqual(service.end());
    await service.stop();
  });

  test('is killed where it does not heed the signal', async () => {
    const { service } = await ready(serving('trap "" QUIT'), { stop: { signal: 'SIGQUIT', graceMs: 50 } });
    await service.stop();
    expect(service.end()?.how).toBe('was killed by SIGKILL');
  });

  test('that ends by itself leaves its last words, and no more than 4 KiB of them', async () => {
    const service = await createServiceRunner().start(
      shell('i=0; while [ $i -lt 500 ]; do echo "line number $i" >&2; i=$((i+1)); done; exit 1'),
    );
    const { how, lastWords } = await service.ended;
    expect(how).toBe('exited with status 1');
    expect(lastWords).toMatch(/line number 499$/);
    expect(lastWords.length).toBeLessThanOrEqual(4096);
  });

  test('is gone although a child of its own still holds its stderr', async () => {
    const service = await createServiceRunner().start(shell('sleep 30 & echo $! > child; exit 0', { directory: folder }));
    expect((await service.ended).how).toBe('exited with status 0');
    process.kill(Number(await readFile(path.join(folder, 'child'), 'utf8')), 'SIGKILL');
  });

  test('runs where it is told to, with the environment that it is given and none besides', async () => {
    const service = await createServiceRunner().start(
      shell('pwd >&2; echo "$HOME|$ONLY" >&2', { directory: folder, env: { ONLY: 'this', PATH: '/bin:/usr/bin' } }),
    );
    expect((await service.ended).lastWords).toBe(`${folder}\n|this`);
  });

  test.skipIf(process.getuid?.() !== 0)('runs as another account, with no group of ours', async () => {
    const service = await createServiceRunner().start(shell('id -u >&2; id -G >&2', { account: { uid: 65_534, gid: 65_534 } }));
    expect((await service.ended).lastWords).toBe('65534\n65534');
  });

  test('that cannot be started says so', async () => {
    const starting = createServiceRunner().start(shell('', { program: path.join(folder, 'none') }));
    await expect(starting).rejects.toMatchObject({ code: 'tools-missing', message: expect.stringContaining('cannot start') });
    // Node tells of this one at once, of the other with an event.
    const refused = createServiceRunner().start(shell('', { args: ['x'.repeat(4 * 1024 * 1024)] }));
    await expect(refused).rejects.toMatchObject({ code: 'tools-missing', message: expect.stringContaining('E2BIG') });
  });
});

test('a runner that is abandoned tells all that live to end, at once, and nothing that is gone', async () => {
  const { runner, service } = await ready(serving('trap "echo bye >&2; exit 0" QUIT'));
  const gone = await runner.start(shell('exit 0'));
  await gone.ended;
  const other = await ready(serving());
  expect(runner.abandon()).toBeUndefined();
  expect(await service.ended).toEqual({ how: 'exited with status 0', lastWords: expect.stringMatching(/bye$/) });
  await delay(50);
  expect(other.service.end()).toBeUndefined();
  await other.service.stop();
});
