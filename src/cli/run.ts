import type { Command } from 'commander';
import { redactor } from '../config/secret.ts';
import { catalogue, isJetbackupError } from '../core/errors.ts';
import type { CliContext, Shell } from './context.ts';
import { createOutput, type Output, type OutputOptions } from './output.ts';
import { CommanderError, createProgram, type GlobalOptions, usageError } from './program.ts';
import type { Registry } from './registry.ts';
import { type Outcome, withSession } from './session.ts';

const TICK_MS = 200;

/** Runs one command line (`argv` without node and script) and gives its exit status. Never throws. */
export async function run(argv: readonly string[], shell: Shell): Promise<number> {
  let output = createOutput(shell, beforeParsing(argv), redactor());
  let exitCode = 0;
  const finish = async (command: Command, work: (context: CliContext, output: Output) => Promise<Outcome>): Promise<void> => {
    const { json, quiet, verbose } = command.optsWithGlobals<GlobalOptions>();
    const service = command.name() === 'daemon';
    output = createOutput(shell, { json: json === true, quiet: quiet === true, verbose: verbose === true, service }, redactor());
    const timer = setInterval(() => output.progress.tick(), TICK_MS);
    timer.unref();
    try {
      shell.signal.throwIfAborted();
      const outcome = await work({ ...shell, ...(await shell.load()) }, output);
      output.result(outcome.kind, outcome.document, outcome.text);
      exitCode = outcome.exitCode ?? 0;
    } finally {
      clearInterval(timer);
      output.progress.end();
    }
  };
  const registry: Registry = {
    session: (command, work) =>
      finish(command, (context, out) => withSession(context, out, command.optsWithGlobals<GlobalOptions>().config, work)),
    bare: (command, work) => finish(command, work),
  };
  const program = createProgram(registry, shell.version, {
    out: (text) => void shell.streams.stdout.write(text),
    err: (text) => void shell.streams.stderr.write(text),
  });
  try {
    await program.parseAsync([...argv], { from: 'user' });
    return exitCode;
  } catch (error) {
    const command = program.commands.find((candidate) => candidate.name() === argv.find((word) => !word.startsWith('-')))?.name();
    const told = error instanceof CommanderError ? usageError(error, command) : reasonOf(error, shell.signal);
    if (told === undefined) return 0;
    output.error(told);
    return isJetbackupError(told) ? told.exitCode : catalogue.bug.exit;
  }
}

/** For what goes wrong before the options are known. */
function beforeParsing(argv: readonly string[]): OutputOptions {
  const end = argv.indexOf('--');
  const words = end === -1 ? argv : argv.slice(0, end);
  const has = (...names: string[]) => words.some((word) => names.includes(word));
  return { json: has('--json'), quiet: has('--quiet', '-q'), verbose: has('--verbose', '-v') };
}

/** After an abort, whatever tore on the way (a closed pipe, a broken query) is a consequence: the signal's reason is what happened. */
function reasonOf(error: unknown, signal: AbortSignal): unknown {
  return signal.aborted && !isJetbackupError(error) && isJetbackupError(signal.reason) ? signal.reason : error;
}
