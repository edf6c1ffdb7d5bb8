import type { Command } from 'commander';
import { type RuleId, ruleIds } from '../../core/alert.ts';
import { JetbackupError } from '../../core/errors.ts';
import type { AcknowledgeInput, OpenIncident, WhichIncidents } from '../../operations/acknowledge.ts';
import { incidentDocument } from '../incident-document.ts';
import { help, type Registry } from '../registry.ts';
import type { Outcome, Session } from '../session.ts';
import { type Colors, counted, instantText, printable, tableText } from '../text.ts';
import { parseUntil } from '../until.ts';

interface AckOptions {
  readonly rule?: string;
  readonly database?: string;
  readonly until?: string;
  readonly reason: string;
}

const exits = ['10', '11', '130'];

/** `alerts list` and `alerts ack`. */
export function registerIncidents(group: Command, registry: Registry): void {
  const list = group
    .command('list')
    .summary('what was told and is not over')
    .description(
      'Shows each open incident: how severe it is, since when, and who has acknowledged it, by what the service has written into the repository. Changes nothing. Where no service runs, it is what the last one knew.',
    )
    .action(async () => {
      await registry.session(list, runList);
    });
  help(list, { examples: [['jetbackup alerts list', 'the most severe first']], exits });

  const ack = group
    .command('ack')
    .summary('say that somebody is at it')
    .description(
      'Quiets an open incident until it is over, until it gets worse, or until a time. Its end is told all the same. PagerDuty and whoever else has heard of it hear of this too, with the reason. Where a service runs, it takes this with its next round, within a minute or so.',
    )
    .argument('[key]', 'which incident, as alerts list shows it')
    .option('--rule <rule>', 'every open incident of a rule instead')
    .option('-d, --database <name>', 'with --rule: of this database only')
    .option('--until <when>', 'a time from now, e.g. 4h, or a date (its end); default: until it is over')
    .requiredOption('--reason <text>', 'what is being done; told with it')
    .action(async (key: string | undefined, options: AckOptions) => {
      await registry.session(ack, (session) => runAck(session, key, options));
    });
  help(ack, {
    examples: [
      ['jetbackup alerts ack backup-failed/shop --reason "disk is being replaced" --until 4h', 'one'],
      ['jetbackup alerts ack --rule storage-nearly-full --reason "new disk on Monday" --until 3d', 'all of a rule'],
    ],
    exits,
  });
}

async function runList({ context, config, composed, output }: Session): Promise<Outcome> {
  const { open, damaged } = await context.operations.listIncidents(composed.incidentDeps(), context.signal);
  if (damaged !== undefined) {
    output.progress.report({
      type: 'warning',
      text: `what was told cannot be read (${printable(damaged)}), so nothing is known to be open`,
      hint: 'The service begins anew with its next round, and tells once more what is wrong.',
    });
  }
  return {
    kind: 'report',
    document: { command: 'alerts list', incidents: open.map(incidentDocument), damaged: damaged !== undefined },
    text: open.length === 0 ? 'no incident is open' : incidentTable(open, config.timeZone, output.colors),
  };
}

async function runAck({ context, config, composed, output }: Session, key: string | undefined, options: AckOptions): Promise<Outcome> {
  const { reason } = options;
  if (reason.trim() === '') throw new JetbackupError('usage', 'the reason is empty', { hint: 'Write --reason "what is being done".' });
  const pastHint = 'Write a time from now, e.g. --until 4h; without --until it is quiet until it is over.';
  const now = context.clock.now();
  const until = options.until === undefined ? null : parseUntil(options.until, { now, timeZone: config.timeZone, pastHint });
  const input: AcknowledgeInput = { which: whichOf(key, options), reason, until };
  const { incidents, applied } = await context.operations.acknowledgeIncidents(composed.incidentDeps(), input, context.signal);
  const end = until === null ? 'until over' : `until ${instantText(until.toString(), config.timeZone)}`;
  const which = counted(incidents.length, 'incident');
  const done = applied ? `${output.colors.green('acknowledged')} ${which}, ${end}` : `left a word about ${which}, ${end}`;
  const later = applied ? [] : ['The service that tells alerts takes it with its next round: jetbackup alerts list'];
  return {
    kind: 'done',
    document: {
      command: 'alerts ack',
      applied,
      reason,
      until: until === null ? null : until.toString({ smallestUnit: 'millisecond' }),
      incidents: incidents.map(incidentDocument),
    },
    text: [done, ...incidents.map((one) => `  ${printable(one.key)}: ${printable(one.incident.summary)}`), ...later].join('\n'),
  };
}

function whichOf(key: string | undefined, { rule, database }: AckOptions): WhichIncidents {
  if ((key === undefined) === (rule === undefined)) {
    throw new JetbackupError('usage', 'say which incident: by its key, or by --rule', { hint: 'jetbackup alerts list shows the keys.' });
  }
  if (key !== undefined) {
    if (database === undefined) return { key };
    throw new JetbackupError('usage', '--database goes with --rule; a key names the database itself', { hint: 'Leave out --database.' });
  }
  const known = ruleIds.find((one): one is RuleId => one === rule);
  if (known === undefined) throw new JetbackupError('usage', `"${rule ?? ''}" is no rule`, { hint: `Known: ${ruleIds.join(', ')}.` });
  return { rule: known, database };
}

/** The state is not signed: whoever can write to the store writes these words. */
function incidentTable(open: readonly OpenIncident[], timeZone: string, colors: Colors): string {
  const loud = { critical: colors.red, warning: colors.yellow, info: (text: string) => text };
  const rows = open.map(({ key, incident: { severity, since, summary, acknowledged } }) => [
    loud[severity](severity),
    printable(key),
    instantText(since, timeZone),
    acknowledged === null
      ? '-'
      : printable(`${acknowledged.by}${acknowledged.until === null ? '' : ` until ${instantText(acknowledged.until, timeZone)}`}`),
    printable(summary),
  ]);
  return tableText(
    [{ title: 'Severity' }, { title: 'Key' }, { title: 'Since' }, { title: 'Acknowledged by' }, { title: '' }],
    rows,
    colors,
  );
}
