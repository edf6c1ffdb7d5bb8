import { getContainerRuntimeClient } from 'testcontainers';
import { describe, expect, it } from 'vitest';
import { MiB } from '../../../src/core/bytes.ts';
import { type Id, newId } from '../../../src/core/ids.ts';
import { systemClock } from '../../../src/platform/clock.ts';
import { openClient } from '../../../src/postgres/connection.ts';
import type { Sandbox } from '../../../src/verify/sandbox.ts';
import { engineByTcp } from '../../support/engine-by-tcp.ts';
import { startPostgres } from '../../support/postgres.ts';
import { endHoldersAfterEach, type Holder, holdSandbox } from '../../support/sandbox-holder.ts';
import { docker, partsOf, sandboxRequest, testSandboxes } from '../../support/sandboxes.ts';
import { until } from '../../support/waiting.ts';

const never = new AbortController().signal;
endHoldersAfterEach();
const nameOf = (runId: Id) => `jetbackup-sandbox-${runId}`;

async function query(sandbox: Sandbox, sql: string): Promise<Record<string, unknown>[]> {
  const client = await openClient(sandbox.settings, { applicationName: 'test' });
  client.on('error', () => {});
  try {
    return (await client.query<Record<string, unknown>>(sql)).rows;
  } finally {
    await client.end().catch(() => {});
  }
}

async function shell(name: string, script: string): Promise<string> {
  const container = (await docker()).getContainer(name);
  const exec = await container.exec({ Cmd: ['bash', '-c', script], AttachStdout: true, AttachStderr: true, Tty: true });
  const chunks: Buffer[] = [];
  for await (const chunk of await exec.start({ Tty: true })) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks).toString();
}

async function killed({ child }: Holder): Promise<void> {
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await gone;
}

