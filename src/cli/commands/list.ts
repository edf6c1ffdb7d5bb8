import type { Command } from 'commander';
import { forForecast } from '../../operations/forecast.ts';
import type { ListedBackup } from '../../operations/list.ts';
import { type Authentic, errorBody } from '../json.ts';
import { help, type Registry } from '../registry.ts';
import { keptUntilText, retentionFields, tierLabel, type Verdict, type Verdicts, verdictKey, verdictsOf } from '../retention-words.ts';
import { type Outcome, redactorOf, type Session } from '../session.ts';
import { promisesOf, summarize } from '../summary.ts';
import { bytesText, type Colors, countText, instantText, tableText } from '../text.ts';

export function registerList(program: Command, registry: Registry): void {
  const command = program
    .command('list')
    .summary('the backups in the repository')
    .description(
      'Lists every committed backup, oldest first: whether its signature holds, the tier that keeps it, and the day on which it will go if backups keep coming as they did.',
    )
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

async function runList(session: Session, database: string | undefined): Promise<Outcome> {
  const { config, composed, context, output } = session;
  const wanted = database ?? config.selected;
  const all = await context.operations.listBackups(composed.listDeps(), wanted === undefined ? {} : { database: wanted }, context.signal);
  const readable = all.filter((listed): listed is Readable => 'manifest' in listed);
  const unusable = all.filter((listed): listed is Unusable => 'error' in listed);
  const verdicts = await judge(session, readable);
  return {
    kind: 'report',
    document: {
      command: 'list',
      repository: composed.location,
      backups: readable.map((listed) => {
        const verdict = verdicts.get(verdictKey(listed));
        return {
          ...summarize(listed.manifest),
          ...promisesOf(listed.manifest, verdict?.point),
          authentic: authenticOf(listed),
          ...retentionFields(verdict, config.timeZone),
        };
      }),
      unusable: unusable.map(({ database: name, id, error }) => ({ database: name, id, error: errorBody(error, redactorOf(config)) })),
    },
    text: listText(readable, unusable, {
      timeZone: config.timeZone,
      location: composed.location,
      wanted,
      verdicts,
      colors: output.colors,
    }),
  };
}

/** What retention says of these backups. Where no public key is known, nothing can be said: then no pin can be trusted either. */
export async function judge({ config, composed, context }: Session, backups: readonly Readable[]): Promise<Verdicts> {
  const checked = backups.filter(({ authentic }) => authentic !== undefined);
  if (checked.length === 0) return new Map();
  const input = composed.retentionInput([...new Set(checked.map(({ database }) => database))]);
  const manifests = checked.map(({ manifest }) => manifest);
  const survey = await context.operations.surveyRetention(composed.listDeps(), { ...input, ...forForecast, manifests }, context.signal);
  return verdictsOf(survey, context.clock.now(), config.timeZone);
}

interface View {
  readonly timeZone: string;
  readonly location: string;
  readonly wanted: string | undefined;
  readonly verdicts: Verdicts;
  readonly colors: Colors;
}

function listText(readable: readonly Readable[], unusable: readonly Unusable[], view: View): string {
  const { timeZone, location, wanted, verdicts, colors } = view;
  if (readable.length + unusable.length === 0) {
    return `no backups${wanted === undefined ? '' : ` of "${wanted}"`} in ${location} yet; make one with: jetbackup backup`;
  }
  const rows = readable.map((listed) => {
    const { database, id, snapshotInstant, dumpBytes, storedBytes, fingerprint, tags } = summarize(listed.manifest);
    const verdict = verdicts.get(verdictKey(listed));
    const { pin } = promisesOf(listed.manifest, verdict?.point);
    const authentic = authenticOf(listed);
    return [
      database,
      id,
      instantText(snapshotInstant, timeZone),
      bytesText(dumpBytes),
      bytesText(storedBytes),
      fingerprint.mode === 'off' ? '-' : countText(fingerprint.rows),
      authentic === 'yes' ? 'yes' : colors.yellow(authentic),
      provenText(verdict, colors),
      verdict === undefined ? '-' : tierLabel(verdict),
      verdict === undefined ? '-' : keptUntilText(verdict),
      [...Object.entries(tags).map(([key, value]) => `${key}=${value}`), ...(pin === null ? [] : [`pinned: ${pin.reason}`])].join(' '),
    ];
  });
  const broken = unusable.map(({ database, id, error }) => [
    database,
    id,
    colors.red(error.message),
    '',
    '',
    '',
    colors.red('no'),
    '',
    '',
    '-',
    '',
  ]);
  const columns = [
    { title: 'DATABASE' },
    { title: 'ID' },
    { title: 'AS OF' },
    { title: 'DUMP', align: 'right' },
    { title: 'STORED', align: 'right' },
    { title: 'ROWS', align: 'right' },
    { title: 'AUTHENTIC' },
    { title: 'PROVEN' },
    { title: 'TIER' },
    { title: 'KEPT UNTIL' },
    { title: 'TAGS' },
  ] as const;
  return tableText(columns, [...rows, ...broken], colors);
}

function provenText(verdict: Verdict | undefined, colors: Colors): string {
  if (verdict === undefined) return '-';
  const { proof } = verdict.point;
  if (proof === 'failed') return colors.red('FAILED');
  return proof === 'proven' ? 'yes' : 'no';
}
