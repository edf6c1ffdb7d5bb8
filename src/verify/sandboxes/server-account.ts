import { readFile } from 'node:fs/promises';
import type { Account } from '../../platform/processes.ts';

export interface ServerAccount extends Account {
  readonly name: string;
}

/** Where neither of the names is known. POSIX leaves the number open; Linux calls this one the overflow user. */
const OVERFLOW = 65_534;

/** An account that somebody made for it alone comes first. */
const NAMES = ['jetbackup-sandbox', 'nobody'];

/**
 * PostgreSQL refuses to run as root; then it runs as `jetbackup-sandbox` where there is such a user, else as `nobody`. Never as
 * `postgres`, who may own a cluster of this machine: a restore runs code of those who own what was backed up. Undefined for anybody
 * but root, who runs it as himself.
 */
export async function serverAccount(ourUid: number | undefined = process.getuid?.()): Promise<ServerAccount | undefined> {
  if (ourUid !== 0) return undefined;
  return accountIn(await readFile('/etc/passwd', 'utf8').catch(() => ''));
}

/** Of the lines of passwd(5). Never root's own number, whatever the line says. */
export function accountIn(passwd: string): ServerAccount {
  const users = passwd.split('\n').map((line) => line.split(':'));
  for (const name of NAMES) {
    const user = users.find(([candidate]) => candidate === name);
    const uid = Number(user?.[2] || 0);
    const gid = Number(user?.[3] || 0);
    if (uid > 0 && gid > 0) return { name, uid, gid };
  }
  return { name: 'nobody', uid: OVERFLOW, gid: OVERFLOW };
}
