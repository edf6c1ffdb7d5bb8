import type { DatabaseStatus } from '../operations/status.ts';
import type { VerificationEntry } from '../operations/verification-history.ts';
import { forecastLines, secondsText } from './objective-words.ts';
import { configuredDatabases, type Outcome, type Session } from './session.ts';
import { failedChecks, historyDocument } from './status-document.ts';
import { indented, rtoText, unreadTexts, type View } from './status-text.ts';
import { bytesText, fieldsText, instantText, tableText } from './text.ts';

/**
 * `verify --history`: every verification of the named databases, or of all that are configured, oldest first; then median, worst,
 * trend and forecast. Changes nothing, and needs no identity. Throws `usage`, `key-missing`, and what the store throws.
 */
export async function runHistory({ config, composed, context, output }: Session, names: readonly string[]): Promise<Outcome> {
  const databases = configuredDatabases(config, names);
  const input = { databases, retention: composed.retentionInput(databases.map(({ name }) => name)) };
  const report = await context.operations.surveyStatus(composed.statusDeps(), input, context.signal);
  const view = { timeZone: config.timeZone, colors: output.colors };
  const blocks = [...report.databases.map((status) => historyText(status, view)), ...unreadTexts(report, view)];
  return { kind: 'report', document: historyDocument(report, composed.location), text: blocks.join('\n\n') };
}

function historyText({ database, history, rto, forecast }: DatabaseStatus, view: View): string {
  const { colors, timeZone } = view;
  const title = colors.bold(database);
  if (history.verifications.length === 0) return `${title}\n  never verified; do it with: jetbackup verify`;
  const figures = fieldsText(
    [
      ['measured', rto === undefined ? 'no RTO was measured: none got to its end and passed' : rtoText(rto)],
      ['forecast', forecast === undefined ? undefined : forecastLines(forecast, timeZone).join('\n')],
    ],
    colors,
  );
  const columns = [
    { title: 'AT' },
    { title: 'BACKUP' },
    { title: 'RESULT' },
    { title: 'IN' },
    { title: 'PROFILE' },
    { title: 'JOBS', align: 'right' },
    { title: 'DUMP', align: 'right' },
    { title: 'RTO', align: 'right' },
    { title: 'RPO', align: 'right' },
    { title: 'LONGEST GAP', align: 'right' },
  ] as const;
  const rows = history.verifications.toReversed().map((entry) => row(entry, view));
  return `${title}\n${indented(`${tableText(columns, rows, colors)}\n\n${figures}`)}`;
}

function row(entry: VerificationEntry, { colors, timeZone }: View): string[] {
  const seconds = (value: number | null) => (value === null ? '-' : secondsText(Math.max(0, value)));
  return [
    instantText(entry.at.toString(), timeZone),
    entry.backup ?? '-',
    resultText(entry, colors),
    entry.kind ?? '-',
    entry.profile ?? '-',
    String(entry.jobs),
    entry.bytes === null ? '-' : bytesText(entry.bytes.dump),
    seconds(entry.rtoSeconds),
    seconds(entry.rpoSeconds),
    seconds(entry.worstGapSeconds),
  ];
}

function resultText({ outcome, attached, checks }: VerificationEntry, colors: View['colors']): string {
  if (outcome === null) return colors.yellow('not told');
  if (outcome === 'failed') return colors.red(`FAILED: ${failedChecks(checks).join(', ')}`);
  return attached ? 'proven' : colors.yellow('passed, not signed');
}
