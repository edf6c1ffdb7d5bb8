import { comparePoints, type RecoveryPoint } from './points.ts';

export interface CollapseOptions {
  /** Below this share of the median a figure has collapsed. */
  readonly ratio?: number;
  /** How many normal backups before it the median is taken of, at most. */
  readonly window?: number;
  /** With fewer normal backups before it nothing is said. */
  readonly minimumHistory?: number;
  /** Ids that an operator has looked at and found right. The newest of them is where the story begins. */
  readonly accepted?: ReadonlySet<string>;
}

export interface Collapse {
  /** The newest backup that has collapsed: accepting this one lifts the freeze. */
  readonly pointId: string;
  /** `size` is bytes before compression. */
  readonly figure: 'size' | 'rows';
  readonly value: number;
  /** Of the normal backups before it. */
  readonly median: number;
  /** One line for a person. */
  readonly why: string;
}

const figures = [
  { figure: 'rows', of: (point: RecoveryPoint) => point.rows, unit: 'rows' },
  { figure: 'size', of: (point: RecoveryPoint) => point.plainBytes, unit: 'bytes before compression' },
] as const;

/**
 * Whether the backups of one database hold one whose rows or size collapsed against the normal ones before it, and that
 * no operator has accepted. Only normal backups are measured against: otherwise seven empty ones would become the new
 * normal, lift the freeze by themselves, and push out the full ones. For the same reason a later backup that is normal
 * again does not lift it: the collapsed one still stands for its day, week and month.
 */
export function detectCollapse(points: readonly RecoveryPoint[], options: CollapseOptions = {}): Collapse | undefined {
  const { ratio = 0.5, window = 7, minimumHistory = 3, accepted = new Set<string>() } = options;
  const newestAccepted = [...accepted].reduce((newest, id) => (id > newest ? id : newest), '');
  // What was accepted may have been pruned since. Ids sort by time, so it still says where the new normal begins.
  const story = points.filter(({ id, state }) => state === 'ok' && id >= newestAccepted).sort(comparePoints);

  const normal: RecoveryPoint[] = [];
  let collapse: Collapse | undefined;
  for (const point of story) {
    const found = point.id === newestAccepted ? undefined : collapseOf(point, normal);
    if (found === undefined) normal.push(point);
    else collapse = found;
  }
  return collapse;

  function collapseOf(point: RecoveryPoint, before: readonly RecoveryPoint[]): Collapse | undefined {
    for (const { figure, of, unit } of figures) {
      const value = of(point);
      const history = before.filter((other) => of(other) !== undefined);
      // One that an operator vouched for is history enough.
      const enough = history.length >= minimumHistory || history.some(({ id }) => id === newestAccepted);
      if (value === undefined || !enough) continue;
      const median = medianOf(history.slice(-window).map((other) => of(other) ?? 0));
      if (value < ratio * median || (value === 0 && median > 0)) {
        return {
          pointId: point.id,
          figure,
          value,
          median,
          why: `${point.id} has ${value} ${unit}, the median of those before it is ${median}`,
        };
      }
    }
    return undefined;
  }
}

function medianOf(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const upper = sorted[Math.floor(sorted.length / 2)] ?? 0;
  const lower = sorted[Math.floor((sorted.length - 1) / 2)] ?? 0;
  return (lower + upper) / 2;
}
