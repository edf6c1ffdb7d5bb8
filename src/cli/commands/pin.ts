import type { Command } from 'commander';
import { JetbackupError } from '../../core/errors.ts';
import type { MarkInput } from '../../operations/mark.ts';
import { help, type Registry } from '../registry.ts';
import { type Outcome, repositoryDatabase, type Session } from '../session.ts';
import { instantText } from '../text.ts';
import { parseUntil } from '../until.ts';

interface PinOptions {
  readonly database?: string;
  readonly reason: string;
  readonly until?: string;
}

const exits = ['10', '11', '13', '21', '22', '130'];
const WHICH = 'latest, yesterday, a date (its end), a date and time, or the id of a backup';

export function registerPin(program: Command, registry: Registry): void {
  const command = program
    .command('pin')
    .summary('keep a backup whatever retention says')
    .description(
      'Keeps a backup for ever, or until the end of a day. What was decided about it before is replaced. The pin is signed: nobody who can only write to the store can make or change one.',
    )
    .argument('<when>', WHICH)
    .requiredOption('--reason <text>', 'why; remembered with it')
    .option('--until <day>', 'a date (its end) or a time from now, e.g. 30d; then retention decides again')
    .option('-d, --database <name>', 'whose backup; may be left out where there is one database')
    .action(async (when: string, options: PinOptions) => {
      await registry.session(command, (session) => runPin(session, when, options));
    });
  help(command, {
    examples: [
      ['jetbackup pin latest --reason "before the migration"', 'for ever'],
      ['jetbackup pin 2026-11-20 --reason "audit 2026" --until 2027-03-31', 'that day’s last backup'],
    ],
    exits,
  });
}

export function registerUnpin(program: Command, registry: Registry): void {
  const command = program
    .command('unpin')
    .summary('let retention decide about a backup again')
    .description('Takes a pin back, also one that was given with `jetbackup backup --pin`. The backup stays as long as a rule keeps it.')
    .argument('<when>', WHICH)
    .option('-d, --database <name>', 'whose backup; may be left out where there is one database')
    .action(async (when: string, options: { readonly database?: string }) => {
      await registry.session(command, (session) => mark(session, when, options.database, { pin: null }));
    });
  help(command, { examples: [['jetbackup unpin 20261120T020000Z-k3f9qa', 'that one']], exits });
}

async function runPin(session: Session, when: string, { reason, until, database }: PinOptions): Promise<Outcome> {
  if (reason.trim() === '') throw new JetbackupError('usage', 'the reason is empty', { hint: 'Write --reason "why it must stay".' });
  const { config, context } = session;
  const pastHint = 'To take a pin back: jetbackup unpin WHEN';
  const end = until === undefined ? undefined : parseUntil(until, { now: context.clock.now(), timeZone: config.timeZone, pastHint });
  return await mark(session, when, database, { pin: { reason, ...(end === undefined ? {} : { until: end }) } });
}

async function mark(session: Session, when: string, name: string | undefined, change: MarkInput['change']): Promise<Outcome> {
  const { config, composed, context, output } = session;
  const { colors } = output;
  const moment = composed.moment(when);
  const database = await repositoryDatabase(session, name);
  const made = await context.operations.markBackup(await composed.markDeps(), { database, moment, change }, context.signal);
  const { id, snapshotInstant } = made.manifest;
  const { pin, keepUntil } = made.mark;
  const which = `${colors.bold(id)} of ${database}, as of ${instantText(snapshotInstant, config.timeZone)}`;
  const until = pin === null || pin.until === null ? '' : `, until ${instantText(pin.until, config.timeZone)}`;
  const promised = keepUntil === null ? '' : `, and until ${instantText(keepUntil, config.timeZone)} in any case`;
  return {
    kind: 'done',
    document: { command: pin === null ? 'unpin' : 'pin', database, backup: id, snapshotInstant, pin, keepUntil },
    text:
      pin === null
        ? `${colors.green('unpinned')} ${which}\nIt stays as long as a rule keeps it${promised}: jetbackup list`
        : `${colors.green('pinned')} ${which}${until}: ${pin.reason}`,
  };
}
