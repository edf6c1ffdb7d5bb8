import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import path from 'node:path';
import { programDirectories } from '../src/postgres/program-places.ts';

const PROGRAMS = ['initdb', 'postgres', 'pg_dump', 'pg_dumpall', 'pg_restore'];

/** The folder with a whole server and its client programs; the newest major, packaged ones first. */
export async function findServerPrograms(): Promise<string | undefined> {
  const folders = (await programDirectories(process.env)).sort((a, b) => majorIn(b) - majorIn(a));
  for (const folder of folders) {
    const complete = await Promise.all(PROGRAMS.map((program) => executable(path.join(folder, program))));
    if (complete.every(Boolean)) return folder;
  }
  return undefined;
}

function majorIn(folder: string): number {
  return Number(/(\d+)/.exec(folder)?.[1] ?? 0);
}

async function executable(file: string): Promise<boolean> {
  return access(file, constants.X_OK).then(
    () => true,
    () => false,
  );
}
