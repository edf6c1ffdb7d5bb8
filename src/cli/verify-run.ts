import type { Config } from '../config/config.ts';
import type { Profile } from '../core/verification.ts';
import type { VerifyDeps, VerifyInput, VerifyResult } from '../operations/verify.ts';
import type { Choice } from '../operations/verify-choice.ts';
import { madeReady } from './ready.ts';
import type { Session } from './session.ts';

export interface Verifying {
  /** Names in the repository. */
  readonly databases: readonly string[];
  readonly choice: Choice;
  readonly profile: Profile;
  readonly jobs: number;
}

/** What came of one backup; `backup` is null where it could not even be told which one was meant. */
export type Verified =
  | { readonly kind: 'told'; readonly database: string; readonly result: VerifyResult }
  | { readonly kind: 'untold'; readonly database: string; readonly backup: string | null; readonly error: unknown };

/** One backup after the other: a sandbox takes what the machine has. Only an interruption ends the row; that is thrown. */
export async function verifyEach(session: Session, deps: VerifyDeps, verifying: Verifying): Promise<readonly Verified[]> {
  const { composed, config, context, output } = session;
  const { operations, signal } = context;
  const done: Verified[] = [];
  const untold = (database: string, backup: string | null, error: unknown) => {
    if (signal.aborted) throw error;
    output.failure(`${database}${backup === null ? '' : ` ${backup}`}: `, error);
    done.push({ kind: 'untold', database, backup, error });
  };
  for (const database of verifying.databases) {
    let ids: readonly string[] = [];
    try {
      const retention = composed.retentionInput([database]);
      ids = await operations.chooseBackups(composed.listDeps(), { database, choice: verifying.choice, retention }, signal);
    } catch (error) {
      untold(database, null, error);
    }
    for (const id of ids) {
      output.notice(`verifying ${database} ${id}`);
      try {
        const result = await operations.verifyBackup(deps, inputFor(config, verifying, database, id), signal);
        done.push({ kind: 'told', database, result });
      } catch (error) {
        untold(database, id, error);
      }
    }
  }
  return done;
}

function inputFor(config: Config, { profile, jobs }: Verifying, database: string, id: string): VerifyInput {
  const configured = config.databases.find(({ name }) => name === database);
  const { queries, queryTimeoutMs, amcheckBytes, timeoutMs } = config.verify;
  return {
    ...{ database, id, profile, jobs, queryTimeoutMs, amcheckBytes, timeoutMs },
    queries: [...queries, ...(configured?.queries ?? [])],
    ...(configured?.bindir === undefined ? {} : { bindir: configured.bindir }),
  };
}

/** The backups that were made just now. A verification that cannot begin leaves them unproven, which is told, and not failed. */
export async function verifyAfter(
  session: Session,
  made: readonly { readonly database: string; readonly id: string }[],
): Promise<readonly Verified[]> {
  const { config, composed, context, output, ask } = session;
  const { verify, restore } = config;
  const done: Verified[] = [];
  for (const { database, id } of made) {
    try {
      const run = { operation: 'verify', databases: [database] } as const;
      const deps = await madeReady(session, run, () => composed.verifyDeps(output.progress.report, ask, undefined));
      const choice: Choice = { kind: 'moment', moment: { kind: 'id', id } };
      const jobs = restore.jobs ?? context.defaultJobs;
      done.push(...(await verifyEach(session, deps, { databases: [database], choice, profile: verify.profile, jobs })));
    } catch (error) {
      if (context.signal.aborted) throw error;
      output.failure(`${database} ${id}: `, error);
      done.push({ kind: 'untold', database, backup: id, error });
    }
  }
  return done;
}
