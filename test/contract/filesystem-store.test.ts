import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createFilesystemStore } from '../../src/storage/filesystem.ts';
import { describeObjectStore } from './object-store.ts';

describeObjectStore('a directory', async () => {
  const root = await mkdtemp(join(tmpdir(), 'jetbackup-contract-'));
  const unfinished = join(root, '.jetbackup-unfinished');
  return {
    store: createFilesystemStore({ directory: root }),
    partBytes: 1024 * 1024,
    hasRoom: true,
    unfinished: () => readdir(unfinished).catch(() => []),
    leaveUnfinished: async (key) => {
      await mkdir(unfinished, { recursive: true });
      await writeFile(join(unfinished, `${key.replaceAll('/', '\u00a6')}~0123456789abcdef`), 'half');
    },
    features: { conditionalPut: true, objectLock: false, versioning: false, checksums: false },
    stop: () => rm(root, { recursive: true }),
  };
});
