import { mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { password, text } from '@clack/prompts';
import type { Command } from 'commander';
import { DEFAULT_CONFIG_NAME } from '../../config/load.ts';
import { configInvalid, type Problem } from '../../config/problems.ts';
import { Secret } from '../../config/secret.ts';
import { isJetbackupError, JetbackupError, messageOf } from '../../core/errors.ts';
import { DatabaseNameSchema } from '../../core/ids.ts';
import type { CliContext, InitSource } from '../context.ts';
import { IDENTITY_FILE, initFiles, PASSFILE, refuseExisting, SIGNING_KEY_FILE, type Undo, writeFile } from '../init-files.ts';
import type { Output } from '../output.ts';
import { help, type Registry } from '../registry.ts';
import { isInteractive, type Outcome, promptStreams } from '../session.ts';
import { type Colors, fieldsText } from '../text.ts';

interface InitOptions {
  readonly dir?: string;
  readonly repository?: string;
  readonly name?: string;
}

export function registerInit(program: Command, registry: Registry): void {
  const command = program
    .command('init')
    .summary('set up a folder and a repository')
    .description(
      'Makes the configuration, an age identity, a signing key and the repository. What is already in DATABASE_URL (or PGHOST, PGUSER, PGDATABASE …) and JETBACKUP_REPOSITORY is taken from there; at a terminal the rest is asked for. The connection is written down without its password, which goes into a password file of its own (0600). No file is ever overwritten.',
    )
    .option('--dir <dir>', 'where to put the files; made if it is not there (default: the current folder)')
    .option('--repository <url>', 's3://BUCKET/PREFIX?region=… or file:///DIRECTORY')
    .option('--name <name>', 'what the database’s backups are filed under (default: the database’s own name)')
    .action(async (options: InitOptions) => {
      await registry.bare(command, (context, output) => runInit(context, output, options));
    });
  help(command, {
    examples: [
      ['jetbackup init', 'asks for what it needs'],
      ['DATABASE_URL=postgres://… jetbackup init --repository file:///var/backups', 'asks nothing'],
    ],
    exits: ['10', '11', '130'],
  });
}

interface Wanted {
  readonly repository: string;
  readonly source: InitSource;
  readonly name: string;
  readonly password: Secret | undefined;
}

async function runInit(context: CliContext, output: Output, options: InitOptions): Promise<Outcome> {
  const { init, cwd, clock, signal } = context;
  const directory = resolve(cwd, options.dir ?? '.');
  const wanted = await gather(context, output, options);
  const passfile = wanted.source.passfile(wanted.password);
  await refuseExisting(directory, [DEFAULT_CONFIG_NAME, IDENTITY_FILE, SIGNING_KEY_FILE, ...(passfile === undefined ? [] : [PASSFILE])]);

  const keys = await init.newKeys();
  const createdAt = clock.now().toString({ smallestUnit: 'second' });
  const repository = /^\.{1,2}(\/|$)/.test(wanted.repository) ? resolve(cwd, wanted.repository) : wanted.repository;
  const choices = { repository, timeZone: context.systemTimeZone(), database: wanted.name, url: wanted.source.url, passfile, createdAt };
  const files = initFiles(choices, keys);
  const undo: Undo[] = [];
  try {
    await mkdir(directory, { recursive: true });
    for (const file of files.slice(0, -1)) await writeFile(directory, file, undo);
    signal.throwIfAborted();
    // Before the configuration, which makes the folder look set up; after the keys, which must never be lost once it exists.
    const request = { repository, base: cwd, database: wanted.name, signingPublicKey: keys.signingPublicKey };
    const made = await init.createRepository(request, signal);
    undo.length = 0;
    for (const file of files.slice(-1)) await writeFile(directory, file, undo);
    return {
      kind: 'done',
      document: {
        command: 'init',
        directory,
        repository: made,
        database: wanted.name,
        recipient: keys.recipient,
        signingPublicKey: keys.signingPublicKey,
        files: files.map(({ name, purpose, secret }) => ({ path: join(directory, name), purpose, secret })),
      },
      text: initText({ directory, cwd, location: made.location, files, publicKey: keys.signingPublicKey, colors: output.colors }),
    };
  } catch (error) {
    for (const step of undo.toReversed()) await step();
    throw error;
  }
}

/** Takes what the environment has, asks for the rest where somebody can answer, and otherwise says everything that is missing at once. */
async function gather(context: CliContext, output: Output, options: InitOptions): Promise<Wanted> {
  const { init } = context;
  const asks = isInteractive(context);
  const problems: Problem[] = [];
  const note = (source: string, error: unknown): undefined => {
    const hint = isJetbackupError(error) ? error.hint : undefined;
    problems.push({ source, message: messageOf(error), ...(hint === undefined ? {} : { remedy: hint }) });
  };

  let repository = options.repository ?? init.variable('JETBACKUP_REPOSITORY')?.reveal();
  if (repository !== undefined) {
    try {
      init.checkRepository(repository);
    } catch (error) {
      note(options.repository === undefined ? 'JETBACKUP_REPOSITORY' : '--repository', error);
    }
  } else if (asks) {
    repository = await askRepository(context, output);
  } else {
    problems.push({
      source: 'JETBACKUP_REPOSITORY',
      message: 'where to keep the backups is not known',
      remedy: 'Set JETBACKUP_REPOSITORY (or --repository) to s3://BUCKET/PREFIX?region=… or file:///DIRECTORY.',
    });
  }

  let source: InitSource | undefined;
  let secret: Secret | undefined;
  const url = init.variable('DATABASE_URL');
  if (url !== undefined || ['PGHOST', 'PGHOSTADDR', 'PGDATABASE'].some((name) => init.variable(name) !== undefined)) {
    try {
      source = init.source(url);
    } catch (error) {
      note(url === undefined ? 'PGHOST' : 'DATABASE_URL', error);
    }
  } else if (asks) {
    ({ source, secret } = await askSource(context, output));
  } else {
    problems.push({
      source: 'DATABASE_URL',
      message: 'the database to back up is not known',
      remedy: 'Set DATABASE_URL to postgres://user:password@host:5432/database, or PGHOST, PGUSER, PGPASSWORD and PGDATABASE.',
    });
  }

  const name = options.name ?? init.variable('JETBACKUP_DATABASE')?.reveal() ?? source?.database;
  const valid = name === undefined ? undefined : DatabaseNameSchema.safeParse(name);
  if (valid?.success === false) {
    problems.push({
      source: options.name === undefined ? 'JETBACKUP_DATABASE' : '--name',
      message: `${JSON.stringify(name)} cannot be the name of a folder in the repository: ${valid.error.issues[0]?.message ?? ''}`,
      remedy: 'Give another with --name, or set JETBACKUP_DATABASE.',
    });
  }
  if (problems.length > 0 || repository === undefined || source === undefined || name === undefined) throw configInvalid(problems);
  return { repository, source, name, password: secret };
}

/** What a prompt gave; Ctrl-C and Esc at it end the command. */
function answered(answer: string | symbol | undefined): string {
  if (typeof answer === 'symbol') throw new JetbackupError('interrupted', 'nothing was made');
  return answer ?? '';
}

async function askRepository(context: CliContext, output: Output): Promise<string> {
  output.progress.end();
  return answered(
    await text({
      message: 'Where are the backups to be kept? (s3://BUCKET/PREFIX?region=… or file:///DIRECTORY)',
      validate: (value) => complaint(() => context.init.checkRepository(value ?? '')),
      ...promptStreams(context),
    }),
  );
}

async function askSource(context: CliContext, output: Output): Promise<{ source: InitSource; secret: Secret | undefined }> {
  output.progress.end();
  const url = answered(
    await text({
      message: 'Which database? (postgres://USER@HOST:5432/DATABASE; the password is asked for next)',
      validate: (value) => complaint(() => context.init.source(new Secret(value ?? ''))),
      ...promptStreams(context),
    }),
  );
  const source = context.init.source(new Secret(url));
  if (source.passfile() !== undefined) return { source, secret: undefined };
  const secret = answered(await password({ message: `Password of ${source.user} (empty if it needs none)`, ...promptStreams(context) }));
  return { source, secret: secret === '' ? undefined : new Secret(secret) };
}

function complaint(check: () => unknown): string | undefined {
  try {
    check();
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}

interface View {
  readonly directory: string;
  readonly cwd: string;
  readonly location: string;
  readonly files: readonly { readonly name: string; readonly purpose: string }[];
  readonly publicKey: string;
  readonly colors: Colors;
}

function initText({ directory, cwd, location, files, publicKey, colors }: View): string {
  const here = directory === cwd;
  const lines = [
    `${colors.green('made')} the repository ${location} and, in ${directory}:`,
    fieldsText(
      files.map(({ name, purpose }) => [name, purpose] as const),
      colors,
    ),
    '',
    colors.bold('Put into escrow now, away from this machine and from the repository:'),
    `  ${join(directory, IDENTITY_FILE)}   without it, no backup can ever be opened`,
    `  ${publicKey}   tells your backups from forged ones`,
    'If this folder is under version control, leave all but jetbackup.yaml out of it.',
    '',
    colors.bold('Next:'),
    ...(here ? [] : [`  cd ${directory}`]),
    '  jetbackup backup',
    '  jetbackup list',
    '  jetbackup restore latest',
  ];
  return lines.join('\n');
}
