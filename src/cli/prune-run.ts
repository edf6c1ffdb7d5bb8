import type { DatabaseConfig } from '../config/config.ts';
import type { PruneSummary } from './json-retention.ts';
import { freezeTexts, type PruneView, pruneSummary, pruneText } from './prune-result.ts';
import type { Session } from './session.ts';

/** Prunes these databases, or with `dryRun` says what that would do. Throws what the operation throws. */
export async function pruneDatabases(
  { config, composed, context, output }: Session,
  databases: readonly string[],
  dryRun: boolean,
): Promise<{ readonly summary: PruneSummary; readonly text: string }> {
  const input = composed.retentionInput(databases);
  const deps = await composed.pruneDeps(output.progress.report);
  const result = await context.operations.prune(deps, { ...input, dryRun }, context.signal);
  const view: PruneView = { input, dryRun, colors: output.colors, several: config.databases.length > 1 };
  // Where nobody reads the text, a cron line's mail still has to say that nothing is deleted any more.
  if (output.options.quiet || output.options.json) {
    for (const { text, hint } of freezeTexts(result, view)) output.progress.report({ type: 'warning', text, hint });
  }
  return { summary: pruneSummary(result, view), text: pruneText(result, view) };
}

/** What came of `backup --prune`. */
export interface PrunedAfter {
  readonly summary?: PruneSummary;
  readonly text?: string;
  readonly error?: unknown;
}

/** A backup that is there stays there, whatever becomes of the pruning: that is told, and ends with status 3. */
export async function pruneAfter(session: Session, databases: readonly DatabaseConfig[], failed: number): Promise<PrunedAfter> {
  const { context, output } = session;
  if (failed > 0) {
    output.notice('nothing was pruned, since not every backup succeeded');
    return {};
  }
  try {
    const names = databases.map(({ name }) => name);
    return await pruneDatabases(session, names, false);
  } catch (error) {
    if (context.signal.aborted) throw error;
    output.failure('pruning after the backup: ', error);
    return { error };
  }
}
