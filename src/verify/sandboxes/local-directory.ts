import { createHash } from 'node:crypto';
import { chmod, chown, lstat, mkdir, mkdtemp, open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { collect } from '../../core/bytes.ts';
import { JetbackupError, messageOf } from '../../core/errors.ts';
import type { Clock } from '../../platform/clock.ts';
import { isAlive, processNamespace, startOf } from '../../platform/process-identity.ts';
import type { Account, ProcessRunner } from '../../platform/processes.ts';
import { pidFileLines } from './local-pid-file.ts';
import { stopServersIn } from './local-processes.ts';

export interface DirectoryDeps {
  readonly processes: ProcessRunner;
  readonly clock: Clock;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Name of this host. */
  readonly host: string;
}

/**
 * `jetbackup-sb-<host and process namespace>-<process>-<its start>-<random>`: in whose life it is needed. Short, because the path of
 * the socket in it may have 107 bytes at most (unix(7); 103 on macOS), and not as private directories are called, which are removed
 * without a server being stopped in them first.
 */
const NAME = /^jetbackup-sb-([0-9a-f]{8})-(\d+)-([0-9a-z]+)-[A-Za-z0-9]{6}$/;
const SOCKET_PATH_MAX = process.platform === 'linux' ? 107 : 103;
export const SOCKET_PORT = 5432;

/** What nobody has used for as long is nobody's. */
const FORGOTTEN_MS = 2 * 24 * 3600 * 1000;

/** Where a sandbox's server has its socket. */
export const socketsOf = (directory: string): string => join(directory, 'socket');

/**
 * A new directory with two in it for the server, `data` and `socket` (0700). Where the server runs as another `account` than we, only
 * these two are its own: in the directory itself nothing of ours can be replaced by a link, or taken away. Throws `sandbox-unavailable`.
 */
export async function makeSandboxDirectory(parent: string, account: Account | undefined, deps: DirectoryDeps): Promise<string> {
  const start = await startOf(process.pid);
  const prefix = join(parent, `jetbackup-sb-${await placeOf(deps.host)}-${process.pid}-${Number(start ?? 0).toString(36)}-`);
  const longest = Buffer.byteLength(`${prefix}XXXXXX/socket/.s.PGSQL.${SOCKET_PORT}`) - SOCKET_PATH_MAX;
  if (longest > 0) {
    throw new JetbackupError('sandbox-unavailable', `the path ${parent} is ${longest} bytes too long for the socket of a server in it`, {
      hint: 'Set verify.directory to a directory with a shorter path.',
    });
  }
  // libpq takes a comma in the path of a socket for the end of it.
  if (parent.includes(',')) {
    throw new JetbackupError('sandbox-unavailable', `no server can be reached in ${parent}, because of the comma in its name`, {
      hint: 'Set verify.directory to a directory without one.',
    });
  }
  let path: string | undefined;
  try {
    path = await mkdtemp(prefix);
    for (const inner of [join(path, 'data'), socketsOf(path)]) {
      await mkdir(inner, { mode: 0o700 });
      if (account !== undefined) await chown(inner, account.uid, account.gid);
    }
    // The server goes through, and nobody looks into it.
    if (account !== undefined) await chmod(path, 0o711);
    return path;
  } catch (cause) {
    if (path !== undefined) await removeSandboxDirectory(path, deps);
    throw new JetbackupError('sandbox-unavailable', `a sandbox cannot be made in ${parent}: ${messageOf(cause)}`, {
      cause,
      hint: 'Set verify.directory to a directory that this user may write to.',
    });
  }
}

/**
 * A new file in a sandbox's directory that the server `owns` (0600) or only `reads` (0640). Its owner is set through what is open, never
 * through its name.
 */
export async function writeForServer(path: string, text: string, account: Account | undefined, how: 'owns' | 'reads'): Promise<void> {
  await using file = await open(path, 'wx', 0o600);
  await file.writeFile(text);
  if (account === undefined) return;
  await file.chown(how === 'owns' ? account.uid : 0, account.gid);
  if (how === 'reads') await file.chmod(0o640);
}

/** Ends what still runs in it and removes it. Throws `sandbox-unavailable` with what to do by hand. Returns how many processes it ended. */
export async function removeSandboxDirectory(path: string, deps: DirectoryDeps): Promise<number> {
  try {
    const ended = await stopServersIn(path, deps);
    await removeSharedMemory(path, deps);
    // The program, and not Node.js, whose way down a directory can be led astray by links that somebody changes meanwhile: what was
    // restored may have run as the server's user, and we may be root.
    const command = { program: 'rm', args: ['-rf', '--', path], env: { PATH: deps.env['PATH'] ?? '/usr/bin:/bin', LC_ALL: 'C' } };
    await collect(deps.processes.output(command), 4096);
    return ended;
  } catch (cause) {
    throw new JetbackupError('sandbox-unavailable', `the sandbox in ${path} could not be removed: ${messageOf(cause)}`, {
      cause,
      hint: `It holds a copy of the data. Remove it by hand: rm -rf ${path}`,
    });
  }
}

/**
 * The System V segment by which a data directory is kept from being used twice (sysv_shmem.c). A server that ended in whatever order
 * has removed it, and the file that names it; one that was killed has not, and a machine has only so many (SHMMNI).
 */
async function removeSharedMemory(path: string, { processes, env }: DirectoryDeps): Promise<void> {
  const data = join(path, 'data');
  const owner = await lstat(data).catch(() => undefined);
  // The seventh line: key and id (pidfile.h).
  const id = /^\s*\d+\s+(\d+)\s*$/.exec((await pidFileLines(data))[6] ?? '')?.[1];
  if (owner === undefined || id === undefined) return;
  // As its owner, who can remove no other's, whatever somebody wrote into that file.
  const account = process.getuid?.() === 0 ? { account: { uid: owner.uid, gid: owner.gid } } : {};
  const command = { program: 'ipcrm', args: ['-m', id], env: { PATH: env['PATH'] ?? '/usr/bin:/bin', LC_ALL: 'C' }, ...account };
  // Without the program, or where it is gone by now, 56 bytes are not worth a complaint.
  await collect(processes.output(command), 4096).catch(() => {});
}

/** The sandboxes below `parent` that no run needs any more. Throws `sandbox-unavailable` where `parent` cannot be looked into. */
export async function findLeftovers(parent: string, deps: Pick<DirectoryDeps, 'clock' | 'host'>): Promise<string[]> {
  const names = await readdir(parent).catch((cause: unknown) => {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return [];
    throw new JetbackupError('sandbox-unavailable', `cannot look for sandboxes that killed runs left in ${parent}: ${messageOf(cause)}`, {
      cause,
      hint: 'Set verify.directory to a directory that this user may read.',
    });
  });
  const place = await placeOf(deps.host);
  const found: string[] = [];
  for (const name of names) {
    const match = NAME.exec(name);
    const path = join(parent, name);
    if (match === null || !(await isOurs(path))) continue;
    const [, theirPlace, pid, start] = match;
    const left = theirPlace === place ? !(await isRunning(Number(pid), start ?? '0')) : await isForgotten(path, deps.clock);
    if (left) found.push(path);
  }
  return found;
}

/** Process ids mean something only on one host and in one namespace of it. */
async function placeOf(host: string): Promise<string> {
  return createHash('sha256')
    .update(`${host}\0${await processNamespace()}`)
    .digest('hex')
    .slice(0, 8);
}

async function isRunning(pid: number, start: string): Promise<boolean> {
  if (start === '0') return isAlive(pid);
  const now = await startOf(pid);
  return now !== undefined && Number(now).toString(36) === start;
}

/** Not another user's, and no link that somebody put there. */
async function isOurs(path: string): Promise<boolean> {
  const own = process.getuid?.();
  return await lstat(path).then(
    (stat) => stat.isDirectory() && stat.uid === own,
    () => false,
  );
}

/** A live server touches its socket every hour (postmaster.c, ServerLoop), lest somebody who tidies up /tmp take it away. */
async function isForgotten(path: string, clock: Clock): Promise<boolean> {
  const inner = ['', 'data', 'socket', join('socket', `.s.PGSQL.${SOCKET_PORT}`)].map((name) => join(path, name));
  const times = await Promise.all(inner.map((entry) => lstat(entry).catch(() => undefined)));
  const newest = Math.max(...times.map((stat) => stat?.mtimeMs ?? 0));
  return newest > 0 && clock.now().epochMilliseconds - newest > FORGOTTEN_MS;
}
