import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { collect, MiB } from '../../core/bytes.ts';
import { JetbackupError } from '../../core/errors.ts';
import { ProcessFailed, type ProcessRunner } from '../../platform/processes.ts';
import { quoteStderr } from '../../postgres/client-errors.ts';
import type { ServerPrograms } from '../../postgres/server-programs.ts';
import { discreetLog } from '../profile.ts';
import { SOCKET_PORT, socketsOf, writeForServer } from './local-directory.ts';
import type { ServerAccount } from './server-account.ts';

export interface Cluster {
  /** The sandbox's; the data directory and that of the socket are in it. */
  readonly directory: string;
  readonly account: ServerAccount | undefined;
  readonly programs: ServerPrograms;
  readonly env: Readonly<Record<string, string>>;
}

export const dataOf = ({ directory }: Pick<Cluster, 'directory'>): string => join(directory, 'data');

/** Beside the data directory, and not the server's own: what runs as the server can give neither us nor the server another one. */
export const configurationOf = ({ directory }: Pick<Cluster, 'directory'>): string => join(directory, 'postgresql.conf');
const HBA = 'pg_hba.conf';

/** Of the server and of initdb. Messages are told apart by their English text. */
export function serverEnvironment(env: Readonly<Record<string, string | undefined>>): Record<string, string> {
  const kept = ['PATH', 'LD_LIBRARY_PATH', 'DYLD_LIBRARY_PATH'].flatMap((name) => {
    const value = env[name];
    return value === undefined ? [] : [[name, value] as const];
  });
  return { PATH: '/usr/bin:/bin', ...Object.fromEntries(kept), LC_ALL: 'C', TZ: 'UTC' };
}

/** Makes the cluster and writes its settings. Throws `sandbox-unavailable` with initdb's own words, or the signal's reason. */
export async function makeCluster(
  processes: ProcessRunner,
  cluster: Cluster,
  wanted: { readonly superuser: string; readonly password: string; readonly settings: Readonly<Record<string, string>> },
  signal: AbortSignal,
): Promise<void> {
  const { directory, account, programs, env } = cluster;
  const passwordFile = join(directory, 'password');
  await writeForServer(passwordFile, `${wanted.password}\n`, account, 'owns');
  await writeForServer(join(directory, HBA), 'local all all scram-sha-256\n', account, 'reads');
  await writeForServer(configurationOf(cluster), configuration(wanted.settings, directory), account, 'reads');
  const args = [
    ...[`--pgdata=${dataOf(cluster)}`, `--username=${wanted.superuser}`],
    ...[`--pwfile=${passwordFile}`, '--auth=scram-sha-256'],
    // The database gets the source's own encoding and locale later. Nothing of this one need survive a crash, and what is left of a
    // failure is removed with the whole directory, its shared memory too.
    ...['--encoding=UTF8', '--no-locale', '--no-sync', '--no-instructions', '--no-clean'],
  ];
  const command = { program: programs.initdb, args, env, directory, ...(account === undefined ? {} : { account }) };
  try {
    await collect(processes.output(command, signal), MiB);
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof ProcessFailed)) throw error;
    throw initdbFailed(error, cluster, wanted.password);
  } finally {
    await rm(passwordFile, { force: true });
  }
}

function initdbFailed(failed: ProcessFailed, { directory, account }: Cluster, password: string): JetbackupError {
  // It quotes the statement that it stopped at, which may be the one with the password: so there is no cause, either.
  const said = quoteStderr(failed.stderr.replaceAll(password, '…'));
  const enters = /Permission denied/.test(said) && account !== undefined;
  return new JetbackupError('sandbox-unavailable', `initdb could not make a cluster in ${directory}: ${said || failed.message}`, {
    hint: enters
      ? `The server runs as the user ${account.name}, who must be able to enter that directory: set verify.directory to one that he can, or let him: chmod o+x.`
      : 'These are the words of initdb. Or verify in a container: --sandbox container.',
  });
}

/**
 * Segments of parallel workers and of the statistics lie in the data directory and go with it. In /dev/shm they outlive a server that
 * was killed, with rows in them, and little fits in there where we run in a container.
 */
const defaults = { dynamic_shared_memory_type: 'mmap' };

/**
 * After what initdb found out about this machine: what is not for anybody to choose, where its files are, that only we reach it, and that
 * its log comes to us. Pure.
 */
export function configuration(settings: Readonly<Record<string, string>>, directory: string): string {
  const ours: Record<string, string> = {
    listen_addresses: '',
    port: String(SOCKET_PORT),
    // A list, in which quotes keep a path whole.
    unix_socket_directories: `"${socketsOf(directory).replaceAll('"', '""')}"`,
    unix_socket_permissions: '0700',
    data_directory: join(directory, 'data'),
    hba_file: join(directory, HBA),
    ident_file: join(directory, 'data', 'pg_ident.conf'),
    external_pid_file: '',
    logging_collector: 'off',
    log_destination: 'stderr',
    log_min_messages: 'error',
    ...discreetLog,
    // A server that lost a process to the machine's lack of memory should say so, and not begin again under our feet.
    restart_after_crash: 'off',
  };
  const lines = Object.entries({ ...defaults, ...settings, ...ours }).map(([name, value]) => `${name} = ${quoted(value)}\n`);
  return `# Of jetbackup. The last value of a name holds.\ninclude = 'data/postgresql.conf'\n${lines.join('')}`;
}

/** As a string of postgresql.conf (guc-file.l, DeescapeQuotedString). */
function quoted(value: string): string {
  return `'${value.replaceAll('\\', '\\\\').replaceAll("'", "''").replaceAll('\n', '\\n').replaceAll('\r', '\\r')}'`;
}
