import type { Job } from './plan.ts';
import type { JobOutcome, SchedulerEvent } from './scheduler.ts';

export interface RunCount {
  readonly operation: Job['operation'];
  readonly result: JobOutcome['result'];
  readonly count: number;
}

/** Counts what ended since the process started, across reloads: a counter that begins anew would look like a restart. */
export interface RunCounter {
  note(event: SchedulerEvent): void;
  /** Also those that never happened yet, as 0: the first failure is an increase only from something that was there. */
  counts(): readonly RunCount[];
}

const operations = ['backup', 'verify', 'prune'] as const satisfies readonly Job['operation'][];
const results = ['succeeded', 'failed', 'interrupted'] as const satisfies readonly JobOutcome['result'][];

export function createRunCounter(): RunCounter {
  const counted = new Map(
    operations.flatMap((operation) => results.map((result) => [`${operation} ${result}`, { operation, result, count: 0 } as RunCount])),
  );
  return {
    note(event) {
      if (event.type !== 'finished') return;
      const { operation } = event.start.job;
      const { result } = event.outcome;
      const key = `${operation} ${result}`;
      counted.set(key, { operation, result, count: (counted.get(key)?.count ?? 0) + 1 });
    },
    counts: () => [...counted.values()],
  };
}
