import { readdir, readFile, readlink } from 'node:fs/promises';
import type { Progress } from '../../../src/core/progress.ts';
import { systemClock } from '../../../src/platform/clock.ts';
import { createProcessRunner } from '../../../src/platform/processes.ts';
import { createServiceRunner } from '../../../src/platform/services.ts';
import { openClient } from '../../../src/postgres/connection.ts';
import type { Sandbox, SandboxProvider, SandboxRequest } from '../../../src/verify/sandbox.ts';
import { createSandboxLedger } from '../../../src/verify/sandboxes/ledger.ts';
import { type LocalSandboxDeps, type LocalSandboxOptions, localSandboxes } from '../../../src/verify/sandboxes/local.ts';
import { sampleManifest } from '../../support/manifest.ts';

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

/** Ids and names of the processes that work in a directory or below it, as the system tells of them. */
export async function processesIn(directory: string): Promise<string[]> {
  const found: string[] = [];
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const cwd = await readlink(`/proc/${pid}/cwd`).catch(() => '');
    if (cwd.startsWith(`${directory}/`)) found.push(`${pid} ${(await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '')).trim()}`);
  }
  return found;
}

/** Notes, for where it matters what was said. */
export function listening(): { readonly log: Progress; readonly said: string[] } {
  const said: string[] = [];
  return { log: (event) => void ('text' in event && said.push(event.text)), said };
}
