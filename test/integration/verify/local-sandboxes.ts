import { type ChildProcess, spawn } from 'node:child_process';
import { chmod, lstat, mkdtemp, readdir, readFile, readlink, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, onTestFinished } from 'vitest';
import type { Progress } from '../../../src/core/progress.ts';
import { systemClock } from '../../../src/platform/clock.ts';
import { createProcessRunner } from '../../../src/platform/processes.ts';
import { createServiceRunner } from '../../../src/platform/services.ts';
import { openClient } from '../../../src/postgres/connection.ts';
import { findServerPrograms } from '../../../src/postgres/server-programs.ts';
import type { Sandbox, SandboxProvider, SandboxRequest } from '../../../src/verify/sandbox.ts';
import { createSandboxLedger } from '../../../src/verify/sandboxes/ledger.ts';
import { type LocalSandboxDeps, type LocalSandboxOptions, localSandboxes } from '../../../src/verify/sandboxes/local.ts';
import { sampleManifest } from '../../support/manifest.ts';
import { until } from '../../support/waiting.ts';

const { source } = sampleManifest();

export const request = (over: Partial<SandboxRequest> = {}): SandboxRequest => ({
  ...{ runId: '20261120T020000Z-k3f9qa', major: 14, source, superuser: 'postgres', profile: 'fast' },
  ...over,
});

export const localDeps = (over: Partial<LocalSandboxDeps> = {}): LocalSandboxDeps => ({
  ...{ processes: createProcessRunner(), services: createServiceRunner(), clock: systemClock },
  ...{ env: { PATH: process.env['PATH'] }, host: 'backup.example', ledger: createSandboxLedger() },
  ...over,
});

export const provider = (options: LocalSandboxOptions, over: Partial<LocalSandboxDeps> = {}): SandboxProvider =>
  localSandboxes(options, localDeps(over));

export async function query(sandbox: Sandbox, sql: string): Promise<Record<string, unknown>[]> {
  const client = await openClient(sandbox.settings, { applicationName: 'test' });
  try {
    return (await client.query<Record<string, unknown>>(sql)).rows;
  } finally {
    await client.end().catch(() => {});
  }
}

export const isRoot = process.getuid?.() === 0;
/** Of this machine; undefined where there are none. */
export const programs = await findServerPrograms(localDeps(), { major: 14 }).catch(() => undefined);
export const never = new AbortController().signal;

export const failure = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => 'it went well',
    (error: unknown) => error,
  );

/** Tests of sandboxes that need the programs. */
export function describeSandboxes(tests: () => void): void {
  describe.skipIf(programs === undefined)(`a sandbox of this machine's own programs${programs ? '' : ' (skipped: there are none)'}`, tests);
}

/** Gives each test of a file a directory for its sandboxes, and has it fail where one is left there. */
export function sandboxDirectory(use: (directory: string) => void): void {
  let directory: string;
  beforeEach(async () => {
    // Not the temporary directory that the system or a test runner gives: the path of a socket must be short.
    directory = await mkdtemp('/tmp/jb-local-');
    await chmod(directory, 0o755);
    use(directory);
  });
  afterEach(async () => {
    // Whatever a test did: nothing is left.
    expect(await processesIn(directory)).toEqual([]);
    expect((await readdir(directory)).filter((name) => name.startsWith('jetbackup-sb-'))).toEqual([]);
    await rm(directory, { recursive: true });
  });
}

/** The path of something in the only sandbox below a directory, once it is there. */
export async function appears(directory: string, ...path: string[]): Promise<string> {
  let found = '';
  await until(`${path.join('/')} is there`, async () => {
    const name = (await readdir(directory)).find((entry) => entry.startsWith('jetbackup-sb-'));
    if (name === undefined) return false;
    found = join(directory, name, ...path);
    return await lstat(found).then(
      () => true,
      () => false,
    );
  });
  return found;
}

export const holder = fileURLToPath(new URL('./hold-sandbox.ts', import.meta.url));

export interface Holder {
  readonly child: ChildProcess;
  /** What it says of its sandbox once that is ready. Rejects where the process cannot be started, or ends before. */
  readonly ready: Promise<string>;
}

/** A process of its own that holds a sandbox in a directory, killed at the latest when the test is over. */
export function holdSandbox(directory: string, options: { uid?: number; gid?: number; env?: NodeJS.ProcessEnv } = {}): Holder {
  const child = spawn(process.execPath, [holder, JSON.stringify({ directory })], { ...options, stdio: ['ignore', 'pipe', 'inherit'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  const ready = new Promise<string>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (status, killedBy) => reject(new Error(`it ended before its sandbox was ready: ${killedBy ?? status}`)));
    child.stdout.once('data', (line) => resolve(String(line)));
  });
  // Some tests kill it before, and do not wait for this.
  ready.catch(() => {});
  return { child, ready };
}

/** Ids and names of the processes that work in a directory or below it, as the system tells of them. */
export async function processesIn(directory: string): Promise<string[]> {
  const found: string[] = [];
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    // Root in a container may mostly not see where another user's process works: then a server's arguments tell, though not its children's.
    const isThere = await readlink(`/proc/${pid}/cwd`).then(
      (cwd) => cwd.startsWith(`${directory}/`),
      async ({ code }: NodeJS.ErrnoException) =>
        code === 'EACCES' && (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).includes(`${directory}/`),
    );
    if (isThere) found.push(`${pid} ${(await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '')).trim()}`);
  }
  return found;
}

/** Notes, for where it matters what was said. */
export function listening(): { readonly log: Progress; readonly said: string[] } {
  const said: string[] = [];
  return { log: (event) => void ('text' in event && said.push(event.text)), said };
}
