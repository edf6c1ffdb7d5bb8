import type { Command } from 'commander';
import { catalogue } from '../../core/errors.ts';
import type { ChannelTest } from '../../operations/alerts.ts';
import { errorBody } from '../json.ts';
import { help, type Registry } from '../registry.ts';
import { type Outcome, redactorOf, type Session } from '../session.ts';
import { durationText, tableText } from '../text.ts';
import { registerIncidents } from './incidents.ts';

export function registerAlerts(program: Command, registry: Registry): void {
  const group = program
    .command('alerts')
    .summary('what is wrong, and the channels that tell it')
    .description('Incidents that the service has told, and the channels that are configured under "alerts:".');
  registerIncidents(group, registry);
  const command = group
    .command('test')
    .summary('send a test through every channel')
    .description(
      'Sends a test notice through every configured channel, whatever its filter, and tells of each whether the receiver took it. PagerDuty gets an incident of severity info that is resolved at once; a heartbeat gets a log entry, which does not change its check.',
    )
    .option('--channel <name>', 'only this one')
    .action(async (options: { readonly channel?: string }) => {
      await registry.session(command, (session) => runTest(session, options.channel));
    });
  help(command, {
    examples: [
      ['jetbackup alerts test', 'all of them'],
      ['jetbackup alerts test --channel pagerduty', 'one'],
    ],
    exits: ['10', '40', '130'],
  });
}

async function runTest({ context, config, composed, output }: Session, channel: string | undefined): Promise<Outcome> {
  const results = await context.operations.testAlerts(composed.alertDeps(), { channel }, context.signal);
  const failed = results.filter(({ error }) => error !== undefined);
  const { colors } = output;
  for (const { error } of failed) output.failure('', error);
  const redact = redactorOf(config);
  const row = ({ channel: name, error, ms }: ChannelTest) => [
    error === undefined ? colors.green('delivered') : colors.red('failed'),
    name,
    error === undefined ? durationText(ms) : error.code,
  ];
  return {
    kind: 'report',
    document: {
      command: 'alerts test',
      channels: results.map(({ channel: name, kind, error, ms }) => ({
        channel: name,
        kind,
        delivered: error === undefined,
        ms,
        error: error === undefined ? null : errorBody(error, redact),
      })),
    },
    text: tableText([{ title: 'Result' }, { title: 'Channel' }, { title: '' }], results.map(row), colors),
    exitCode: failed.length === 0 ? 0 : catalogue['alert-undelivered'].exit,
  };
}
