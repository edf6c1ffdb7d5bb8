import Table from 'cli-table3';
import { type LineResult, ratio } from './lines.ts';
import type { Measurement } from './measure.ts';
import { times, withSpread } from './table.ts';

export interface Verdict {
  readonly target: string;
  /** For a person; says why where nothing was measured. */
  readonly measured: string;
  readonly result: 'met' | 'missed' | 'not measured';
}

/** jetbackup's own process, bytes. */
const MEMORY_LIMIT = 256e6;
/** How much more memory the large database may take than the small one. */
const MEMORY_GROWTH_LIMIT = 1.2;

const wallTargets: readonly { readonly text: string; readonly line: string; readonly to: string; readonly limit: number }[] = [
  { text: 'backup with gzip / pg_dump | gzip', line: 'jetbackup-gzip', to: 'model', limit: 0.7 },
  { text: 'backup with zstd / pg_dump | gzip', line: 'jetbackup-zstd', to: 'model', limit: 0.5 },
  { text: 'backup with zstd / pg_dump -Fc -Z0 > /dev/null', line: 'jetbackup-zstd', to: 'uncompressed', limit: 1.25 },
  { text: 'restore (gzip) / gunzip | psql', line: 'restore-jetbackup-gzip', to: 'restore-model', limit: 1 },
  { text: 'restore (gzip) / pg_restore -j2 from -Fd', line: 'restore-jetbackup-gzip', to: 'restore-directory', limit: 1.15 },
  {
    text: 'restore (gzip) / the same and ANALYZE, as jetbackup does',
    line: 'restore-jetbackup-gzip',
    to: 'restore-directory-analyzed',
    limit: 1.15,
  },
];

/** Lines that a target of wall time is about. */
export const judgedLines: ReadonlySet<string> = new Set(wallTargets.flatMap(({ line, to }) => [line, to]));

/** The targets over the medians of the ratios within each round. */
export function judgeTimes(results: readonly LineResult[]): readonly Verdict[] {
  const byId = new Map(results.map((line) => [line.id, line]));
  return wallTargets
    .filter(({ line, to }) => byId.has(line) && byId.has(to))
    .map(({ text, line, to, limit }) => {
      const found = ratio(byId.get(line), byId.get(to), (run) => run.wallMs);
      return {
        target: `wall time, ${text}: at most ${times(limit)}`,
        measured: found === undefined ? 'a line failed' : withSpread(found),
        result: found === undefined ? 'not measured' : verdictOf(found.median <= limit),
      };
    });
}

const overheads: readonly { readonly text: string; readonly line: string; readonly to: string }[] = [
  { text: 'backup: fingerprint of every row, over none', line: 'jetbackup-gzip-content', to: 'jetbackup-gzip' },
  { text: 'backup: fingerprint of counts, over none', line: 'jetbackup-gzip-counts', to: 'jetbackup-gzip' },
  { text: 'restore: compared, over a bare restore', line: 'restore-jetbackup-gzip-content', to: 'restore-jetbackup-gzip' },
  { text: 'verify on the same server, over a bare restore', line: 'verify-jetbackup-server', to: 'restore-jetbackup-gzip' },
  { text: 'verify in a local sandbox, over a bare restore', line: 'verify-jetbackup-local', to: 'restore-jetbackup-gzip' },
];

/** What proof costs, as ratios of wall time; for nobody to miss. */
export function overheadText(results: readonly LineResult[]): string {
  const byId = new Map(results.map((line) => [line.id, line]));
  return overheads
    .flatMap(({ text, line, to }) => {
      const found = ratio(byId.get(line), byId.get(to), (run) => run.wallMs);
      return found === undefined ? [] : [`  ${text}: ${withSpread(found)}`];
    })
    .join('\n');
}

/** How far runs of one line lie apart: the longest over the shortest, less one. Undefined of fewer than two. */
function apart(values: readonly number[]): number | undefined {
  return values.length < 2 ? undefined : Math.max(...values) / Math.min(...values) - 1;
}

/**
 * Whether the same backup verified again has the same RTO, as far as this machine does the same twice: its noise is what stock
 * restores of the same rounds lie apart, the largest of them.
 */
