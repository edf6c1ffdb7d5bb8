import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { MiB } from '../../../src/core/bytes.ts';
import { newId } from '../../../src/core/ids.ts';
import { systemClock } from '../../../src/platform/clock.ts';
import { engineByTcp } from '../../support/engine-by-tcp.ts';
import { endHoldersAfterEach, holdSandbox } from '../../support/sandbox-holder.ts';
import { partsOf, sandboxRequest, testSandboxes } from '../../support/sandboxes.ts';

const never = new AbortController().signal;
endHoldersAfterEach();

describe('a sandbox that cannot be had', () => {
  it('for want of its image tells the line that pulls it, and the setting that names another', async () => {
    const request = sandboxRequest();
    const image = 'localhost:1/jetbackup-test/no-such-postgres:{major}';
    const told = {
      code: 'sandbox-unavailable',
      message: expect.stringContaining('localhost:1/jetbackup-test/no-such-postgres:17'),
      hint: expect.stringMatching(
        /docker pull localhost:1\/jetbackup-test\/no-such-postgres:17\b.*verify\.image \(JETBACKUP_SANDBOX_IMAGE\)/,
      ),
    };
    await expect(testSandboxes({ image }).fetch(request, never)).rejects.toMatchObject(told);
    await expect(testSandboxes({ image }).start(request, never)).rejects.toMatchObject(told);
    await testSandboxes().fetch(request, never);
    expect(await partsOf(request.runId)).toEqual([]);
  });

  it('for want of room tells what to change', async () => {
    const { source } = sandboxRequest();
    const request = sandboxRequest({ source: { ...source, sizeBytes: 4096 * MiB } });
    await expect(testSandboxes({ storage: 'memory', memoryBytes: 2048 * MiB }).start(request, never)).rejects.toMatchObject({
      code: 'sandbox-unavailable',
      hint: expect.stringMatching(/verify\.storage: disk/),
    });
  });

  it('for want of an address that only this machine reaches is had where rows may travel in clear', async ({ skip }) => {
    await using engine = await engineByTcp();
    const nowhere = await holdSandbox(newId(systemClock.now()), { DOCKER_HOST: engine.url, TESTCONTAINERS_HOST_OVERRIDE: '' }, {}).next();
    expect(nowhere).toMatchObject({ code: 'sandbox-unavailable', message: expect.stringContaining('names no host') });
    // Of this machine, and no loopback: as an engine on another one would be reached.
    const ours = Object.values(networkInterfaces()).flatMap((addresses = []) => addresses);
    const TESTCONTAINERS_HOST_OVERRIDE = ours.find(({ internal, family }) => !internal && family === 'IPv4')?.address;
    if (TESTCONTAINERS_HOST_OVERRIDE === undefined) return skip('this machine has no address but loopback');
    const env = { DOCKER_HOST: engine.url, TESTCONTAINERS_HOST_OVERRIDE };
    const runId = newId(systemClock.now());
    expect(await holdSandbox(runId, env, { isPublished: true }).next()).toMatchObject({
      code: 'sandbox-unavailable',
      message: expect.stringContaining(`reached at ${TESTCONTAINERS_HOST_OVERRIDE}`),
      hint: expect.stringContaining('verify.plaintext: true'),
    });
    expect(await partsOf(runId)).toEqual([]);
    const holder = holdSandbox(runId, env, { isPublished: true, plaintext: true });
    expect(await holder.next()).toEqual({ host: TESTCONTAINERS_HOST_OVERRIDE });
    expect(await holder.ask('dispose')).toEqual({ disposed: true });
  });

  it('for want of the engine that is meant is not made on the one that ~/.testcontainers.properties names', async () => {
    await using other = await engineByTcp();
    const HOME = await mkdtemp(join(tmpdir(), 'jb-home-'));
    await writeFile(join(HOME, '.testcontainers.properties'), `tc.host=${other.url}\n`);
    const runId = newId(systemClock.now());
    await using meant = await engineByTcp();
    expect(await holdSandbox(runId, { HOME, DOCKER_HOST: meant.url }).next()).toMatchObject({
      code: 'sandbox-unavailable',
      message: expect.stringContaining(`${meant.url}, and not ${other.url}`),
    });
    expect(await holdSandbox(runId, { HOME, DOCKER_HOST: '' }).next()).toMatchObject({
      code: 'sandbox-unavailable',
      hint: expect.stringContaining(`DOCKER_HOST=${other.url}`),
    });
    expect(await partsOf(runId)).toEqual([]);
    await rm(HOME, { recursive: true });
  });

  it('does not hold up who verifies without it, where an engine never answers', async () => {
    const dead = createServer((socket) => void socket.on('error', () => {}).resume());
    await new Promise<void>((resolve) => dead.listen(0, '127.0.0.1', resolve));
    const address = dead.address();
    const port = address === null || typeof address === 'string' ? 0 : address.port;
    const support = new URL('../../support/sandboxes.ts', import.meta.url).href;
    const script = `const { testSandboxes } = await import('${support}');
      const started = performance.now();
      const swept = await testSandboxes().sweepWhereItAnswers(new AbortController().signal);
      console.log(JSON.stringify({ swept, isQuick: performance.now() - started < 15_000 }));
      process.exit(0);`;
    const env = { ...process.env, DOCKER_HOST: `tcp://127.0.0.1:${port}` };
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script], { env, timeout: 60_000 });
    expect(JSON.parse(stdout)).toEqual({ swept: [], isQuick: true });
    await new Promise<void>((resolve) => dead.close(() => resolve()));
  });

  it('for want of the engine that DOCKER_HOST names is not made on another one', async () => {
    const runId = newId(systemClock.now());
    for (const DOCKER_HOST of ['tcp://127.0.0.1:1', 'unix:///nowhere/docker.sock']) {
      expect(await holdSandbox(runId, { DOCKER_HOST }).next()).toMatchObject({
        code: 'sandbox-unavailable',
        message: expect.stringContaining(DOCKER_HOST),
        hint: expect.stringContaining('--sandbox local'),
      });
    }
    expect(await partsOf(runId)).toEqual([]);
  });
});
