import { type MeasuredCommand, type Measurement, measure, type Surroundings } from './measure.ts';

/** One line of a table: a way to make or to restore a backup. */
export interface Line {
  readonly id: string;
  readonly title: string;
  /** Makes ready what the line needs, anew for each run; its time is not counted. */
  prepare(): Promise<MeasuredCommand>;
  /** Looks at what a run brought about and cleans up after it; not counted either. Throws where the result is not right. */
  finish?(run: { readonly measurement: Measurement; readonly stdout: string }): Promise<Partial<Measurement>>;
}

export interface LineResult {
  readonly id: string;
  readonly title: string;
  /** In the order of the rounds. Empty where the line failed. */
  readonly runs: readonly Measurement[];
  readonly failure?: string;
}

/** Says what goes on to whoever waits. */
export type Say = (text: string) => void;

/**
 * Runs all lines once, then all once more, …: ABCABC, so that a machine that grows slower or faster meanwhile does so
 * for all of them, and runs of one round can be compared with each other. The first line runs once before all rounds
 * without being counted, or it alone would pay for cold caches and for WAL files that later ones find ready.
 * A line that fails is not run again. Where `rounds` gives some lines more of them, the last rounds have only those. `enter` is called before a line is made ready, `before` right before it is measured.
 */
export async function runRounds(
  lines: readonly Line[],
  rounds: (line: Line) => number,
  surroundings: Surroundings & { enter(line: Line): Promise<void>; before(): Promise<void> },
  say: Say,
): Promise<readonly LineResult[]> {
  const runs = new Map<string, Measurement[]>();
  const failures = new Map<string, string>();
  const most = Math.max(0, ...lines.map(rounds));
  for (let round = 0; round <= most; round += 1) {
    for (const line of round === 0 ? lines.slice(0, 1) : lines) {
      if (failures.has(line.id) || round > rounds(line)) continue;
      const place = round === 0 ? 'warm-up' : `${round}/${rounds(line)}`.padStart(7);
      try {
        await surroundings.enter(line);
        const command = await line.prepare();
        await surroundings.before();
        const run = await measure(command, surroundings);
        const measurement = { ...run.measurement, ...(await line.finish?.(run)) };
        if (round > 0) runs.set(line.id, [...(runs.get(line.id) ?? []), measurement]);
        say(`  ${place}  ${(measurement.wallMs / 1000).toFixed(1).padStart(6)} s  ${line.title}`);
      } catch (error) {
        surroundings.signal.throwIfAborted();
        const failure = error instanceof Error ? error.message : String(error);
        failures.set(line.id, failure);
        say(`  ${place}   FAILED   ${line.title}\n${failure.replaceAll(/^/gm, '            ')}`);
      }
    }
  }
  return lines.map(({ id, title }) => {
    const failure = failures.get(id);
    return failure === undefined ? { id, title, runs: runs.get(id) ?? [] } : { id, title, runs: [], failure };
  });
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

export interface Ratio {
  readonly median: number;
  readonly least: number;
  readonly most: number;
}

/** Each run against the other line's run of the same round; undefined where either line has none. */
export function ratio(
  line: LineResult | undefined,
  to: LineResult | undefined,
  of: (run: Measurement) => number | undefined,
): Ratio | undefined {
  const ratios = (line?.runs ?? []).flatMap((run, round) => {
    const other = to?.runs[round];
    const [a, b] = [of(run), other === undefined ? undefined : of(other)];
    return a === undefined || b === undefined || b === 0 ? [] : [a / b];
  });
  if (ratios.length === 0) return undefined;
  return { median: median(ratios), least: Math.min(...ratios), most: Math.max(...ratios) };
}