export function judgeNoise(results: readonly LineResult[]): readonly Verdict[] {
  const stock = results.filter(({ id }) => id.startsWith('restore-') && !id.includes('jetbackup'));
  // The more runs, the farther apart: of lines that had more rounds only as many count.
  const noiseOf = (rounds: number) =>
    stock
      .flatMap(({ title, runs }) => {
        const share = apart(runs.slice(0, rounds).map(({ wallMs }) => wallMs));
        return share === undefined ? [] : [{ title, share }];
      })
      .toSorted((a, b) => a.share - b.share)
      .at(-1);
  const percent = (share: number) => `${(share * 100).toFixed(1)} %`;
  return results
    .filter(({ id }) => id.startsWith('verify-'))
    .flatMap(({ title, runs }) => {
      const rtos = runs.flatMap(({ rtoMs }) => rtoMs ?? []);
      const share = apart(rtos);
      const noise = noiseOf(runs.length);
      if (share === undefined || noise === undefined) return [];
      const shown = rtos.map((ms) => `${(ms / 1000).toFixed(1)} s`).join(', ');
      return {
        target: `RTO of the same backup, ${title}: apart by no more than the machine's noise`,
        measured: `${percent(share)} (${shown}); noise ${percent(noise.share)} (${noise.title})`,
        result: verdictOf(share <= noise.share),
      };
    });
}

/** Scratch files that are named. */
const SHOWN = 10;

/** Memory and scratch files over all of jetbackup's own runs: the worst of them counts, not the median. */
export function judgeResources(results: readonly LineResult[]): readonly Verdict[] {
  const ours = results.filter(({ id, runs }) => id.includes('jetbackup') && runs.length > 0);
  const worst = ours
    .flatMap(({ title, runs }) => runs.map((run) => ({ title, peak: run.ownPeakBytes })))
    .toSorted((a, b) => a.peak - b.peak)
    .at(-1);
  if (worst === undefined) return [];
  const scratch = new Set(
    ours.flatMap(({ title, runs }) => runs.flatMap((run) => run.scratch.map(({ path, bytes }) => `${path}, ${bytes} bytes (${title})`))),
  );
  const more = scratch.size > SHOWN ? [`and ${scratch.size - SHOWN} more`] : [];
  return [
    {
      target: `peak memory of jetbackup's own process: under ${MEMORY_LIMIT / 1e6} MB`,
      measured: `${(worst.peak / 1e6).toFixed(0)} MB (${worst.title})`,
      result: verdictOf(worst.peak < MEMORY_LIMIT),
    },
    {
      target: 'scratch files of more than 1 MiB: none',
      measured: scratch.size === 0 ? 'none' : [...[...scratch].slice(0, SHOWN), ...more].join('\n'),
      result: verdictOf(scratch.size === 0),
    },
  ];
}

/** Whether memory grows with the database: pairs of the same line over the small and over the large one. */
export function judgeGrowth(
  pairs: readonly { readonly title: string; readonly small: readonly Measurement[]; readonly large: readonly Measurement[] }[],
  sizes: { readonly small: number; readonly large: number },
): readonly Verdict[] {
  const most = (runs: readonly Measurement[]) => Math.max(...runs.map((run) => run.ownPeakBytes));
  return pairs.map(({ title, small, large }) => {
    const target = `own peak memory, ${title}, ${sizes.large} MB / ${sizes.small} MB: at most ${times(MEMORY_GROWTH_LIMIT)}`;
    if (small.length === 0 || large.length === 0) return { target, measured: 'a line failed', result: 'not measured' };
    const [few, many] = [most(small), most(large)];
    return {
      target,
      measured: `${times(many / few)} (${(few / 1e6).toFixed(0)} MB, ${(many / 1e6).toFixed(0)} MB)`,
      result: verdictOf(many / few <= MEMORY_GROWTH_LIMIT),
    };
  });
}

function verdictOf(met: boolean): Verdict['result'] {
  return met ? 'met' : 'missed';
}

export function verdictTable(verdicts: readonly Verdict[]): string {
  const table = new Table({ head: ['target', 'measured', ''], style: { head: [], border: [] } });
  for (const { target, measured, result } of verdicts) table.push([target, measured, result === 'met' ? 'met' : result.toUpperCase()]);
  return table.toString();
}
