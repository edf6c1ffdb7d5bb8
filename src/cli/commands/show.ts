import type { Command } from 'commander';
import { describeReason } from '../../../retention/reasons.ts';
import type { Manifest } from '../../core/manifest.ts';
import type { Authentic } from '../json.ts';
import { help, type Registry } from '../registry.ts';
import { keptUntilText, retentionFields, type Verdict, verdictKey } from '../retention-words.ts';
import { type Outcome, repositoryDatabase, type Session } from '../session.ts';
import { promisesOf, summarize } from '../summary.ts';
import { bytesText, type Colors, counted, fieldsText, instantText, tableText } from '../text.ts';
import { authenticOf, judge } from './list.ts';

export function registerShow(program: Command, registry: Registry): void {
  const command = program
    .command('show')
    .summary('everything about one backup')
    .description('Shows what a backup holds, where it came from, and whether its signature holds.')
    .argument('<when>', 'id of the backup, as `jetbackup list` shows it, or latest, a date, a date and time')
    .option('-d, --database <name>', 'whose backup; may be left out where there is one database')
    .action(async (when: string, options: { database?: string }) => {
      await registry.session(command, (session) => runShow(session, when, options.database));
    });
  help(command, {
    examples: [
      ['jetbackup show latest', 'the newest, in words'],
      ['jetbackup show 20261120T020000Z-k3f9qa --json', 'the whole manifest'],
    ],
    exits: ['10', '11', '13', '22', '130'],
  });
}

async function runShow(session: Session, when: string, name: string | undefined): Promise<Outcome> {
  const { config, composed, context, output } = session;
  const { timeZone } = config;
  const moment = composed.moment(when);
  const database = await repositoryDatabase(session, name);
  const found = await context.operations.showBackup(composed.listDeps(), { database, moment }, context.signal);
  if ('error' in found) throw found.error;
  const authentic = authenticOf(found);
  const verdict = (await judge(session, [found])).get(verdictKey(found));
  const { manifest } = found;
  return {
    kind: 'report',
    document: {
      command: 'show',
      authentic,
      manifest,
      ...promisesOf(manifest, verdict?.point),
      ...retentionFields(verdict, timeZone),
    },
    text: showText(manifest, { authentic, verdict, timeZone, colors: output.colors }),
  };
}

const authenticTexts: Readonly<Record<Authentic, string>> = {
  yes: 'yes, the signature holds',
  no: 'NO',
  unchecked: 'unchecked: no signing.publicKey is configured',
};

interface View {
  readonly authentic: Authentic;
  readonly verdict: Verdict | undefined;
  readonly timeZone: string;
  readonly colors: Colors;
}

function showText(manifest: Manifest, { authentic, verdict, timeZone, colors }: View): string {
  const { pin, keepUntil } = promisesOf(manifest, verdict?.point);
  const { source, server, fingerprint } = manifest;
  const summary = summarize(manifest);
  const fields: (readonly [string, string | undefined])[] = [
    ['id', manifest.id],
    ['database', manifest.database],
    ['as of', instantText(manifest.snapshotInstant, timeZone)],
    ['authentic', authenticTexts[authentic]],
    ['source', `${source.datname}, owner ${source.owner}, ${source.encoding}, ${source.collate}, ${bytesText(source.sizeBytes)}`],
    ['server', `PostgreSQL ${server.version}${server.standby ? ', a standby' : ''}`],
    ['dumped by', `${manifest.tools.pgDump}, jetbackup ${manifest.jetbackup}`],
    ['extensions', source.extensions.map(({ name, version }) => `${name} ${version}`).join(', ')],
    ['roles', source.roles.join(', ')],
    [
      'fingerprint',
      fingerprint.mode === 'off'
        ? 'none'
        : `${fingerprint.mode}: ${counted(fingerprint.rows, 'row')} in ${counted(fingerprint.tables, 'table')}, ${counted(fingerprint.objects, 'object')}`,
    ],
    [
      'tags',
      Object.entries(manifest.tags)
        .map(([key, value]) => `${key}=${value}`)
        .join(', '),
    ],
    ['pinned', pin === null ? undefined : `${pin.reason}${pin.until === null ? '' : `, until ${instantText(pin.until, timeZone)}`}`],
    ['to be kept', keepUntil === null ? undefined : `until ${instantText(keepUntil, timeZone)}`],
    [verdict?.stays === false ? 'goes' : 'stays', verdict?.reasons.map((reason) => describeReason(reason, timeZone)).join('\n')],
    ['until', verdict === undefined ? undefined : keptUntilText(verdict)],
    ['warnings', manifest.warnings.join('\n')],
  ];
  const artifacts = tableText(
    [
      { title: 'ARTIFACT' },
      { title: 'PLAIN', align: 'right' },
      { title: 'STORED', align: 'right' },
      { title: 'SHA-256 OF WHAT IS STORED' },
    ],
    manifest.artifacts.map((artifact, index) => [
      artifact.kind,
      bytesText(artifact.plain.bytes),
      bytesText(summary.artifacts[index]?.storedBytes ?? 0),
      artifact.sealed.sha256,
    ]),
    colors,
  );
  return `${fieldsText(fields, colors)}\n\n${artifacts}`;
}
