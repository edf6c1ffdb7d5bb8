import type { Command } from 'commander';
import type { CliContext } from './context.ts';
import type { Output } from './output.ts';
import type { Outcome, Session } from './session.ts';

/** How commands get at what they need once they are chosen; filled by run.ts. */
export interface Registry {
  /** Runs the command with configuration and adapters, and renders its outcome. */
  session(command: Command, work: (session: Session) => Promise<Outcome>): Promise<void>;
  /** The same without a configuration: `init`. */
  bare(command: Command, work: (context: CliContext, output: Output) => Promise<Outcome>): Promise<void>;
}

/** The documented exit statuses, in the words of README.md. */
export const exitTexts: Readonly<Record<string, string>> = {
  '0': 'done',
  '1': 'an error in jetbackup itself',
  '2': 'wrong usage',
  '3': 'done, but something beside the dump is missing, or the pruning after it failed',
  '10': 'configuration',
  '11': 'storage',
  '12': 'locked by another run',
  '13': 'no backup at or before that instant',
  '20': 'the dump failed',
  '21': 'a key is missing or wrong',
  '22': 'damaged or not authentic',
  '23': 'the restore failed; the target is as it was',
  '30': 'a check failed',
  '31': 'an objective is missed',
  '32': 'could not verify; never to be taken for a pass',
  '40': 'an alert could not be delivered',
  '130': 'interrupted; cleaned up, unless a second signal forced the end',
  '143': 'the same by SIGTERM or SIGHUP',
};

/** Examples and exit statuses under a command's --help. */
export function help(
  command: Command,
  { examples, exits }: { readonly examples: readonly (readonly [line: string, what: string])[]; readonly exits: readonly string[] },
): void {
  const width = Math.max(...examples.map(([line]) => line.length));
  const lines = examples.map(([line, what]) => `  ${line.padEnd(width)}  ${what}`);
  const statuses = ['0', '1', '2', ...exits].map((status) => `  ${status.padStart(3)}  ${exitTexts[status] ?? ''}`);
  command.addHelpText('after', `\nExamples:\n${lines.join('\n')}\n\nExit status:\n${statuses.join('\n')}`);
}
