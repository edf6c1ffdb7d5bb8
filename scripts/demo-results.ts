import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import Table from 'cli-table3';
import prettyBytes from 'pretty-bytes';
import { artifactOf, type Manifest, parseManifest } from '../src/core/manifest.ts';
import { type RunRecord, RunRecordSchema } from '../src/core/run-record.ts';
import type { Instant } from '../src/platform/clock.ts';

const size = (bytes: number) => prettyBytes(bytes, { binary: true });

export interface Results {
  readonly manifest: Manifest;
  readonly backup: RunRecord;
  readonly restore: RunRecord;
}

/** What jetbackup itself wrote down: the newest backup's manifest and the run records, read from the repository's folder. */
export async function readResults(repository: string): Promise<Results> {
  const files = (await readdir(repository, { recursive: true })).sort();
  const read = async (file: string) => await readFile(path.join(repository, file));
  const manifestFile = files.findLast((file) => path.basename(file) === 'manifest.json');
  if (manifestFile === undefined) throw new Error('the repository holds no manifest');
  const records: RunRecord[] = [];
  for (const file of files) {
    if (file.startsWith(`runs${path.sep}`) && file.endsWith('.json')) {
      records.push(RunRecordSchema.parse(JSON.parse((await read(file)).toString('utf8'))));
    }
  }
  const newest = (operation: RunRecord['operation']) => {
    const record = records.findLast((candidate) => candidate.operation === operation);
    if (record === undefined) throw new Error(`the repository holds no record of a ${operation}`);
    return record;
  };
  return { manifest: parseManifest(await read(manifestFile), manifestFile), backup: newest('backup'), restore: newest('restore') };
}

export function closingTable({
  manifest,
  backup,
  restore,
  database,
  incident,
}: Results & { database: { bytes: number; rows: number }; incident: Instant }): string {
  const dump = artifactOf(manifest, 'dump');
  if (dump === undefined) throw new Error('the backup holds no dump');
  const ratio = (bytes: number) => `${size(bytes)}  (1 : ${(dump.plain.bytes / bytes).toFixed(1)})`;
  const { tables, rows } = manifest.fingerprint;
  const compared = restore.phases.some(({ phase }) => phase === 'checks');
  const seconds = (value: number | null) => (value === null ? 'not recorded' : `${value.toFixed(1)} s`);
  const lost = incident.since(manifest.snapshotInstant).total('seconds');

  const table = new Table({ style: { head: [], border: [] } });
  table.push(
    ['database, with indexes', `${size(database.bytes)}, ${database.rows.toLocaleString('en')} rows`],
    ['pg_dump wrote', size(dump.plain.bytes)],
    [`compressed (${dump.codec})`, ratio(dump.compressed.bytes)],
    ['encrypted (age), in the repository', ratio(dump.sealed.bytes)],
    [`backup: ${seconds(durationOf(backup))}`, phases(backup)],
    [`restore: ${seconds(durationOf(restore))}`, phases(restore)],
    ['RTO: request to checked and named', seconds(restore.rtoSeconds)],
    ['RPO: snapshot to disaster', seconds(lost)],
    [
      'fingerprint of the backup',
      `${tables} tables, ${rows.toLocaleString('en')} rows: ${compared ? 'equal after the restore' : 'not compared'}`,
    ],
  );
  return table.toString();
}

function phases(record: RunRecord): string {
  return record.phases
    .map(({ phase, ms, bytes }) => {
      const rate = bytes === undefined || ms === 0 ? '' : `  ${size((bytes / ms) * 1000)}/s`;
      return `${phase.padEnd(12)} ${(ms / 1000).toFixed(1).padStart(6)} s${rate}`;
    })
    .join('\n');
}

function durationOf(record: RunRecord): number {
  return (Date.parse(record.finishedAt) - Date.parse(record.startedAt)) / 1000;
}
