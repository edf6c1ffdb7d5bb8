import { type Command, InvalidArgumentError, Option } from 'commander';
import { type Redact, Secret } from '../../config/secret.ts';
import { passwordsIn } from '../../config/url-passwords.ts';
import { bytesOf } from '../../core/bytes.ts';
import { catalogue, JetbackupError } from '../../core/errors.ts';
import { type Profile, profiles } from '../../core/verification.ts';
import type { Choice } from '../../operations/verify-choice.ts';
import type { SandboxChoice } from '../context.ts';
import { writeNewFile } from '../output-file.ts';
import { parseJobs } from '../parse-jobs.ts';
import { madeReady } from '../ready.ts';
import { help, type Registry } from '../registry.ts';
import { configuredDatabases, type Outcome, redactorOf, repositoryDatabase, type Session } from '../session.ts';
import { runHistory } from '../verification-history.ts';
import { verifyDocument, verifyExitCode, verifySuites, verifyText } from '../verify-result.ts';
import { type Verified, type Verifying, verifyEach } from '../verify-run.ts';

interface VerifyOptions {
  readonly database?: string[];
  readonly sandbox?: string;
  readonly profile?: Profile;
  readonly allUnproven?: boolean;
  readonly sample?: number;
  readonly jobs?: number;
  readonly junit?: string;
  readonly history?: boolean;
}

export function registerVerify(program: Command, registry: Registry): void {
  const command = program
    .command('verify')
    .summary('prove that a backup can be restored')
    .description(
      'Restores a backup into a throwaway PostgreSQL, compares every row, sequence, large object and object with what the dump’s own snapshot held, checks indexes and constraints, and measures how long it took. The result is recorded and, where there is a signing key, signed and put beside the backup: from then on it counts as proven, or as failed. Without WHEN: the newest backup of every configured database.',
    )
    .argument('[when]', 'latest, yesterday, a date (its end), a date and time, or the id of a backup')
    .option('-d, --database <name>', 'whose backup; may be repeated', (name: string, before: string[] = []) => [...before, name])
    .option(
      '--sandbox <kind>',
      'auto, container, local, or the URL of a server: postgres://user@host/ (password by PGPASSWORD or passfile)',
    )
    .addOption(new Option('--profile <name>', 'fast, or durable: settings as in production, for an honest RTO').choices([...profiles]))
    .addOption(new Option('--all-unproven', 'every backup that no verification has looked at').conflicts(['sample']))
    .addOption(new Option('--sample <n>', 'the <n> older backups whose turn it is').argParser(parseSample))
    .option('--jobs <n>', 'connections that load rows and build indexes', parseJobs)
    .addOption(
      new Option('--history', 'what earlier verifications measured, and what the next one is expected to').conflicts([
        'allUnproven',
        'sample',
        'junit',
        'sandbox',
        'profile',
      ]),
    )
    .option('--junit <file>', 'also write a JUnit report, for a CI server')
    .action(async (when: string | undefined, options: VerifyOptions) => {
      await registry.session(command, (session) => runVerify(session, when, options));
    });
  help(command, {
    examples: [
      ['jetbackup verify', 'the newest backup'],
      ['jetbackup verify 2026-11-20 --profile durable', 'the newest of that day, with production’s settings'],
      ['jetbackup verify --sample 2', 'two older ones, in turn'],
      ['jetbackup verify --sandbox local', 'without a container engine'],
      ['jetbackup verify --all-unproven --junit report.xml', 'whatever has not been proven yet'],
      ['jetbackup verify --history', 'RTO and RPO over time, and the forecast'],
    ],
    exits: ['10', '11', '13', '21', '30', '32', '130'],
  });
}

function parseSample(text: string): number {
  const count = /^\d{1,4}$/.test(text) ? Number(text) : 0;
  if (count < 1) throw new InvalidArgumentError('Write a number from 1 to 9999.');
  return count;
}

