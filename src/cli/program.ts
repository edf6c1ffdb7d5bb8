import { Command, CommanderError, Option } from 'commander';
import { JetbackupError } from '../core/errors.ts';
import { registerAlerts } from './commands/alerts.ts';
import { registerBackup } from './commands/backup.ts';
import { registerDaemon } from './commands/daemon.ts';
import { registerExport } from './commands/export.ts';
import { registerInit } from './commands/init.ts';
import { registerList } from './commands/list.ts';
import { registerPin, registerUnpin } from './commands/pin.ts';
import { registerPrune } from './commands/prune.ts';
import { registerRestore } from './commands/restore.ts';
import { registerShow } from './commands/show.ts';
import { registerStatus } from './commands/status.ts';
import { registerVerify } from './commands/verify.ts';
import { exitTexts, type Registry } from './registry.ts';

export interface GlobalOptions {
  readonly config?: string;
  readonly json?: boolean;
  readonly verbose?: boolean;
  readonly quiet?: boolean;
}

/** Builds the command line. Parsing errors are thrown as CommanderError and not printed; help is, to `out`, or to `err` where no command was given. */
export function createProgram(
  registry: Registry,
  version: string,
  write: { readonly out: (text: string) => void; readonly err: (text: string) => void },
): Command {
  const program = new Command('jetbackup');
  program
    .description('PostgreSQL backups that count only once they have been restored.')
    .version(version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print help, also for a command: jetbackup restore --help')
    .helpCommand('help [command]', 'print help for a command')
    .option('-c, --config <file>', 'configuration file (default: $JETBACKUP_CONFIG, ./jetbackup.yaml, /etc/jetbackup/jetbackup.yaml)')
    .option('--json', 'print one JSON document on standard output, also for errors')
    .addOption(new Option('-v, --verbose', 'with errors, where they come from').conflicts('quiet'))
    .option('-q, --quiet', 'print results, warnings and errors only')
    .showSuggestionAfterError(true)
    .exitOverride()
    .configureOutput({ writeOut: write.out, writeErr: write.err, outputError: () => {} })
    .configureHelp({ showGlobalOptions: true, sortSubcommands: false });
  registerInit(program, registry);
  registerBackup(program, registry);
  registerList(program, registry);
  registerShow(program, registry);
  registerRestore(program, registry);
  registerVerify(program, registry);
  registerExport(program, registry);
  registerPin(program, registry);
  registerUnpin(program, registry);
  registerPrune(program, registry);
  registerStatus(program, registry);
  registerDaemon(program, registry);
  registerAlerts(program, registry);
  const statuses = Object.entries(exitTexts).map(([status, text]) => `  ${status.padStart(3)}  ${text}`);
  program.addHelpText(
    'after',
    `\nExamples:\n  jetbackup init              once\n  jetbackup backup            every night\n  jetbackup verify            every month\n  jetbackup restore latest    when it matters\n  jetbackup prune --dry-run   what retention would let go\n  jetbackup status            whether the objectives are met\n\nExit status:\n${statuses.join('\n')}`,
  );
  return program;
}

/** Commander's complaint as ours: `unknown option '--tga'`, hint `Did you mean --tag?`. Undefined when nothing is wrong (help, version). */
export function usageError(error: CommanderError, command: string | undefined): JetbackupError | undefined {
  if (error.exitCode === 0) return undefined;
  const see = `See: jetbackup ${command === undefined ? '' : `${command} `}--help`;
  // `jetbackup` alone prints its help and counts as an error.
  if (error.code === 'commander.help') return new JetbackupError('usage', 'no command was given', { hint: see });
  const [first = '', ...rest] = error.message.replace(/^error: /, '').split('\n');
  const suggestion = rest.join(' ').replace(/^\(|\)$/g, '');
  return new JetbackupError('usage', first, { hint: suggestion === '' ? see : suggestion });
}

export { CommanderError };
