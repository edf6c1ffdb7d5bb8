import { type Command, Option } from 'commander';
import { Temporal } from 'temporal-polyfill';
import { parseDuration } from '../../config/duration.ts';
import { JetbackupError } from '../../core/errors.ts';
import { idPattern } from '../../core/ids.ts';
import { endOf, forecast, forForecast } from '../../operations/forecast.ts';
import { pruneDatabases } from '../prune-run.ts';
import { help, type Registry } from '../registry.ts';
import { configuredDatabase, configuredDatabases, type Outcome, type Session } from '../session.ts';
import { type Simulated, simulationDocument, simulationText } from '../simulation.ts';

interface PruneOptions {
  readonly database?: string[];
  readonly dryRun?: boolean;
  readonly simulate?: Temporal.Duration;
  readonly accept?: string;
  readonly reason?: string;
}

/** Beyond this the days would fill pages that nobody reads. */
const LONGEST = { years: 10 };

export function registerPrune(program: Command, registry: Registry): void {
  const command = program
    .command('prune')
    .summary('delete what retention lets go')
    .description(
      'Deletes the backups that no rule of the configured retention keeps, and says why of each. Without a name, of every configured database. Nothing goes of a database that has no retention configured, whose newest backup run failed or has a record that may not be read, or whose newest backups collapsed in size or rows until somebody accepts that. What the store has locked stays, and is reported. It also removes what dead runs left, and run records older than 24 months.',
    )
    .argument('[database...]', 'names of configured databases')
    .option('-d, --database <name>', 'the same as naming it', (name: string, before: string[] = []) => [...before, name])
    .option('--dry-run', 'show every backup, whether it would stay or go, and why; change nothing')
    .addOption(
      new Option('--simulate <time>', 'play forward, e.g. 13mo: which backups there are on each day if they keep coming as they did')
        .argParser(parseHorizon)
        .conflicts('dryRun'),
    )
    .addOption(
      new Option('--accept <id>', 'a backup that collapsed is right as it is: lift the freeze, and delete nothing yet').conflicts([
        'dryRun',
        'simulate',
      ]),
    )
    .option('--reason <text>', 'why it is right; remembered with it')
    .action(async (databases: string[], options: PruneOptions) => {
      await registry.session(command, (session) => runPrune(session, [...databases, ...(options.database ?? [])], options));
    });
  help(command, {
    examples: [
      ['jetbackup prune --dry-run', 'what would stay and go, and why'],
      ['jetbackup prune', 'delete it'],
      ['jetbackup prune --simulate 13mo', 'the next thirteen months'],
      ['jetbackup prune --accept ID --reason "old orders moved to the archive"', 'lift a freeze'],
    ],
    exits: ['10', '11', '12', '13', '21', '22', '130'],
  });
}

function parseHorizon(text: string): Temporal.Duration {
  const duration = parseDuration(text);
  const start = Temporal.PlainDateTime.from('2000-01-01');
  if (duration === undefined || duration.blank || Temporal.Duration.compare(duration, LONGEST, { relativeTo: start }) > 0) {
    throw new JetbackupError('usage', `"${text}" is not a time to play forward`, { hint: 'Write 13mo, 30d or 2y; ten years at most.' });
  }
  return duration;
}

async function runPrune(session: Session, names: readonly string[], options: PruneOptions): Promise<Outcome> {
  if (options.accept !== undefined) return await accept(session, names, options.accept, options.reason);
  if (options.reason !== undefined) {
    throw new JetbackupError('usage', '--reason belongs to --accept', { hint: 'See: jetbackup prune --help' });
  }
  const databases = configuredDatabases(session.config, names).map(({ name }) => name);
  if (options.simulate !== undefined) return await simulateRetention(session, databases, options.simulate);
  return await prune(session, databases, options.dryRun === true);
}

async function prune(session: Session, databases: readonly string[], dryRun: boolean): Promise<Outcome> {
  const { summary, text } = await pruneDatabases(session, databases, dryRun);
  return { kind: dryRun ? 'report' : 'done', document: { command: 'prune', dryRun, ...summary }, text };
}

async function simulateRetention(session: Session, databases: readonly string[], time: Temporal.Duration): Promise<Outcome> {
  const { composed, context, output } = session;
  const input = composed.retentionInput(databases);
  const survey = await context.operations.surveyRetention(composed.listDeps(), { ...input, ...forForecast }, context.signal);
  const { timeZone } = input;
  const from = context.clock.now();
  const until = endOf(from, time, timeZone);
  const simulated = survey.databases.map(
    (one): Simulated => ({ database: one.of.database, policy: one.of.policy, forecast: forecast(one, from, until, timeZone) }),
  );
  return {
    kind: 'report',
    document: simulationDocument(simulated, { from, until, timeZone }),
    text: simulated.map((one) => simulationText(one, timeZone, output.colors)).join('\n\n'),
  };
}

async function accept(
  { config, composed, context, output }: Session,
  names: readonly string[],
  id: string,
  reason: string | undefined,
): Promise<Outcome> {
  if (!idPattern.test(id)) {
    throw new JetbackupError('usage', `"${id}" is not the id of a backup`, {
      hint: 'The frozen prune names it: jetbackup prune --dry-run',
    });
  }
  if (reason === undefined || reason.trim() === '') {
    throw new JetbackupError('usage', 'why the backup is right must be said, for whoever asks later', {
      hint: `Write: jetbackup prune --accept ${id} --reason "…"`,
    });
  }
  if (names.length > 1) throw new JetbackupError('usage', '--accept is about one backup, so about one database');
  const { name: database } = configuredDatabase(config, names[0]);
  const { backup, madeAt } = await context.operations.acceptBackup(await composed.markDeps(), { database, id, reason }, context.signal);
  return {
    kind: 'done',
    document: { command: 'prune --accept', database, backup, reason, acceptedAt: madeAt },
    text: `${output.colors.green('accepted')} ${backup} of ${database}: deletion is no longer frozen because of it, or of any backup before it\nNothing was deleted yet. What goes now: jetbackup prune --dry-run`,
  };
}
