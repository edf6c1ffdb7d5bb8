import { problemsOf } from '../config/problems.ts';
import type { Redact } from '../config/secret.ts';
import type { ErrorCode, JetbackupError } from '../core/errors.ts';
import { isJetbackupError, messageOf } from '../core/errors.ts';
import { createLogger } from '../platform/logger.ts';
import type { Shell } from './context.ts';
import { errorBody, type ResultDocument } from './json.ts';
import { lineProgress, type ProgressView, quietProgress, terminalProgress } from './progress.ts';
import { type Colors, colorsFor } from './text.ts';

export interface OutputOptions {
  readonly json: boolean;
  readonly quiet: boolean;
  readonly verbose: boolean;
  /** Its lines are collected by a machine unless somebody looks on. */
  readonly service?: boolean;
}

/** Results go to standard output, everything else to standard error, so that each can be redirected alone. */
export interface Output {
  readonly options: OutputOptions;
  /** Of standard output. */
  readonly colors: Colors;
  readonly progress: ProgressView;
  /** Known only once the configuration is; until then secrets are recognised by their form. */
  useRedactor(redact: Redact): void;
  /** `report`: what was asked for (list); `done`: what was done, which --quiet leaves out; `silent`: standard output is taken. */
  result(kind: 'report' | 'done' | 'silent', document: ResultDocument, text: string): void;
  notice(text: string): void;
  /** What the command ends with. */
  error(error: unknown): void;
  /** One failure on the way of a command that goes on; the result's document tells of it. `of` stands before the message. */
  failure(of: string, error: unknown): void;
}

export function createOutput(context: Pick<Shell, 'streams' | 'env' | 'clock'>, options: OutputOptions, plain: Redact): Output {
  const { streams, env, clock } = context;
  const { stdout, stderr } = streams;
  const errorColors = colorsFor(stderr, env);
  let redact = plain;
  const writeError = (text: string): void => void stderr.write(redact(text));

  const json = env['JETBACKUP_LOG'] === 'json' || (options.service === true && stderr.isTTY !== true);
  const progress = (): ProgressView => {
    if (options.quiet) return quietProgress(writeError, errorColors);
    if (stderr.isTTY === true && !json && env['TERM'] !== 'dumb') {
      return terminalProgress({ write: writeError, columns: () => stderr.columns || 80, clock, colors: errorColors });
    }
    const log = createLogger({
      level: 'info',
      format: json ? 'json' : 'text',
      color: false,
      redact: (line) => redact(line),
      write: (line) => void stderr.write(line),
    });
    return lineProgress({ log, clock });
  };
  const view = progress();

  return {
    options,
    colors: colorsFor(stdout, env),
    progress: view,
    useRedactor(next) {
      redact = next;
    },
    result(kind, document, text) {
      view.end();
      if (kind === 'silent') return;
      if (options.json) stdout.write(`${JSON.stringify(document, null, 2)}\n`);
      else if (text !== '' && (kind === 'report' || !options.quiet)) stdout.write(`${text}\n`);
    },
    notice(text) {
      if (!options.quiet) view.report({ type: 'note', text });
    },
    error(error) {
      view.end();
      if (options.json) stdout.write(`${JSON.stringify({ error: errorBody(error, redact, problemsOf(error)) }, null, 2)}\n`);
      writeError(errorText('', error, options.verbose, errorColors));
    },
    failure(of, error) {
      view.end();
      writeError(errorText(of, error, options.verbose, errorColors));
    },
  };
}

/** Two lines, `error:` and `hint:`; with --verbose the stacks of the error and of its causes. */
function errorText(of: string, error: unknown, verbose: boolean, colors: Colors): string {
  const known: JetbackupError | undefined = isJetbackupError(error) ? error : undefined;
  const lines = [`${colors.red('error:')} ${of}${messageOf(error)}`];
  if (known?.hint !== undefined) lines.push(`${colors.cyan('hint:')} ${known.hint}`);
  if (isBug(known?.code)) {
    const how = verbose ? 'this output' : 'the output of the same command with --verbose';
    lines.push(`${colors.cyan('hint:')} This is an error in jetbackup itself. Please report it, with ${how}.`);
  }
  if (verbose) lines.push(...stacks(error));
  return `${lines.join('\n')}\n`;
}

function isBug(code: ErrorCode | undefined): boolean {
  return code === undefined || code === 'bug';
}

function stacks(error: unknown): string[] {
  const found: string[] = [];
  const seen = new Set<unknown>();
  for (let next: unknown = error; next instanceof Error && !seen.has(next); next = next.cause) {
    seen.add(next);
    found.push(`${found.length === 0 ? '' : 'caused by: '}${next.stack ?? next.message}`);
  }
  return found;
}
