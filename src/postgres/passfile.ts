import { open } from 'node:fs/promises';
import { type Hidden, hidden } from './hidden.ts';
import type { ConnectionSettings, HostPort } from './settings.ts';

/** One line of a passfile. libpq takes a backslash before `:` and `\` as an escape. */
export function passfileLine(fields: readonly string[]): string {
  return fields.map((field) => field.replaceAll(/[\\:]/g, '\\$&')).join(':');
}

/** The password of the first line that matches; `*` matches all. A Unix socket goes by the name `localhost` or by its directory. */
export function passwordIn(content: string, host: string, port: number, database: string, user: string): string | undefined {
  for (const line of content.split(/\r?\n/)) {
    if (line === '' || line.startsWith('#')) continue;
    const fields = /^((?:[^:\\]|\\.)*):((?:[^:\\]|\\.)*):((?:[^:\\]|\\.)*):((?:[^:\\]|\\.)*):(.*)$/.exec(line);
    if (fields === null) continue;
    const matches = (index: number, wanted: string) => fields[index] === '*' || unescaped(fields[index] ?? '') === wanted;
    const hostMatches = matches(1, host) || (host.startsWith('/') && matches(1, 'localhost'));
    if (hostMatches && matches(2, String(port)) && matches(3, database) && matches(4, user)) return unescaped(fields[5] ?? '');
  }
  return undefined;
}

function unescaped(field: string): string {
  return field.replaceAll(/\\(.)/g, '$1');
}

/**
 * The password to use at this host: the one given, else the one in the passfile. Like libpq, passes over a file
 * that others may read.
 */
export async function passwordFor(settings: ConnectionSettings, host: HostPort): Promise<Hidden | undefined> {
  if (settings.password !== undefined) return settings.password;
  if (settings.passfile === undefined) return undefined;
  let content: string;
  try {
    await using file = await open(settings.passfile, 'r');
    const stat = await file.stat();
    if (!stat.isFile() || (stat.mode & 0o077) !== 0) return undefined;
    content = await file.readFile('utf8');
  } catch {
    return undefined;
  }
  const password = passwordIn(content, host.host, host.port, settings.database, settings.user);
  return password === undefined ? undefined : hidden(password);
}
