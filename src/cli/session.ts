import { isCancel, password } from '@clack/prompts';
import type { Config, DatabaseConfig } from '../config/config.ts';
import { type Redact, redactor } from '../config/secret.ts';
import { JetbackupError } from '../core/errors.ts';
import type { AskPassphrase, CliContext, Composed } from './context.ts';
import type { ResultDocument } from './json.ts';
import type { Output } from './output.ts';

/** What a command gives back: the document for --json and the same for people. */
export interface Outcome {
  readonly kind: 'report' | 'done' | 'silent';
  readonly document: ResultDocument;
  readonly text: string;
  /** 0 unless told otherwise. */
  readonly exitCode?: number;
}

/** A command with its configuration read and its adapters built. */
export interface Session {
  readonly context: CliContext;
  readonly config: Config;
  /** --config. */
  readonly file: string | undefined;
  readonly composed: Composed;
  readonly output: Output;
  readonly ask: AskPassphrase;
}

/** Reads the configuration and builds its adapters; `composed` is the caller's to close. Throws `config-invalid`. */
export async function openSession(context: CliContext, output: Output, file: string | undefined): Promise<Session> {
  const config = context.loadConfig(file);
  output.useRedactor(redactorOf(config));
  for (const { text, hint } of config.warnings) output.progress.report({ type: 'warning', text, ...(hint === undefined ? {} : { hint }) });
  return { context, config, file, composed: await context.compose(config), output, ask: passphrasePrompt(context, output) };
}

export async function withSession(
  context: CliContext,
  output: Output,
  file: string | undefined,
  work: (session: Session) => Promise<Outcome>,
): Promise<Outcome> {
  const session = await openSession(context, output, file);
  try {
    return await work(session);
  } finally {
    session.composed.close();
  }
}

/** Knows the configuration's secrets and, where the command line brought some, those. */
export function redactorOf(config: Config, more: readonly string[] = []): Redact {
  const known = config.secrets.map((secret) => secret.reveal());
  return redactor([...known, ...more], config.openWords);
}

/** Whether somebody is there to answer: questions are asked on standard error, so that standard output may be a pipe. */
export function isInteractive({ streams }: Pick<CliContext, 'streams'>): boolean {
  return streams.stdin.isTTY === true && streams.stderr.isTTY === true;
}

function passphrasePrompt(context: CliContext, output: Output): AskPassphrase {
  if (!isInteractive(context)) return undefined;
  return async () => {
    output.progress.end();
    const answer = await password({ message: 'Passphrase of the identity', ...promptStreams(context) });
    if (isCancel(answer)) throw new JetbackupError('interrupted', 'no passphrase was given');
    return answer;
  };
}

/** Where and until when a prompt asks. */
export function promptStreams({ streams, signal }: CliContext) {
  return { input: streams.stdin as NodeJS.ReadStream, output: streams.stderr as NodeJS.WriteStream, signal };
}

/** The configured database that is meant: the named one, JETBACKUP_DATABASE's, or the only one. Throws `usage`. */
export function configuredDatabase(config: Config, name: string | undefined): DatabaseConfig {
  const wanted = name ?? config.selected;
  const known = config.databases.map((database) => database.name);
  if (wanted !== undefined) {
    const found = config.databases.find((database) => database.name === wanted);
    if (found !== undefined) return found;
    throw new JetbackupError('usage', `no database "${wanted}" is configured`, { hint: knownHint(known) });
  }
  const [only] = config.databases;
  if (only !== undefined && config.databases.length === 1) return only;
  if (only === undefined) {
    throw new JetbackupError('usage', 'no database is configured', {
      hint: 'Add one under "databases:", or set DATABASE_URL (or PGHOST, PGUSER and PGDATABASE).',
    });
  }
  throw new JetbackupError('usage', 'there are several databases; say which one', { hint: knownHint(known) });
}

/** The configured databases that are meant: the named ones, JETBACKUP_DATABASE's, or all. Throws `usage`. */
export function configuredDatabases(config: Config, names: readonly string[]): readonly DatabaseConfig[] {
  if (names.length > 0) return [...new Set(names)].map((name) => configuredDatabase(config, name));
  if (config.selected !== undefined || config.databases.length === 0) return [configuredDatabase(config, undefined)];
  return config.databases;
}

function knownHint(known: readonly string[]): string {
  if (known.length === 0) return 'None is. Add it under "databases:", or set DATABASE_URL.';
  return `Configured: ${known.join(', ')}.`;
}

/**
 * The name under which to look in the repository. A bare host that has no database configured may name any, and need
 * not where the repository holds only one. Throws `usage`, `no-backup`.
 */
export async function repositoryDatabase({ config, composed, context }: Session, name: string | undefined): Promise<string> {
  const wanted = name ?? config.selected;
  if (wanted !== undefined) return wanted;
  if (config.databases.length > 0) return configuredDatabase(config, undefined).name;
  const names = await composed.databasesInRepository(context.signal);
  const [only] = names;
  if (only === undefined) {
    throw new JetbackupError('no-backup', `${composed.location} holds no backup yet`, { hint: 'Make one with: jetbackup backup' });
  }
  if (names.length === 1) return only;
  throw new JetbackupError('usage', 'the repository holds several databases; say which one', {
    hint: `Add --database with one of: ${names.join(', ')}.`,
  });
}
