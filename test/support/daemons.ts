import * as z from 'zod';
import { type RunRecord, RunRecordSchema } from '../../src/core/run-record.ts';
import type { RunningCli } from './cli.ts';
import type { Installation, RepositoryFiles } from './installation.ts';
import { until } from './waiting.ts';

export const MINUTE_MS = 60_000;

const LineSchema = z.looseObject({
  level: z.string(),
  time: z.string(),
  msg: z.string(),
  job: z.string().optional(),
  run: z.string().optional(),
  database: z.string().optional(),
  phase: z.string().optional(),
});
export type LogLine = z.infer<typeof LineSchema>;

/** One `jetbackup daemon` and what it logs. */
export interface RunningDaemon {
  readonly run: RunningCli;
  /** Fails where something that it wrote is no line of JSON. */
  lines(): LogLine[];
  says(text: RegExp, timeoutMs?: number): Promise<void>;
  /** As systemd and an impatient person do. Gives the exit status, after it has ended. */
  stop(signal?: NodeJS.Signals): Promise<number | null>;
}

export async function startDaemon({ cli }: Installation, env: Readonly<Record<string, string>> = {}): Promise<RunningDaemon> {
  const run = cli.start(['daemon'], env);
  const daemon: RunningDaemon = {
    run,
    lines: () =>
      run
        .stderr()
        .split('\n')
        .slice(0, -1)
        .filter((line) => line !== '')
        .map((line) => LineSchema.parse(JSON.parse(line))),
    says: (text, timeoutMs) =>
      until(
        `the daemon says ${text}`,
        () => {
          if (run.child.exitCode !== null) throw new Error(`the daemon ended with ${run.child.exitCode}: ${run.stderr()}`);
          return text.test(run.stderr());
        },
        timeoutMs,
      ),
    async stop(signal = 'SIGTERM') {
      run.child.kill(signal);
      return (await run.ended).code;
    },
  };
  await daemon.says(/watches the schedules of/);
  return daemon;
}

/** All run records, oldest first. */
export async function runRecords(repository: RepositoryFiles): Promise<RunRecord[]> {
  const keys = (await repository.keys()).filter((key) => key.startsWith('runs/'));
  const records = await Promise.all(
    keys.map(async (key) => RunRecordSchema.parse(JSON.parse((await repository.read(key)).toString('utf8')))),
  );
  return records.sort((a, b) => Date.parse(a.startedAt) - Date.parse(b.startedAt));
}

/** What was made in one minute in which a backup was due. */
export interface Slot {
  /** Epoch ms. */
  readonly due: number;
  /** Ids with a manifest. */
  readonly backups: readonly string[];
  /** Records of backups that succeeded. */
  readonly runs: readonly string[];
}

const instantOf = (id: string): number => Date.parse(id.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z.*$/, '$1-$2-$3T$4:$5:$6Z'));

/** Each minute that begins in [from, to), epoch ms. */
export async function slotsOf(installation: Installation, from: number, to: number): Promise<Slot[]> {
  const [backups, records] = [await installation.committed(), await runRecords(installation.repository)];
  const succeeded = records.filter(({ operation, result }) => operation === 'backup' && result === 'succeeded');
  const slots: Slot[] = [];
  for (let due = Math.ceil(from / MINUTE_MS) * MINUTE_MS; due < to; due += MINUTE_MS) {
    const isIn = (at: number) => at >= due && at < due + MINUTE_MS;
    slots.push({
      due,
      backups: backups.filter((id) => isIn(instantOf(id))),
      runs: succeeded.filter(({ startedAt }) => isIn(Date.parse(startedAt))).map(({ id }) => id),
    });
  }
  return slots;
}

/** Runs of the same kind that were under way at the same time, by their records; what was killed leaves none. */
export function overlaps(records: readonly RunRecord[]): string[] {
  return records.flatMap((run, index) => {
    const before = records.slice(0, index).find((other) => other.operation === run.operation && other.finishedAt > run.startedAt);
    return before === undefined ? [] : [`${before.id} (until ${before.finishedAt}) and ${run.id} (from ${run.startedAt})`];
  });
}

/** Keys below leases/ that are no released lease, and more than one of a lease. */
export async function leasesLeft(repository: RepositoryFiles): Promise<string[]> {
  const keys = (await repository.keys()).filter((key) => key.startsWith('leases/'));
  const names = keys.map((key) => key.split('/')[1]);
  const left = await Promise.all(
    keys.map(async (key, index) => {
      const { released } = z
        .looseObject({ released: z.boolean().optional() })
        .parse(JSON.parse((await repository.read(key)).toString('utf8')));
      return released === true && names.indexOf(names[index]) === index ? [] : [key];
    }),
  );
  return left.flat();
}
