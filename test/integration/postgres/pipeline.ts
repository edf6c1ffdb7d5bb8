import { readFile } from 'node:fs/promises';
import { bytesOf, collect } from '../../../src/core/bytes.ts';
import { systemClock } from '../../../src/platform/clock.ts';
import { createProcessRunner } from '../../../src/platform/processes.ts';
import { type ConnectionSettings, parseConnection } from '../../../src/postgres/connection.ts';
import { dumpDatabase } from '../../../src/postgres/dump.ts';
import { type RestoreRequest, restoreArchive, type Staging } from '../../../src/postgres/restore.ts';
import { type ExportedSnapshot, exportSnapshot } from '../../../src/postgres/snapshot.ts';
import { type ClientTools, findTools } from '../../../src/postgres/tools.ts';
import { clientTools } from '../../support/client-tools.ts';
import type { PostgresMajor, PostgresServer } from '../../support/postgres.ts';

export const baseEnv = { PATH: process.env['PATH'] };
export const deps = { processes: createProcessRunner(), clock: systemClock };

export function settingsOf(server: PostgresServer, database?: string): ConnectionSettings {
  return parseConnection({ url: server.url(database), env: {} });
}

export async function tools(major: PostgresMajor, purpose: 'dump' | 'restore' = 'dump'): Promise<ClientTools> {
  const { directory } = await clientTools(major);
  return await findTools({ ...deps, env: baseEnv }, { serverVersionNum: major * 10_000, purpose, directory });
}

export async function diverseSql(): Promise<string> {
  return await readFile(new URL('./diverse.sql', import.meta.url), 'utf8');
}

export interface Taken {
  readonly snapshot: ExportedSnapshot;
  readonly archive: Uint8Array;
}

/** Dumps a (small) database into memory. The snapshot is released. */
export async function dump(settings: ConnectionSettings, used: ClientTools, lockTimeoutMs = 5_000): Promise<Taken> {
  await using snapshot = await exportSnapshot(settings, { lockName: settings.database });
  const stream = dumpDatabase(deps, { settings: snapshot.settings, tools: used, snapshot: snapshot.id, lockTimeoutMs, baseEnv });
  const archive = await collect(stream, 64 * 1024 * 1024);
  await snapshot.assertHeld();
  return { snapshot, archive };
}

export async function fill(staging: Staging, archive: Uint8Array, used: ClientTools, more: Partial<RestoreRequest> = {}): Promise<void> {
  await restoreArchive(deps, {
    settings: staging.settings,
    tools: used,
    archive: bytesOf(archive),
    jobs: 2,
    noOwner: false,
    baseEnv,
    ...more,
  });
}
