/** A committed backup, as far as retention is concerned. Instants are epoch milliseconds, sizes are bytes. */
export interface RecoveryPoint {
  /** Sorts by time as text; decides between equal instants. */
  readonly id: string;
  /** Each database is planned for itself. */
  readonly database: string;
  /** The snapshot instant out of the signed manifest; where that cannot be read, the instant in the id. */
  readonly instant: number;
  /** `incomplete`: objects that its manifest names are missing or have another size. */
  readonly state: 'ok' | 'unreadable' | 'unknown-format' | 'incomplete';
  /** What its newest verification found. */
  readonly proof: 'proven' | 'failed' | 'unproven';
  /** Kept whatever the tiers say; with `until`, up to and including that instant. */
  readonly pin?: { readonly reason: string; readonly until?: number };
  /** Kept up to and including this instant. */
  readonly keepUntil?: number;
  /** What it occupies in the repository. */
  readonly bytes: number;
  /** Rows in all tables, and bytes of the artifacts before compression: what a collapse is seen by. */
  readonly rows?: number;
  readonly plainBytes?: number;
}

/** By time, then id. Instants that are none (NaN) come first, so that the order is total. */
export function comparePoints(a: RecoveryPoint, b: RecoveryPoint): number {
  const [one, other] = [sortable(a.instant), sortable(b.instant)];
  if (one !== other) return one < other ? -1 : 1;
  return compareText(a.id, b.id);
}

function sortable(instant: number): number {
  return Number.isNaN(instant) ? Number.NEGATIVE_INFINITY : instant;
}

/** By code units, so that no locale decides. */
export function compareText(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
