import type { Omission } from '../postgres/beside.ts';
import type { CanaryRow } from '../postgres/canary.ts';
import type { ExportedSnapshot } from '../postgres/snapshot.ts';
import type { Attempt } from './backup-attempt.ts';

export interface TakenSnapshot {
  readonly snapshot: ExportedSnapshot;
  /** The row that the snapshot is to show; undefined where none is wanted or none could be written. */
  readonly canary: CanaryRow | undefined;
  /** Why there is no row where one was wanted. */
  readonly omissions: readonly Omission[];
}

/** Takes the snapshot, with the canary in it where one is wanted. Throws what `exportSnapshot` throws. */
export async function takeSnapshot({ deps, input, run, signal }: Attempt, lockName: string): Promise<TakenSnapshot> {
  const { canary: table, connection, fingerprint, lockTimeoutMs } = input;
  if (table === undefined || fingerprint === 'off') {
    return { snapshot: await deps.source.exportSnapshot(connection, { lockName, signal }), canary: undefined, omissions: [] };
  }
  const row: CanaryRow = { schema: table.schema, table: table.table, backup: run.id };
  const omissions: Omission[] = [];
  const snapshot = await deps.source.exportSnapshot(connection, {
    lockName,
    signal,
    onLocked: async (settings) => {
      const omission = await deps.source.writeCanary(settings, { ...row, lockTimeoutMs }, signal);
      if (omission !== undefined) omissions.push(omission);
    },
  });
  return { snapshot, canary: omissions.length === 0 ? row : undefined, omissions };
}
