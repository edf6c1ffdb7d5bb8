import { confirm } from '@clack/prompts';
import type { Command } from 'commander';
import { Secret } from '../../config/secret.ts';
import { passwordsIn } from '../../config/url-passwords.ts';
import { JetbackupError } from '../../core/errors.ts';
import type { RestoreDeps, RestoreInput, RestorePlan, RestoreResult } from '../../operations/restore.ts';
import type { Connection } from '../context.ts';
import { parseJobs } from '../parse-jobs.ts';
import { help, type Registry } from '../registry.ts';
import { isInteractive, type Outcome, promptStreams, redactorOf, repositoryDatabase, type Session } from '../session.ts';
import { bytesText, type Colors, durationText, fieldsText, instantText } from '../text.ts';

interface RestoreOptions {
  readonly database?: string;
  readonly as?: string;
  readonly to?: string;
  readonly table?: string[];
  readonly schema?: string[];
  readonly jobs?: number;
  readonly owner: boolean;
  readonly tablespaces: boolean;
  readonly createRoles?: boolean;
  readonly compare: boolean;
  readonly dryRun?: boolean;
  readonly yes?: boolean;
}

const collect = (value: string, before: string[] = []) => [...before, value];

export function registerRestore(program: Command, registry: Registry): void {
  const command = program
    .command('restore')
    .summary('restore into a fresh database')
    .description(
      'Restores the newest backup whose snapshot is at or before WHEN into a fresh database, compares it with the backup’s fingerprint, and only then gives it its name. What is in an existing database is never touched.\n\nIt goes to the server that the database was backed up from, under the database’s own name where that is free, and otherwise as NAME_restored_<instant of the snapshot>.',
    )
    .argument('<when>', 'latest, yesterday, a date (its end), a date and time, or the id of a backup')
    .option('-d, --database <name>', 'whose backup; may be left out where there is one database')
    .option('--as <name>', 'name of the restored database; it must be free')
    .option(
      '--to <url>',
      'restore to this server, and as this database if it names one: free, or empty, and then that one is renamed and kept (leave the password to PGPASSWORD or a passfile)',
    )
    .option('--table <schema.table>', 'only this table; may be repeated', collect)
    .option('--schema <name>', 'only this schema; may be repeated', collect)
    .option('--jobs <n>', 'connections that load rows and build indexes; 1 keeps the order of rows on disk', parseJobs)
    .option('--no-owner', 'everything belongs to the user who restores, and no rights are granted')
    .option('--no-tablespaces', 'everything goes into the default tablespace')
    .option('--create-roles', 'create the roles that are missing, without login')
    .option('--no-compare', 'do not compare the result with the backup’s fingerprint')
    .option('--dry-run', 'say what would be done, and do nothing')
    .option('-y, --yes', 'do not ask')
    .action(async (when: string, options: RestoreOptions) => {
      await registry.session(command, (session) => runRestore(session, when, options));
    });
  help(command, {
    examples: [
      ['jetbackup restore latest', 'the newest'],
      ['jetbackup restore 2026-11-20', 'the newest of that day, or before'],
      ['jetbackup restore 2026-11-20T14:00 --as before_the_accident', 'beside the live database'],
      ['jetbackup restore latest --to postgres://admin@new-host/jetadmin --create-roles', 'to another server'],
    ],
    exits: ['10', '11', '13', '20', '21', '22', '23', '30', '130'],
  });
}

async function runRestore(session: Session, when: string, options: RestoreOptions): Promise<Outcome> {
  const { config, composed, context, output, ask } = session;
  const { operations, signal } = context;
  const moment = composed.moment(when);
  const database = await repositoryDatabase(session, options.database);
  const target = targetOf(session, database, options.to);
  const bindir = config.databases.find(({ name }) => name === database)?.bindir;
  const input: RestoreInput = {
    database,
    moment,
    target: target.settings,
    exactName: target.namesDatabase,
    jobs: options.jobs ?? config.restore.jobs ?? context.defaultJobs,
    // Commander's --no-owner sets `owner` to false; the configuration can only add to it.
    noOwner: !options.owner || config.restore.noOwner,
    noTablespaces: !options.tablespaces,
    createRoles: options.createRoles === true || config.restore.createRoles,
    compare: options.compare,
    tables: options.table ?? [],
    schemas: options.schema ?? [],
    ...(options.as === undefined ? {} : { as: options.as }),
    ...(bindir === undefined ? {} : { bindir }),
  };
  const deps = await composed.restoreDeps(output.progress.report, ask);
  if (options.dryRun === true) {
    const plan = await operations.planRestore(deps, input, signal);
    return outcome(plan, undefined, { timeZone: config.timeZone, colors: output.colors });
  }
  const agreed = isInteractive(context) ? await announce(session, deps, input, options.yes === true) : input;
  const result = await operations.restore(deps, agreed, signal);
  return outcome(result, result, { timeZone: config.timeZone, colors: output.colors });
}

