import { expect, test } from 'vitest';
import { JetbackupError } from '../../../../src/core/errors.ts';
import type { Progress } from '../../../../src/core/progress.ts';
import type { Sandbox, SandboxProvider, SandboxRequest } from '../../../../src/verify/sandbox.ts';
import { sweepingToo } from '../../../../src/verify/sandboxes/all.ts';
import { autoSandboxes } from '../../../../src/verify/sandboxes/auto.ts';
import { sampleManifest } from '../../../support/manifest.ts';

const never = new AbortController().signal;
const request: SandboxRequest = {
  ...{ runId: '20261120T020000Z-k3f9qa', major: 17, source: sampleManifest().source, superuser: 'postgres', profile: 'fast' },
};
const noEngine = new JetbackupError('sandbox-unavailable', 'no engine answers', { hint: 'Start Docker.' });
const noPrograms = new JetbackupError('sandbox-unavailable', 'no server programs of version 17', {
  hint: 'apt-get install postgresql-17.',
});

const sandbox = (kind: 'container' | 'local'): Sandbox => ({
  ...{ kind, description: `a ${kind} server`, profile: 'fast', isOurs: true },
  settings: {
    ...{ hosts: [], port: 5432, user: 'postgres', database: 'postgres', ssl: { mode: 'disable' }, connectTimeoutSeconds: 1 },
    ...{ targetSessionAttributes: 'any', libpqOnly: {} },
  },
  trouble: async () => undefined,
  async [Symbol.asyncDispose]() {},
});

const asRoot = { isSeparate: async () => true };
const asUser = { isSeparate: async () => false };

/** Has one sandbox, or fails. */
function provider(kind: 'container' | 'local', fault?: Error): SandboxProvider & { asked: string[] } {
  const asked: string[] = [];
  const answer = async <T>(what: string, value: T): Promise<T> => {
    asked.push(what);
    if (fault !== undefined) throw fault;
    return value;
  };
  return {
    kind,
    asked,
    fetch: () => answer('fetch', undefined),
    start: () => answer('start', sandbox(kind)),
    sweep: () => answer('sweep', [`what a ${kind} left`]),
  };
}

test('a container is taken where there is one, and nothing else is tried', async () => {
  const local = provider('local');
  expect((await autoSandboxes(provider('container'), local, asRoot).start(request, never)).kind).toBe('container');
  expect(local.asked).toEqual([]);
});

test('without an engine root takes this machine’s programs, and it is said why', async () => {
  const said: unknown[] = [];
  const log: Progress = (event) => void said.push(event);
  expect((await autoSandboxes(provider('container', noEngine), provider('local'), { ...asRoot, log }).start(request, never)).kind).toBe(
    'local',
  );
  expect(said).toEqual([{ type: 'note', text: 'no container (no engine answers): verifying with a local server' }]);
});

test('where there is neither, both reasons and both remedies are told', async () => {
  const starting = autoSandboxes(provider('container', noEngine), provider('local', noPrograms), asRoot).start(request, never);
  await expect(starting).rejects.toMatchObject({
    code: 'sandbox-unavailable',
    message: expect.stringMatching(/no engine answers.*no server programs of version 17/),
    hint: 'One of these helps; for a container: Start Docker. for a server of this machine: apt-get install postgresql-17.',
  });
});

test('an interrupted or broken start is no reason to try another kind', async () => {
  const local = provider('local');
  const broken = new TypeError('a bug');
  await expect(autoSandboxes(provider('container', broken), local, asRoot).start(request, never)).rejects.toBe(broken);
  const reason = new Error('interrupted');
  await expect(autoSandboxes(provider('container', noEngine), local, asRoot).start(request, AbortSignal.abort(reason))).rejects.toBe(
    reason,
  );
  await expect(autoSandboxes(provider('container', noEngine), provider('local', broken), asRoot).start(request, never)).rejects.toBe(
    broken,
  );
  expect(local.asked).toEqual([]);
});

test('what either kind left is swept, also where the other cannot look', async () => {
  const sweep = (container: SandboxProvider, local: SandboxProvider) => autoSandboxes(container, local, asRoot).sweep(never);
  expect(await sweep(provider('container'), provider('local'))).toEqual(['what a container left', 'what a local left']);
  expect(await sweep(provider('container', noEngine), provider('local'))).toEqual(['what a local left']);
  expect(await sweep(provider('container', noEngine), provider('local', noPrograms))).toEqual([]);
  await expect(sweep(provider('container', new TypeError('a bug')), provider('local'))).rejects.toThrow('a bug');
});

test('without an engine nobody but root gets this machine’s programs unasked, and it is told why and how to ask', async () => {
  const local = provider('local');
  const starting = autoSandboxes(provider('container', noEngine), local, asUser).start(request, never);
  await expect(starting).rejects.toMatchObject({
    ...{ code: 'sandbox-unavailable', message: 'there is no container to restore into: no engine answers' },
    hint: expect.stringMatching(/^Start Docker\. .*as this user.*signing key.*--sandbox local/),
  });
  expect(local.asked).toEqual([]);
});

test('what a start needs is fetched for the container that will be started, and no missing engine keeps a start from saying it', async () => {
  const [container, local] = [provider('container'), provider('local')];
  await autoSandboxes(container, local, asRoot).fetch({ major: 17 }, never);
  expect([container.asked, local.asked]).toEqual([['fetch'], []]);
  await autoSandboxes(provider('container', noEngine), local, asUser).fetch({ major: 17 }, never);
  const broken = new TypeError('a bug');
  await expect(autoSandboxes(provider('container', broken), local, asRoot).fetch({ major: 17 }, never)).rejects.toBe(broken);
});

test('whatever kind is chosen, what another kind left is swept too, and that it cannot be looked for is no fault', async () => {
  const [local, container] = [provider('local'), provider('container')];
  expect(await sweepingToo(local, [container]).sweep(never)).toEqual(['what a local left', 'what a container left']);
  expect(await sweepingToo(local, [provider('container', noEngine)]).sweep(never)).toEqual(['what a local left']);
  await expect(sweepingToo(provider('container', noEngine), [local]).sweep(never)).rejects.toBe(noEngine);
  await expect(sweepingToo(local, [provider('container', new TypeError('a bug'))]).sweep(never)).rejects.toThrow('a bug');
  expect((await sweepingToo(local, [container]).start(request, never)).kind).toBe('local');
});

test('a container that could not be fetched is not tried again on the clock, but for the next verification', async () => {
  const container = provider('container', noEngine);
  const sandboxes = autoSandboxes(container, provider('local'), asRoot);
  for (let verification = 0; verification < 2; verification += 1) {
    await sandboxes.fetch(request, never);
    expect((await sandboxes.start(request, never)).kind).toBe('local');
  }
  expect(container.asked).toEqual(['fetch', 'fetch']);
});
