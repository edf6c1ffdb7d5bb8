import { type Command, Option } from 'commander';
import { type ByteStream, meter } from '../../core/bytes.ts';
import { JetbackupError } from '../../core/errors.ts';
import type { ArtifactKind } from '../../core/manifest.ts';
import { writeNewFile, writeToStream } from '../output-file.ts';
import { help, type Registry } from '../registry.ts';
import { type Outcome, repositoryDatabase, type Session } from '../session.ts';
import { bytesText } from '../text.ts';

interface ExportOptions {
  readonly database?: string;
  readonly output: string;
  readonly artifact: Extract<ArtifactKind, 'dump' | 'globals' | 'files'>;
  readonly force?: boolean;
}

export function registerExport(program: Command, registry: Registry): void {
  const command = program
    .command('export')
    .summary('the decrypted archive, for stock tools')
    .description(
      'Writes one artifact of a backup decrypted and decompressed: the dump as pg_restore reads it, the globals as SQL, the files as a tar.',
    )
    .argument('<when>', 'latest, yesterday, a date (its end), a date and time, or the id of a backup')
    .requiredOption('-o, --output <file>', 'where to write; "-" is standard output')
    .addOption(new Option('--artifact <kind>', 'which one').choices(['dump', 'globals', 'files']).default('dump'))
    .option('-d, --database <name>', 'whose backup; may be left out where there is one database')
    .option('-f, --force', 'replace the file if it is there')
    .action(async (when: string, options: ExportOptions) => {
      await registry.session(command, (session) => runExport(session, when, options));
    });
  help(command, {
    examples: [
      ['jetbackup export latest -o jetadmin.dump', 'then: pg_restore --list jetadmin.dump'],
      ['jetbackup export latest -o - | pg_restore --dbname=copy', 'straight into the stock tool'],
      ['jetbackup export latest --artifact globals -o roles.sql', 'the roles'],
    ],
    exits: ['10', '11', '13', '21', '22', '130'],
  });
}

async function runExport(session: Session, when: string, options: ExportOptions): Promise<Outcome> {
  const { composed, context, output, ask } = session;
  const { stdout } = context.streams;
  const toStdout = options.output === '-';
  if (toStdout && output.options.json) {
    throw new JetbackupError('usage', '--json and -o - both want standard output', { hint: 'Write to a file, or leave out --json.' });
  }
  if (toStdout && stdout.isTTY === true && options.artifact !== 'globals') {
    throw new JetbackupError('usage', `the ${options.artifact} is binary and does not belong on a terminal`, {
      hint: 'Write it to a file (-o FILE) or pipe it on.',
    });
  }
  const moment = composed.moment(when);
  const database = await repositoryDatabase(session, options.database);
  const deps = await composed.exportDeps(output.progress.report, ask);
  const counter = meter();
  const write = async (plain: ByteStream): Promise<void> => {
    const counted = counter.through(plain);
    if (toStdout) await writeToStream(stdout, counted, context.signal);
    else await writeNewFile({ path: options.output, cwd: context.cwd, replace: options.force === true }, counted, context.signal);
  };
  const manifest = await context.operations.exportBackup(
    deps,
    { database, moment, artifact: options.artifact, output: write },
    context.signal,
  );
  const { bytes, sha256 } = counter.measure();
  const text = `wrote the ${options.artifact} of ${manifest.id}, ${bytesText(bytes)}, to ${options.output}`;
  if (toStdout) output.notice(text);
  return {
    kind: toStdout ? 'silent' : 'done',
    document: {
      command: 'export',
      database: manifest.database,
      backup: manifest.id,
      snapshotInstant: manifest.snapshotInstant,
      artifact: options.artifact,
      file: options.output,
      bytes,
      sha256,
    },
    text,
  };
}