describe('a sandbox in a container', () => {
  it.each([15, 17, 18])('is a PostgreSQL %i whose superuser has the name of the source’s, and is gone afterwards', async (major) => {
    const request = sandboxRequest({ major, superuser: 'Röde Orm' });
    const sandbox = await testSandboxes().start(request, never);
    const [row] = await query(
      sandbox,
      `SELECT current_setting('server_version_num')::int / 10000 AS major, current_user AS name, usesuper, current_setting('fsync') AS fsync,
              current_setting('max_locks_per_transaction') AS locks FROM pg_user WHERE usename = current_user`,
    );
    expect(row).toEqual({ major, name: 'Röde Orm', usesuper: true, fsync: 'off', locks: '1024' });
    expect(sandbox).toMatchObject({ kind: 'container', profile: 'fast', isOurs: true });
    expect(sandbox.description).toMatch(/postgres:\d+ in a container$/);
    expect(await sandbox.trouble()).toBeUndefined();
    expect(await partsOf(request.runId)).toEqual([`container /${nameOf(request.runId)}`, `network ${nameOf(request.runId)}`]);
    await sandbox[Symbol.asyncDispose]();
    expect(await partsOf(request.runId)).toEqual([]);
    await sandbox[Symbol.asyncDispose]();
  });

  it('has the limits that are set, no swap, room for parallel queries, and its password in no argument and no label', async () => {
    const request = sandboxRequest({ profile: 'durable' });
    await using sandbox = await testSandboxes({ memoryBytes: 1024 * MiB, cpus: 1.5, settings: { work_mem: '8MB' } }).start(request, never);
    const { Config, HostConfig, Mounts, Args } = await (await docker()).getContainer(nameOf(request.runId)).inspect();
    expect(HostConfig).toMatchObject({ Memory: 1024 * MiB, MemorySwap: 1024 * MiB, NanoCpus: 1.5e9, ShmSize: 512 * MiB });
    const password = sandbox.settings.password?.reveal() ?? '';
    expect(password).toHaveLength(32);
    expect(JSON.stringify([Config.Cmd, Args, Config.Labels])).not.toContain(password);
    // A durable one keeps its data in a volume of ours, and no image's own volume holds any.
    expect(Mounts.filter(({ Type }) => Type === 'volume').map(({ Name }) => Name)).toEqual([nameOf(request.runId)]);
    expect(await query(sandbox, `SELECT current_setting('fsync') AS fsync, current_setting('work_mem') AS work_mem`)).toEqual([
      { fsync: 'on', work_mem: '8MB' },
    ]);
    await sandbox[Symbol.asyncDispose]();
    expect(await partsOf(request.runId)).toEqual([]);
  });

  it.each([
    ['at its own address', undefined],
    ['at a published port', async (address: string) => address === (await getContainerRuntimeClient()).info.containerRuntime.host],
  ])('answers %s, reaches no other server, and asks nobody for names', async (_, isOwnAddress) => {
    await using other = await startPostgres(17);
    const engine = await docker();
    const { Networks } = (await engine.getContainer(other.containerId).inspect()).NetworkSettings;
    const address = Networks['bridge']?.IPAddress ?? '';
    const request = sandboxRequest();
    await using sandbox = await testSandboxes({}, isOwnAddress === undefined ? {} : { isOwnAddress }).start(request, never);
    expect(await query(sandbox, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
    const connectTo = (host: string) => `timeout 3 bash -c 'exec 3<>/dev/tcp/${host}/5432' && echo reached || echo no way`;
    expect(await shell(other.containerId, connectTo(address))).toContain('reached');
    expect(await shell(nameOf(request.runId), connectTo('127.0.0.1'))).toContain('reached');
    expect(await shell(nameOf(request.runId), connectTo(address))).toContain('no way');
    expect(await shell(nameOf(request.runId), 'timeout 3 getent hosts example.com || echo unknown')).toContain('unknown');
    const { Internal, Options } = await engine.getNetwork(nameOf(request.runId)).inspect();
    const { PortBindings } = (await engine.getContainer(nameOf(request.runId)).inspect()).HostConfig;
    if (isOwnAddress === undefined) {
      expect(Internal).toBe(true);
      expect(PortBindings ?? {}).toEqual({});
    } else {
      expect(Options).toEqual({ 'com.docker.network.bridge.enable_ip_masquerade': 'false' });
      expect(JSON.stringify(PortBindings)).not.toMatch(/"HostIp":"(0\.0\.0\.0|)"/);
    }
  });

  it.each([0, 200, 700, 1500, 2500])('leaves nothing when the run is stopped %i ms after its beginning', async (ms) => {
    const request = sandboxRequest();
    const abort = new AbortController();
    const reason = new Error('stopped');
    const timer = setTimeout(() => abort.abort(reason), ms);
    if (ms === 0) abort.abort(reason);
    // Some machine may be quicker than the last of these.
    const outcome = await testSandboxes({ storage: 'disk' })
      .start(request, abort.signal)
      .then((sandbox) => sandbox[Symbol.asyncDispose](), String);
    clearTimeout(timer);
    expect([undefined, 'Error: stopped']).toContain(outcome);
    expect(await partsOf(request.runId)).toEqual([]);
  });

  it('has a superuser of another name where the source’s is none that a cluster can be made with, and logs no statement', async () => {
    const request = sandboxRequest({ superuser: `o'neil "$1\\` });
    await using sandbox = await testSandboxes().start(request, never);
    await expect(query(sandbox, `CREATE ROLE again PASSWORD 'confidential' NONSENSE`)).rejects.toThrow(/unrecognized role option/);
    expect(await query(sandbox, 'SELECT current_user AS name')).toEqual([{ name: 'postgres' }]);
    const logs = await (await docker()).getContainer(nameOf(request.runId)).logs({ follow: false, stdout: true, stderr: true });
    expect(logs.toString()).toContain('unrecognized role option');
    expect(logs.toString()).not.toContain('confidential');
  });

  it('leaves nothing when the server does not take a setting, and says which', async () => {
    const request = sandboxRequest();
    const start = testSandboxes({ settings: { work_mem: 'lots' } }).start(request, never);
    await expect(start).rejects.toMatchObject({
      code: 'sandbox-unavailable',
      message: expect.stringMatching(/invalid value for parameter "work_mem": "lots"/),
      hint: expect.stringMatching(/verify\.settings/),
    });
    expect(await partsOf(request.runId)).toEqual([]);
  });
});

describe('trouble of a sandbox', () => {
  it('is a disk that is full', async () => {
    const request = sandboxRequest();
    await using sandbox = await testSandboxes({ memoryBytes: 1024 * MiB, storage: 'memory' }).start(request, never);
    await expect(
      query(sandbox, `CREATE TABLE public.t AS SELECT repeat(md5(i::text), 30) FROM generate_series(1, 1000000) i`),
    ).rejects.toThrow(/No space left on device/);
    expect(await sandbox.trouble()).toMatch(/^the \d+ MiB of memory that hold its data are full \(verify\.storage: disk/);
  });

  it('is memory that ran out', async () => {
    await using sandbox = await testSandboxes({ memoryBytes: 384 * MiB, storage: 'disk' }).start(sandboxRequest(), never);
    await expect(query(sandbox, `SELECT string_agg(repeat('x', 1000000), '') FROM generate_series(1, 900)`)).rejects.toThrow();
    expect(await sandbox.trouble()).toBe('it ran out of memory, of which it may have 384 MiB (verify.memory)');
  });

  it('is a container that was killed, and one that is gone; neither keeps the rest from being removed', async () => {
    const request = sandboxRequest();
    await using sandbox = await testSandboxes().start(request, never);
    const container = (await docker()).getContainer(nameOf(request.runId));
    await container.kill();
    expect(await sandbox.trouble()).toBe('its container was killed');
    await container.remove({ force: true, v: true });
    expect(await sandbox.trouble()).toBe('its container is gone');
    await sandbox[Symbol.asyncDispose]();
    expect(await partsOf(request.runId)).toEqual([]);
  });

  it('is an engine that went away: what is left is told with the commands that remove it, and the same process sweeps it later', async () => {
    await using engine = await engineByTcp();
    const runId = newId(systemClock.now());
    const holder = holdSandbox(runId, { DOCKER_HOST: engine.url }, { storage: 'disk' });
    expect(await holder.next()).toMatchObject({ host: expect.any(String) });
    expect(await holder.ask('sweep')).toMatchObject({ swept: expect.not.arrayContaining([expect.stringContaining(runId)]) });
    await engine.stop();
    expect(await holder.ask('trouble')).toEqual({ trouble: expect.stringMatching(/^the container engine does not answer: /) });
    expect(await holder.ask('dispose')).toMatchObject({
      code: 'sandbox-unavailable',
      hint: expect.stringContaining(
        `docker rm --force --volumes ${nameOf(runId)} && docker volume rm ${nameOf(runId)} && docker network rm ${nameOf(runId)}`,
      ),
    });
    await engine.start();
    // Nobody else may: its process lives.
    await testSandboxes().sweep(never);
    expect(await partsOf(runId)).toHaveLength(3);
    expect(await holder.ask('sweep')).toEqual({ swept: expect.arrayContaining([`the sandbox of run ${runId} (its run has ended)`]) });
    expect(await partsOf(runId)).toEqual([]);
  });

  it('is an engine that starts anew, for which its removal waits', async () => {
    await using engine = await engineByTcp();
    const runId = newId(systemClock.now());
    const holder = holdSandbox(runId, { DOCKER_HOST: engine.url }, { storage: 'disk' });
    expect(await holder.next()).toMatchObject({ host: expect.any(String) });
    await engine.stop();
    const removal = holder.ask('dispose');
    setTimeout(() => void engine.start(), 3000);
    expect(await removal).toEqual({ disposed: true });
    expect(await partsOf(runId)).toEqual([]);
  });
});

describe('what a killed run leaves', () => {
  it('is removed by the next sweep, which touches nothing of a live run', async () => {
    const live = sandboxRequest();
    await using sandbox = await testSandboxes().start(live, never);
    const runId = newId(systemClock.now());
    const holder = holdSandbox(runId, {}, { storage: 'disk' });
    expect(await holder.next()).toMatchObject({ host: expect.any(String) });
    // Ryuk, which anybody on the network may give orders, is for who asks for it.
    const { Labels } = (await (await docker()).getContainer(nameOf(runId)).inspect()).Config;
    expect(Object.keys(Labels).filter((label) => !label.startsWith('dev.jetbackup.'))).toEqual([]);
    await testSandboxes().sweep(never);
    expect(await partsOf(runId)).toHaveLength(3);
    await killed(holder);
    const removed = await testSandboxes().sweep(never);
    expect(removed).toContain(`the sandbox of run ${runId} (process ${holder.child.pid} is gone)`);
    expect(await partsOf(runId)).toEqual([]);
    expect(await query(sandbox, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
  });

  it('is gone without anybody’s doing within seconds, where Ryuk is wanted, can be had and serves nobody else', async () => {
    await using engine = await engineByTcp({ hidesRyuk: true });
    const runId = newId(systemClock.now());
    const holder = holdSandbox(
      runId,
      { DOCKER_HOST: engine.url, TESTCONTAINERS_RYUK_TEST_LABEL: 'true' },
      { storage: 'disk', reaper: true },
    );
    expect(await holder.next()).toMatchObject({ host: expect.any(String) });
    await killed(holder);
    await until('Ryuk has removed it', async () => (await partsOf(runId)).length === 0, 60_000);
  });

  it('does not keep a sandbox from starting where Ryuk’s image cannot be had', async () => {
    await using engine = await engineByTcp({ hidesRyuk: true });
    const runId = newId(systemClock.now());
    const env = { DOCKER_HOST: engine.url, RYUK_CONTAINER_IMAGE: 'localhost:1/jetbackup-test/no-such-ryuk:1' };
    const holder = holdSandbox(runId, env, { reaper: true });
    const notes: string[] = [];
    holder.child.stderr.on('data', (chunk: Buffer) => notes.push(chunk.toString()));
    expect(await holder.next()).toMatchObject({ host: expect.any(String) });
    expect(notes.join('')).toMatch(/Ryuk could not be started \(Get .*localhost:1/);
    expect(await holder.ask('dispose')).toEqual({ disposed: true });
    expect(await partsOf(runId)).toEqual([]);
  });
});
