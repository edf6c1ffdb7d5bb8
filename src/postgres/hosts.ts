import { access } from 'node:fs/promises';
import type { ConnectionSettings, HostPort } from './settings.ts';

/** Where builds of PostgreSQL put their sockets: Debian, Red Hat and Alpine; then the source's own default, Homebrew and Postgres.app. */
const SOCKET_DIRECTORIES = ['/var/run/postgresql', '/tmp'];

/** The servers to try. Without a host libpq means this machine's socket directory, which each build has its own idea of: look for the socket. */
export async function resolveHosts(settings: ConnectionSettings): Promise<readonly HostPort[]> {
  if (settings.hosts.length > 0) return settings.hosts;
  for (const host of SOCKET_DIRECTORIES) {
    try {
      await access(`${host}/.s.PGSQL.${settings.port}`);
      return [{ host, port: settings.port }];
    } catch {
      // not here
    }
  }
  return [{ host: 'localhost', port: settings.port }];
}

export function isSocket({ host }: HostPort): boolean {
  return host.startsWith('/') || host.startsWith('@');
}
