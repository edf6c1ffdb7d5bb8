import { mkdir, readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { type RunRecord, RunRecordSchema } from '../../src/core/run-record.ts';
import { filesIn } from './measure.ts';
import type { S3Target } from './s3.ts';

/** A place for one line's output. */
export interface Repository {
  /** As JETBACKUP_REPOSITORY names it. */
  readonly url: string;
  /** Credentials for programs that write to it. */
  readonly env: Readonly<Record<string, string>>;
  /** Folders of this machine in which large files are meant to be. */
  readonly folders: readonly string[];
  clear(): Promise<void>;
  bytes(): Promise<number>;
  /** What jetbackup recorded of its newest run of this kind. */
  newestRun(operation: RunRecord['operation']): Promise<RunRecord | undefined>;
}

export function directoryRepository(folder: string): Repository {
  return {
    url: pathToFileURL(folder).href,
    env: {},
    folders: [folder],
    async clear() {
      await rm(folder, { recursive: true, force: true });
      await mkdir(folder, { recursive: true });
    },
    bytes: async () => (await filesIn(folder)).reduce((sum, { bytes }) => sum + bytes, 0),
    async newestRun(operation) {
      const files = await filesIn(path.join(folder, 'runs'));
      return newest(operation, await Promise.all(files.map(({ path: file }) => readFile(file, 'utf8'))));
    },
  };
}

export function s3Repository(target: S3Target, prefix: string): Repository {
  return {
    url: `s3://${target.bucket}/${prefix}?endpoint=${target.endpoint}&region=${target.region}`,
    env: target.env,
    folders: [],
    clear: () => target.clear(`${prefix}/`),
    bytes: async () => (await target.list(`${prefix}/`)).reduce((sum, { bytes }) => sum + bytes, 0),
    async newestRun(operation) {
      const objects = await target.list(`${prefix}/runs/`);
      return newest(operation, await Promise.all(objects.map(({ key }) => target.read(key))));
    },
  };
}

/** Ids sort by time. */
function newest(operation: RunRecord['operation'], texts: readonly string[]): RunRecord | undefined {
  return texts
    .map((text) => RunRecordSchema.parse(JSON.parse(text)))
    .filter((record) => record.operation === operation)
    .toSorted((a, b) => (a.id < b.id ? -1 : 1))
    .at(-1);
}
