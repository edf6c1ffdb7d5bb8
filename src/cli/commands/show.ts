import type { Command } from 'commander';
import type { Manifest } from '../../core/manifest.ts';
import type { Authentic } from '../json.ts';
import { help, type Registry } from '../registry.ts';
import { type Outcome, repositoryDatabase, type Session } from '../session.ts';
import { summarize } from '../summary.ts';
import { bytesText, type Colors, counted, fieldsText, instantText, tableText } from '../text.ts';
import { authenticOf } from './list.ts';

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
  const moment = composed.moment(when);
  const database = await repositoryDatabase(session, name);
  const found = await context.operations.showBackup(composed.listDeps(), { database, moment }, context.signal);
  if ('error' in found) throw found.error;
  const authentic = authenticOf(found);
  return {
    kind: 'report',
    document: { command: 'show', authentic, manifest: found.manifest },
    text: showText(found.manifest, authentic, config.timeZone, output.colors),
  };
}

const authenticTexts: Readonly<Record<Authentic, string>> = {
  yes: 'yes, the signature holds',
  no: 'NO',
  unchecked: 'unchecked: no signing.publicKey is configured',
};

function showText(manifest: Manifest, authentic: Authentic, timeZone: string, colors: Colors): string {
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
    ['pinned', manifest.pin?.reason],
    ['kept until', manifest.keepUntil === null ? undefined : instantText(manifest.keepUntil, timeZone)],
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
