import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { resolveHosts } from './hosts.ts';
import { passfileLine, passwordFor } from './passfile.ts';
import { privateDirectory } from './private-directory.ts';
import type { ConnectionSettings } from './settings.ts';

/** The whole environment of a client program. Disposing removes the files that it names. */
export interface LibpqEnvironment extends AsyncDisposable {
  readonly env: Readonly<Record<string, string>>;
}

/**
 * What pg_dump and its like need to connect, and nothing else: no variable of `base` that libpq would read gets
 * through. The password goes by a passfile of our own (0600 in a 0700 directory), because any user of the machine
 * may read argv, and a process's environment shows up in crash dumps and `ps e`.
 */
export async function libpqEnvironment(
  settings: ConnectionSettings,
  base: Readonly<Record<string, string | undefined>>,
  extra: { readonly applicationName: string; readonly options?: string },
): Promise<LibpqEnvironment> {
  const hosts = await resolveHosts(settings);
  const directory = await privateDirectory(base['TMPDIR'] ?? tmpdir());
  try {
    const passfile = join(directory.path, 'passfile');
    const lines: string[] = [];
    for (const host of hosts) {
      const password = await passwordFor(settings, host);
      // The host is libpq's to spell (name, address, socket directory); only this child reads the file. With one host, or one password for all, any will do.
      if (password !== undefined) {
        const name = hosts.length === 1 || settings.password !== undefined ? '*' : host.host;
        const port = name === '*' ? '*' : String(host.port);
        lines.push(`${passfileLine([name, port, '*', '*', password.reveal()])}\n`);
      }
    }
    await writeFile(passfile, lines.join(''), { mode: 0o600 });
    // There is no variable for these. A server or a firewall that vanishes is noticed after 90 s.
    const service = ['[jetbackup]', 'keepalives=1', 'keepalives_idle=30', 'keepalives_interval=10', 'keepalives_count=6'];
    if (settings.ssl.keyPassword !== undefined) service.push(`sslpassword=${settings.ssl.keyPassword.reveal()}`);
    const serviceFile = join(directory.path, 'service.conf');
    await writeFile(serviceFile, `${service.join('\n')}\n`, { mode: 0o600 });

    const env: Record<string, string> = {};
    for (const [name, value] of Object.entries(base)) {
      if (value !== undefined && !name.startsWith('PG') && name !== 'LC_ALL' && name !== 'LANGUAGE') env[name] = value;
    }
    const options = [settings.options, extra.options].filter((part) => part !== undefined && part !== '').join(' ');
    const { ssl } = settings;
    const variables: Record<string, string | undefined> = {
      ...settings.libpqOnly,
      // Messages are classified by their English text.
      LC_ALL: 'C',
      PGSERVICEFILE: serviceFile,
      PGSERVICE: 'jetbackup',
      PGPASSFILE: passfile,
      PGHOST: hosts.map(({ host }) => host).join(','),
      PGHOSTADDR: hosts.some(({ hostaddr }) => hostaddr !== undefined) ? hosts.map(({ hostaddr }) => hostaddr ?? '').join(',') : undefined,
      PGPORT: hosts.map(({ port }) => port).join(','),
      PGUSER: settings.user,
      PGDATABASE: settings.database,
      PGAPPNAME: extra.applicationName,
      PGCONNECT_TIMEOUT: String(settings.connectTimeoutSeconds),
      PGTARGETSESSIONATTRS: settings.targetSessionAttributes === 'any' ? undefined : settings.targetSessionAttributes,
      PGOPTIONS: options === '' ? undefined : options,
      PGSSLMODE: ssl.mode,
      PGSSLROOTCERT: ssl.rootCert,
      PGSSLCERT: ssl.cert,
      PGSSLKEY: ssl.key,
      PGSSLNEGOTIATION: ssl.negotiation,
    };
    for (const [name, value] of Object.entries(variables)) if (value !== undefined) env[name] = value;
    return { env, [Symbol.asyncDispose]: directory[Symbol.asyncDispose] };
  } catch (error) {
    await directory[Symbol.asyncDispose]();
    throw error;
  }
}
