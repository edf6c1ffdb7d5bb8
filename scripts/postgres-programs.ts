import { constants } from 'node:fs';
import { access, glob } from 'node:fs/promises';
import path from 'node:path';

const PROGRAMS = ['initdb', 'postgres', 'pg_dump', 'pg_dumpall', 'pg_restore'];

/** Where packages put PostgreSQL's programs: Debian and Ubuntu, the PostgreSQL project's RPMs, Alpine, Homebrew, Postgres.app. */
const FOLDERS = [
  '/usr/lib/postgresql/*/bin',
  '/usr/pgsql-*/bin',
  '/usr/libexec/postgresql*',
  '/opt/homebrew/opt/postgresql*/bin',
  '/usr/local/opt/postgresql*/bin',
  '/Applications/Postgres.app/Contents/Versions/*/bin',
];

/** The folder with a whole server and its client programs; the newest major, packaged ones first. */
export async function findServerPrograms(): Promise<string | undefined> {
  const inPathFolders = (process.env['PATH'] ?? '').split(path.delimiter).filter((folder) => path.isAbsolute(folder));
  const packaged: string[] = [];
  for await (const folder of glob(FOLDERS)) packaged.push(folder);
  packaged.sort((a, b) => majorIn(b) - majorIn(a));
  for (const folder of [...packaged, ...inPathFolders]) {
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
