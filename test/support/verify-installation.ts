import { chmod, mkdtemp, readdir, readlink, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { CliResult, RunningCli } from './cli.ts';
import { type Installation, type InstallationOptions, makeInstallation } from './installation.ts';
import { partsOfProcess } from './sandboxes.ts';

/** An installation that verifies in sandboxes of its own, of which one can tell what is left. */
export interface VerifyInstallation extends AsyncDisposable {
  readonly installation: Installation;
  /** Where local sandboxes are made; of a short path, for their sockets. */
  readonly sandboxes: string;
  /** `verify:` of jetbackup.yaml, beside the image and the directory. */
  configureVerify(section?: Readonly<Record<string, unknown>>): Promise<void>;
  verify(...args: string[]): Promise<CliResult>;
  /** What there is of a run's sandboxes: parts in the engine, directories, and processes in them. */
  leftOf(run: RunningCli): Promise<string[]>;
}

/** Runs find the engine and its images as this process does; what a killed one leaves is theirs to remove, and nobody's beside them. */
const engineVariables = /^(DOCKER_|TESTCONTAINERS_|RYUK_)/;

export async function makeVerifyInstallation(options: InstallationOptions): Promise<VerifyInstallation> {
  const sandboxes = await mkdtemp('/tmp/jb-verify-');
  // The server of a sandbox runs as another user where this process is root.
  await chmod(sandboxes, 0o755);
  const installation = await makeInstallation(options);
  for (const [name, value] of Object.entries(process.env)) {
    if (engineVariables.test(name) && value !== undefined) installation.cli.env[name] = value;
  }
  installation.cli.env['TESTCONTAINERS_RYUK_DISABLED'] = 'true';
  const image = process.env['JETBACKUP_TEST_POSTGRES_IMAGE'] ?? 'postgres:{major}';
  const configureVerify = (section: Readonly<Record<string, unknown>> = {}) =>
    installation.configure({}, { verify: { image, directory: sandboxes, ...section } });
  await configureVerify();
  return {
    installation,
    sandboxes,
    configureVerify,
    verify: (...args) => installation.cli.run('verify', ...args),
    async leftOf(run) {
      const names = (await readdir(sandboxes)).filter((name) => name.startsWith('jetbackup-sb-') && name.includes(`-${run.child.pid}-`));
      const processes = await Promise.all(names.map((name) => processesIn(join(sandboxes, name))));
      return [...(await partsOfProcess(run.child.pid)), ...names, ...processes.flat()];
    },
    async [Symbol.asyncDispose]() {
      await installation[Symbol.asyncDispose]();
      await rm(sandboxes, { recursive: true, force: true });
    },
  };
}

async function processesIn(directory: string): Promise<string[]> {
  const ids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const found = await Promise.all(
    ids.map(async (id) => {
      const place = await readlink(join('/proc', id, 'cwd')).catch(() => '');
      return place.startsWith(directory) ? [`process ${id} in ${place}`] : [];
    }),
  );
  return found.flat();
}
