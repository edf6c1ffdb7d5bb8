import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isAlive, processNamespace } from '../platform/process-identity.ts';

export interface PrivateDirectory extends AsyncDisposable {
  readonly path: string;
}

/**
 * A new directory below `parent` that only we can enter (0700), removed on dispose. What a killed run of ours left
 * there is removed first: its name tells the process, and the process namespace, in which that run lived.
 */
export async function privateDirectory(parent: string): Promise<PrivateDirectory> {
  const namespace = await processNamespace();
  await sweep(parent, namespace);
  const path = await mkdtemp(join(parent, `jetbackup-${namespace}-${process.pid}-`));
  return {
    path,
    [Symbol.asyncDispose]: async () => {
      await rm(path, { recursive: true, force: true });
    },
  };
}

async function sweep(parent: string, namespace: string): Promise<void> {
  for (const name of await readdir(parent)) {
    const match = /^jetbackup-(\d+)-(\d+)-[A-Za-z0-9]{6}$/.exec(name);
    if (match === null || match[1] !== namespace || isAlive(Number(match[2]))) continue;
    // Another user's is none of our business, and rm says so.
    await rm(join(parent, name), { recursive: true, force: true }).catch(() => {});
  }
}
