import { access, constants } from 'node:fs/promises';
import path from 'node:path';
import { $ } from 'zx';
import { findServerPrograms } from './postgres-programs.ts';

/** What a test may need of the machine besides Node.js, and the line that brings it. */
export interface Prerequisite {
  readonly name: string;
  /** Whole sentence, for the list of what was skipped. */
  readonly neededFor: string;
  readonly remedy: string;
  present(): Promise<boolean>;
}

const apt = (packages: string) => `${process.getuid?.() === 0 ? '' : 'sudo '}apt-get install -y ${packages}`;

const program = (name: string, neededFor: string, debianPackage = name): Prerequisite => ({
  name: `the program ${name}`,
  neededFor,
  remedy: apt(debianPackage),
  present: () => inPath(name),
});

export const docker: Prerequisite = {
  name: 'a container engine',
  neededFor: 'throwaway PostgreSQL and S3 servers',
  remedy: 'install Docker (https://docs.docker.com/engine/install/), start it, and let this user run: docker info',
  present: async () => (await inPath('docker')) && (await $({ nothrow: true, quiet: true })`docker info`).exitCode === 0,
};

export const postgresServer: Prerequisite = {
  name: 'a PostgreSQL server',
  neededFor: 'the demo',
  remedy: apt('postgresql'),
  present: async () => (await findServerPrograms()) !== undefined,
};

export const programs: readonly Prerequisite[] = [
  program('age', 'reading and writing the same files as the age program'),
  program('zstd', 'reading and writing the same files as the zstd program'),
  program('pigz', 'reading and writing the same files as the pigz program'),
  program('jq', 'checking signatures without jetbackup'),
  program('openssl', 'checking signatures without jetbackup'),
  program('ssh-keygen', 'SSH keys as age recipients', 'openssh-client'),
  program('script', 'giving age a terminal to ask at', 'bsdutils'),
  program('pgbouncer', 'telling a connection pooler from a server'),
  program('gcc', "PostgreSQL's own regression database", 'gcc libc6-dev'),
  program('promtool', 'the alert rules for Prometheus', 'prometheus'),
  program('bzip2', "PostgreSQL's own regression database"),
];

export async function inPath(name: string): Promise<boolean> {
  const folders = (process.env['PATH'] ?? '').split(path.delimiter).filter((folder) => folder !== '');
  const found = await Promise.all(
    folders.map((folder) =>
      access(path.join(folder, name), constants.X_OK).then(
        () => true,
        () => false,
      ),
    ),
  );
  return found.includes(true);
}

/** Those of the list that this machine lacks, in the list's order. */
export async function missing(list: readonly Prerequisite[]): Promise<readonly Prerequisite[]> {
  const present = await Promise.all(list.map((prerequisite) => prerequisite.present()));
  return list.filter((_, index) => present[index] === false);
}
