import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createSample, expectFailure, type Installation, makeInstallation } from '../support/installation.ts';
import { type PostgresServer, startPostgres } from '../support/postgres.ts';

const run = promisify(execFile);
const DATABASE = 'source';

/** A file system of its own of so many MiB, in memory: only root may mount one. */
async function mountSmall(directory: string, megabytes: number): Promise<boolean> {
  await mkdir(directory, { recursive: true });
  return await run('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'tmpfs', directory]).then(
    () => true,
    () => false,
  );
}

const folder = await mkdtemp(join(tmpdir(), 'jetbackup-disk-'));
const directory = join(folder, 'full');
// It holds one backup and the half of another.
const mounted = await mountSmall(directory, 6);

describe.skipIf(!mounted)('a directory on a disk that is full (needs the right to mount)', () => {
  let server: PostgresServer;
  let installation: Installation;

  beforeAll(async () => {
    server = await startPostgres(15);
    await createSample(server, DATABASE, 6);
    installation = await makeInstallation({ server, database: DATABASE, directory: join(directory, 'repository') });
  });
  afterAll(async () => {
    await installation?.[Symbol.asyncDispose]();
    await server?.stop();
    await run('umount', [directory]);
    await rm(folder, { recursive: true, force: true });
  });

  it('commits nothing, removes what it wrote, keeps what was there, and says how to make room', async () => {
    const id = await installation.backup();
    for (let attempt = 0; attempt < 2; attempt += 1) {
      expectFailure(await installation.cli.run('backup'), 11, /ENOSPC[\s\S]*hint: .*(df -h|prune)/);
      expect(await installation.ids()).toEqual([id]);
      await installation.expectNothingLeft();
    }
    await installation.restoresEqual();
    // With room again, the next one succeeds.
    await run('mount', ['-o', 'remount,size=64m', directory]);
    const next = await installation.backup();
    expect(await installation.ids()).toEqual([id, next]);
    await installation.restoresEqual();
  });
});

if (!mounted) await rm(folder, { recursive: true, force: true });
