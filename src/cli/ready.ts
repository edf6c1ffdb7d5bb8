import type { RunRecord } from '../core/run-record.ts';
import type { Session } from './session.ts';

/**
 * Makes what a run needs. Where that cannot be had, such as a key whose file is gone, the run of each of these databases has failed
 * before it began: the records say so, by which `status` and the alarms go.
 */
export async function madeReady<T>(
  { context, composed, output }: Session,
  runs: { readonly operation: RunRecord['operation']; readonly databases: readonly string[] },
  make: () => Promise<T>,
): Promise<T> {
  try {
    return await make();
  } catch (error) {
    await context.operations.recordFailedStart(composed.runDeps(output.progress.report), runs, error, context.signal);
    throw error;
  }
}