async function runVerify(session: Session, when: string | undefined, options: VerifyOptions): Promise<Outcome> {
  const { config, composed, context, output, ask } = session;
  if (options.history === true) return await history(session, when, options.database ?? []);
  const choice = choiceOf(session, when, options);
  const { sandbox, redact } = sandboxOf(session, options.sandbox);
  const databases = await databasesOf(session, options.database ?? []);
  const verifying: Verifying = {
    databases,
    choice,
    profile: options.profile ?? config.verify.profile,
    jobs: options.jobs ?? config.restore.jobs ?? context.defaultJobs,
  };
  const deps = await madeReady(session, { operation: 'verify', databases }, () =>
    composed.verifyDeps(output.progress.report, ask, sandbox),
  );
  const done = await verifyEach(session, deps, verifying);
  const unwritten = options.junit === undefined ? undefined : await writeReport(session, options.junit, done, redact);
  return {
    kind: 'done',
    document: verifyDocument(done, redact),
    text: verifyText(done, { timeZone: config.timeZone, colors: output.colors, redact }),
    exitCode: verifyExitCode(done) || (unwritten === undefined ? 0 : catalogue.usage.exit),
  };
}

/** What was found is told, also where the report of it cannot be written. */
async function writeReport({ context, output }: Session, path: string, done: readonly Verified[], redact: Redact): Promise<unknown> {
  const suites = verifySuites(done, context.clock.now().toString({ smallestUnit: 'second' }), redact);
  try {
    // 20 MB of memory that no other command is to pay for.
    const { junitReport } = await import('../../report/junit.ts');
    const report = junitReport(suites);
    await writeNewFile({ path, cwd: context.cwd, replace: true }, bytesOf(report), context.signal);
    return undefined;
  } catch (error) {
    if (context.signal.aborted) throw error;
    output.failure('the JUnit report: ', error);
    return error;
  }
}

async function history(session: Session, when: string | undefined, names: readonly string[]): Promise<Outcome> {
  if (when === undefined) return await runHistory(session, names);
  throw new JetbackupError('usage', '--history is of all verifications, and WHEN names one backup', { hint: 'Leave one of them out.' });
}

function choiceOf({ composed }: Session, when: string | undefined, { allUnproven, sample }: VerifyOptions): Choice {
  if (when !== undefined && (allUnproven === true || sample !== undefined)) {
    throw new JetbackupError('usage', 'WHEN names one backup, and --all-unproven and --sample choose several', {
      hint: 'Leave one of them out.',
    });
  }
  if (allUnproven === true) return { kind: 'unproven' };
  if (sample !== undefined) return { kind: 'sample', count: sample };
  return { kind: 'moment', moment: composed.moment(when ?? 'latest') };
}

function sandboxOf(
  { config, output }: Session,
  text: string | undefined,
): { readonly sandbox: SandboxChoice | undefined; readonly redact: Redact } {
  const known = { redact: redactorOf(config) };
  if (text === undefined || text === 'auto' || text === 'container' || text === 'local') return { ...known, sandbox: text };
  if (!/^postgres(ql)?:\/\//.test(text)) {
    throw new JetbackupError('usage', `"${text}" is no kind of sandbox`, {
      hint: 'Use --sandbox auto, container, local, or the URL of a server: postgres://user@host/.',
    });
  }
  const passwords = passwordsIn(text);
  const redact = redactorOf(config, passwords);
  if (passwords.length > 0) {
    output.useRedactor(redact);
    output.progress.report({
      type: 'warning',
      text: 'the password in --sandbox can be seen by every user of this machine (ps), and stays in the shell’s history',
      hint: 'Leave it out, and set PGPASSWORD or keep it in ~/.pgpass.',
    });
  }
  return { sandbox: new Secret(text), redact };
}

/** All that are configured; on a bare host the repository's only one. */
async function databasesOf(session: Session, names: readonly string[]): Promise<readonly string[]> {
  if (names.length > 0) return await Promise.all([...new Set(names)].map((name) => repositoryDatabase(session, name)));
  if (session.config.databases.length > 0) return configuredDatabases(session.config, []).map(({ name }) => name);
  return [await repositoryDatabase(session, undefined)];
}
