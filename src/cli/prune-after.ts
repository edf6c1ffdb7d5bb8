import type { DatabaseConfig } from '../config/config.ts';
import type { PruneSummary } from './json-retention.ts';
import { pruneSummary, pruneText } from './prune-result.ts';
import type { Session } from './session.ts';

/** What came of --prune. */
export interface PrunedAfter {
  readonly summary?: PruneSummary;
  readonly text?: readonly string[];
  readonly error?: unknown;
}

/** A backup that is there stays there, whatever becomes of the pruning: that is told, and ends with status 3. */
export async function pruneAfter(
  { config, composed, context, output }: Session,
  databases: readonly DatabaseConfig[],
  failed: number,
): Promise<PrunedAfter> {
  if (failed > 0) {
    output.notice('nothing was pruned, since not every backup succeeded');
    return {};
  }
  try {
    const input = composed.retentionInput(databases.map(({ name }) => name));
    const deps = await composed.pruneDeps(output.progress.report);
    const result = await context.operations.prune(deps, { ...input, dryRun: false }, context.signal);
    const view = { input, dryRun: false, colors: output.colors, several: config.databases.length > 1 };
    return { summary: pruneSummary(result, view), text: [pruneText(result, view)] };
  } catch (error) {
    if (context.signal.aborted) throw error;
    output.failure('pruning after the backup: ', error);
    return { error };
  }
}
