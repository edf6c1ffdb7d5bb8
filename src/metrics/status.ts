import { Gauge, Registry } from 'prom-client';
import type { DatabaseStatus, StatusReport } from '../operations/status.ts';

type Labels = Readonly<Record<string, string>>;
interface Sample {
  readonly labels: Labels;
  readonly value: number;
}

/** What one gauge says of a database; `labels` beside `database`. */
interface Metric {
  readonly name: string;
  readonly help: string;
  readonly labels: readonly string[];
  samples(status: DatabaseStatus): readonly (readonly [labels: Labels, value: number | undefined])[];
}

/** A thing that never happened has the timestamp 0, so that whoever subtracts it from the time gets an alarm and not a gap. */
const NEVER = 0;
const one = (value: number | undefined) => [[{}, value]] as const;
const seconds = (ms: number | undefined) => (ms === undefined ? undefined : ms / 1000);

const metrics: readonly Metric[] = [
  {
    name: 'jetbackup_recovery_point_timestamp_seconds',
    help: 'Snapshot instant of the newest recovery point (proven="false": proven or not) and of the newest that a verification restored (proven="true"); 0 where there is none.',
    labels: ['proven'],
    samples: ({ newest, newestProven }) => [
      [{ proven: 'false' }, seconds(newest?.at.epochMilliseconds) ?? NEVER],
      [{ proven: 'true' }, seconds(newestProven?.at.epochMilliseconds) ?? NEVER],
    ],
  },
  {
    name: 'jetbackup_backup_last_success_timestamp_seconds',
    help: 'End of the newest backup run that succeeded; 0 where there is none.',
    labels: [],
    // A backup whose record could not be written is one all the same.
    samples: ({ history, newest }) => one(seconds((history.lastGoodBackup?.finishedAt ?? newest?.at)?.epochMilliseconds) ?? NEVER),
  },
  {
    name: 'jetbackup_backup_last_duration_seconds',
    help: 'Duration of the newest backup run that succeeded.',
    labels: [],
    samples: ({ history: { lastGoodBackup: last } }) =>
      one(last === undefined ? undefined : seconds(last.finishedAt.epochMilliseconds - last.startedAt.epochMilliseconds)),
  },
  {
    name: 'jetbackup_backup_last_size_bytes',
    help: 'Size of the newest recovery point: its dump before compression (stage="dump"), and everything that is stored for it (stage="stored").',
    labels: ['stage'],
    samples: ({ newestBytes }) => [
      [{ stage: 'dump' }, newestBytes?.dump],
      [{ stage: 'stored' }, newestBytes?.stored],
    ],
  },
  {
    name: 'jetbackup_rto_seconds',
    help: 'Time from the request to the first query after every check, as measured of the newest backup that was verified (phase="total"), and its phases. What was measured with the profile fast is less than an incident takes.',
    labels: ['phase', 'profile'],
    samples: ({ rto }) => {
      if (rto === undefined) return [];
      const { rtoSeconds, phases, profile } = rto.newest;
      const total = new Map([['total', rtoSeconds]]);
      for (const { phase, seconds: took } of phases) total.set(phase, (total.get(phase) ?? 0) + took);
      return [...total].map(([phase, value]) => [{ phase, profile: profile ?? 'none' }, value] as const);
    },
  },
  {
    name: 'jetbackup_rto_forecast_seconds',
    help: 'RTO that is expected for the size in so many days, and the bounds that one verification stays within with 95 % probability.',
    labels: ['days', 'bound'],
    samples: ({ forecast }) =>
      [...(forecast === undefined ? [] : [{ days: 0, ...forecast.now }]), ...(forecast?.projected ?? [])].flatMap((estimate) => {
        const days = String(estimate.days);
        return [
          [{ days, bound: 'lower' }, estimate.lowerSeconds] as const,
          [{ days, bound: 'expected' }, estimate.seconds] as const,
          [{ days, bound: 'upper' }, estimate.upperSeconds] as const,
        ];
      }),
  },
  {
    name: 'jetbackup_rto_objective_seconds',
    help: 'The configured objective for the RTO.',
    labels: [],
    samples: ({ objectives }) => one(seconds(objectives.rtoMs)),
  },
  {
    name: 'jetbackup_rpo_seconds',
    help: 'Age of the newest recovery point when this was written; +Inf where there is none.',
    labels: [],
    samples: ({ newest }) => one(newest?.ageSeconds ?? Number.POSITIVE_INFINITY),
  },
  {
    name: 'jetbackup_rpo_worst_gap_seconds',
    help: 'Longest time without a new recovery point, up to when this was written, of those that reach into the last 30 days; each counts in full. +Inf where no recovery point is known.',
    labels: [],
    samples: ({ worstGapSeconds }) => one(worstGapSeconds ?? Number.POSITIVE_INFINITY),
  },
  {
    name: 'jetbackup_rpo_objective_seconds',
    help: 'The configured objective for the RPO.',
    labels: [],
    samples: ({ objectives }) => one(seconds(objectives.rpoMs)),
  },
  {
    name: 'jetbackup_check_result',
    help: 'Checks of the newest verification that got to its end: 1 passed, 0 failed. Those that were skipped are not there.',
    labels: ['check'],
    samples: ({ history }) => {
      const ended = history.verifications.find(({ outcome }) => outcome !== null);
      // A check that looked at several things failed where it failed once.
      const results = new Map<string, number>();
      for (const { id, status } of ended?.checks ?? []) {
        if (status !== 'skip') results.set(id, Math.min(results.get(id) ?? 1, status === 'pass' ? 1 : 0));
      }
      return [...results].map(([check, value]) => [{ check }, value] as const);
    },
  },
  {
    name: 'jetbackup_retention_frozen',
    help: 'Whether a backup that collapsed keeps everything from being deleted: 1 or 0.',
    labels: [],
    samples: ({ frozenBy }) => one(frozenBy === undefined ? 0 : 1),
  },
  {
    name: 'jetbackup_repository_bytes',
    help: 'Bytes of everything that is stored for the database.',
    labels: [],
    samples: ({ storedBytes }) => one(storedBytes),
  },
];

/** A status in Prometheus's text format 0.0.4, for node_exporter's textfile collector or to be served. Ends with a newline. */
export async function statusMetrics({ databases }: StatusReport): Promise<string> {
  const registry = new Registry();
  for (const { name, help, labels, samples } of metrics) {
    const gauge = new Gauge({ name, help, labelNames: ['database', ...labels], registers: [registry] });
    for (const status of databases) {
      for (const { labels: own, value } of known(samples(status))) gauge.set({ database: status.database, ...own }, value);
    }
  }
  return await registry.metrics();
}

function known(samples: readonly (readonly [Labels, number | undefined])[]): Sample[] {
  return samples.flatMap(([labels, value]) => (value === undefined ? [] : [{ labels, value }]));
}