/**
 * To a person, what is going to happen, before it does; then exactly that is done, also if a newer backup comes in
 * between. A fresh database takes nothing away from anybody and needs no question; roles belong to the whole server.
 */
async function announce(session: Session, deps: RestoreDeps, input: RestoreInput, yes: boolean): Promise<RestoreInput> {
  const { config, composed, context, output } = session;
  const plan = await context.operations.planRestore(deps, input, context.signal);
  const roles = plan.rolesToCreate.length === 0 ? '' : `, and creating the roles ${plan.rolesToCreate.join(', ')}`;
  const aside = plan.replacesEmpty ? '; the empty database of that name is renamed and kept' : '';
  output.notice(
    `restoring ${plan.manifest.id} (as of ${instantText(plan.manifest.snapshotInstant, config.timeZone)}) into a fresh database: ${plan.target}${aside}${roles}`,
  );
  if (roles !== '' && !yes) {
    output.progress.end();
    const answer = await confirm({ message: 'Roles are seen by every database of that server. Go on?', ...promptStreams(context) });
    if (answer !== true) throw new JetbackupError('interrupted', 'nothing was changed');
  }
  // A name that `as` gives must be free; that of `--to` may be an empty database's, which steps aside.
  return { ...input, moment: composed.moment(plan.manifest.id), ...(plan.replacesEmpty ? {} : { as: plan.database }) };
}

function targetOf(session: Session, database: string, to: string | undefined): { settings: Connection; namesDatabase: boolean } {
  const { config, composed, output } = session;
  const configured = config.databases.find(({ name }) => name === database);
  if (to !== undefined) {
    const passwords = passwordsIn(to);
    if (passwords.length > 0) {
      output.useRedactor(redactorOf(config, passwords));
      output.progress.report({
        type: 'warning',
        text: 'the password in --to can be seen by every user of this machine (ps), and stays in the shell’s history',
        hint: 'Leave it out, and set PGPASSWORD or keep it in ~/.pgpass.',
      });
    }
    return composed.target(new Secret(to), database);
  }
  if (configured !== undefined) return { settings: composed.connection(configured), namesDatabase: false };
  throw new JetbackupError('usage', `"${database}" is not configured here, so its server is not known`, {
    hint: 'Say where to restore to: --to postgres://user@host/name',
  });
}

function outcome(plan: RestorePlan, result: RestoreResult | undefined, view: { timeZone: string; colors: Colors }): Outcome {
  const { manifest } = plan;
  return {
    kind: result === undefined ? 'report' : 'done',
    document: {
      command: 'restore',
      dryRun: result === undefined,
      database: manifest.database,
      backup: manifest.id,
      snapshotInstant: manifest.snapshotInstant,
      target: plan.target,
      restoredDatabase: plan.database,
      rolesToCreate: [...plan.rolesToCreate],
      replacesEmpty: plan.replacesEmpty,
      dumpBytes: plan.dumpBytes,
      result:
        result === undefined
          ? null
          : {
              run: result.run.id,
              compared: result.compared,
              warnings: [...result.warnings],
              rtoSeconds: result.run.rtoSeconds,
              rpoSeconds: result.run.rpoSeconds,
              phases: result.run.phases,
            },
    },
    text: result === undefined ? planText(plan, view) : resultText(result, view),
  };
}

function planText(plan: RestorePlan, { timeZone, colors }: { timeZone: string; colors: Colors }): string {
  const fields = fieldsText(
    [
      ['backup', plan.manifest.id],
      ['as of', instantText(plan.manifest.snapshotInstant, timeZone)],
      ['into', plan.target],
      ['steps aside', plan.replacesEmpty ? 'the empty database of that name; it is renamed and kept' : undefined],
      ['roles to create', plan.rolesToCreate.join(', ')],
      ['to load', bytesText(plan.dumpBytes)],
    ],
    colors,
  );
  return `would restore into the fresh database ${colors.bold(plan.database)}:\n${fields}\nnothing was changed (--dry-run)`;
}

function resultText(result: RestoreResult, { timeZone, colors }: { timeZone: string; colors: Colors }): string {
  const { run, manifest } = result;
  const seconds = (value: number | null) => (value === null ? undefined : durationText(Math.max(0, value) * 1000));
  const fields = fieldsText(
    [
      ['backup', manifest.id],
      ['as of', instantText(manifest.snapshotInstant, timeZone)],
      ['into', result.target],
      ['compared', result.compared ? 'yes: equal to the backup’s fingerprint' : 'no'],
      ['time taken', seconds(run.rtoSeconds)],
      ['data age', seconds(run.rpoSeconds)],
      ['warnings', result.warnings.join('\n')],
    ],
    colors,
  );
  return `${colors.green('restored')} ${colors.bold(result.database)}\n${fields}`;
}
