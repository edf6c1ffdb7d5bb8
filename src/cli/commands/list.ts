import type { Command } from 'commander';
import type { ListedBackup } from '../../operations/list.ts';
import { type Authentic, errorBody } from '../json.ts';
import { help, type Registry } from '../registry.ts';
import { type Outcome, redactorOf, type Session } from '../session.ts';
import { summarize } from '../summary.ts';
import { bytesText, type Colors, countText, instantText, tableText } from '../text.ts';

export function registerList(program: Command, registry: Registry): void {
  const command = program
    .command('list')
    .summary('the backups in the repository')
    .description('Lists every committed backup, oldest first, and whether its signature holds.')
    .option('-d, --database <name>', 'only this database')
    .action(async (options: { database?: string }) => {
      await registry.session(command, (session) => runList(session, options.database));
    });
  help(command, {
    examples: [
      ['jetbackup list', 'all databases'],
      ['jetbackup list --json | jq -r .backups[-1].id', 'the newest id'],
    ],
    exits: ['10', '11', '130'],
  });
}

type Readable = Extract<ListedBackup, { manifest: unknown }>;
type Unusable = Extract<ListedBackup, { error: unknown }>;

export function authenticOf(listed: Readable): Authentic {
  if (listed.authentic === undefined) return 'unchecked';
  return listed.authentic ? 'yes' : 'no';
}

async function runList({ config, composed, context, output }: Session, database: string | undefined): Promise<Outcome> {
  const wanted = database ?? config.selected;
  const all = await context.operations.listBackups(composed.listDeps(), wanted === undefined ? {} : { database: wanted }, context.signal);
  const readable = all.filter((listed): listed is Readable => 'manifest' in listed);
  const unusable = all.filter((listed): listed is Unusable => 'error' in listed);
  return {
    kind: 'report',
    document: {
      command: 'list',
      repository: composed.location,
      backups: readable.map((listed) => ({ ...summarize(listed.manifest), authentic: authenticOf(listed) })),
      unusable: unusable.map(({ database: name, id, error }) => ({ database: name, id, error: errorBody(error, redactorOf(config)) })),
    },
    text: listText(readable, unusable, { timeZone: config.timeZone, location: composed.location, wanted, colors: output.colors }),
  };
}

interface View {
  readonly timeZone: string;
  readonly location: string;
  readonly wanted: string | undefined;
  readonly colors: Colors;
}

function listText(readable: readonly Readable[], unusable: readonly Unusable[], { timeZone, location, wanted, colors }: View): string {
  if (readable.length + unusable.length === 0) {
    return `no backups${wanted === undefined ? '' : ` of "${wanted}"`} in ${location} yet; make one with: jetbackup backup`;
  }
  const rows = readable.map((listed) => {
    const { database, id, snapshotInstant, dumpBytes, storedBytes, fingerprint, tags, pin } = summarize(listed.manifest);
    const authentic = authenticOf(listed);
    return [
      database,
      id,
      instantText(snapshotInstant, timeZone),
      bytesText(dumpBytes),
      bytesText(storedBytes),
      fingerprint.mode === 'off' ? '-' : countText(fingerprint.rows),
      authentic === 'yes' ? 'yes' : colors.yellow(authentic),
      [...Object.entries(tags).map(([key, value]) => `${key}=${value}`), ...(pin === null ? [] : [`pinned: ${pin.reason}`])].join(' '),
    ];
  });
  const broken = unusable.map(({ database, id, error }) => [database, id, colors.red(error.message), '', '', '', colors.red('no'), '']);
  const columns = [
    { title: 'DATABASE' },
    { title: 'ID' },
    { title: 'AS OF' },
    { title: 'DUMP', align: 'right' },
    { title: 'STORED', align: 'right' },
    { title: 'ROWS', align: 'right' },
    { title: 'AUTHENTIC' },
    { title: 'TAGS' },
  ] as const;
  return tableText(columns, [...rows, ...broken], colors);
}
