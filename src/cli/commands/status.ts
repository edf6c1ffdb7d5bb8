import type { Command } from 'commander';
import { catalogue, JetbackupError } from '../../core/errors.ts';
import { isMissed } from '../../operations/status.ts';
import { help, type Registry } from '../registry.ts';
import { configuredDatabases, type Outcome, type Session } from '../session.ts';
import { statusDocument } from '../status-document.ts';
import { statusText } from '../status-text.ts';

export function registerStatus(program: Command, registry: Registry): void {
  const command = program
    .command('status')
    .summary('objectives against what was measured')
    .description(
      'Shows of each configured database the newest recovery point and the newest that is proven restorable, whether the objectives for RPO and RTO are met, how long a restore took and will take as the database grows, and how the last runs ended. Changes nothing. The exit status is 31 when an objective is missed, or the newest verified backup was found bad; what was never measured is shown as unknown, and is no reason for it.',
    )
    .argument('[database...]', 'names of configured databases')
    .option(
      '--metrics',
      'print it for Prometheus, e.g. into a file for node_exporter; the exit status is 0 then, also when an objective is missed',
    )
    .action(async (databases: string[], options: { metrics?: boolean }) => {
      await registry.session(command, (session) => runStatus(session, databases, options.metrics === true));
    });
  help(command, {
    examples: [
      ['jetbackup status', 'all configured databases'],
      ['jetbackup status shop --json | jq .databases[0].verdicts', 'for a script'],
      ['jetbackup status --metrics > jetbackup.prom.new && mv jetbackup.prom.new jetbackup.prom', 'for node_exporter, never half a file'],
    ],
    exits: ['10', '11', '21', '31', '130'],
  });
}

async function runStatus({ config, composed, context, output }: Session, names: readonly string[], metrics: boolean): Promise<Outcome> {
  if (metrics && output.options.json) {
    throw new JetbackupError('usage', '--metrics is a format of its own, and not JSON', { hint: 'Leave out --json, or --metrics.' });
  }
  const databases = configuredDatabases(config, names);
  const input = { databases, retention: composed.retentionInput(databases.map(({ name }) => name)) };
  const report = await context.operations.surveyStatus(composed.statusDeps(), input, context.signal);
  const document = statusDocument(report, { repository: composed.location, config });
  if (metrics) {
    // Only here: no other command should wait for the library.
    const { statusMetrics } = await import('../../metrics/status.ts');
    return { kind: 'report', document, text: (await statusMetrics(report)).trimEnd() };
  }
  return {
    kind: 'report',
    document,
    text: statusText(report, { config, timeZone: config.timeZone, colors: output.colors }),
    exitCode: isMissed(report) ? catalogue['objective-missed'].exit : 0,
  };
}
