import Table from 'cli-table3';
import { type LineResult, median, type Ratio, ratio } from './lines.ts';
import type { Measurement } from './measure.ts';

type Figure = (run: Measurement) => number | undefined;

const wall: Figure = (run) => run.wallMs;
const client: Figure = (run) => run.clientCpuMs;
const server: Figure = (run) => run.serverCpuMs;
const stored: Figure = (run) => run.storedBytes;
const own: Figure = (run) => run.ownPeakBytes;
const all: Figure = (run) => run.treePeakBytes;

const seconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`;
const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(0)} MB`;
export const times = (value: number) => `${value.toFixed(2)}×`;
export const withSpread = ({ median: middle, least, most }: Ratio) =>
  least === most ? times(middle) : `${times(middle)} (${least.toFixed(2)}–${most.toFixed(2)})`;

const columns: readonly { readonly name: string; readonly of: Figure; readonly show: (value: number) => string }[] = [
  { name: 'wall', of: wall, show: seconds },
  { name: 'CPU, client', of: client, show: seconds },
  { name: 'CPU, server', of: server, show: seconds },
  { name: 'stored', of: stored, show: megabytes },
  { name: 'peak, own', of: own, show: megabytes },
  { name: 'peak, all', of: all, show: megabytes },
];

const newTable = (head: string[]) =>
  new Table({
    head,
    style: { head: [], border: [], compact: true },
    colAligns: head.map((_, column) => (column === 0 ? 'left' : 'right')),
  });

/** Medians, each with its ratio to the model's, where there is one. */
export function figuresTable(heading: string, results: readonly LineResult[], model?: LineResult): string {
  const shown = columns.filter(({ of }) => results.some(({ runs }) => runs.some((run) => of(run) !== undefined)));
  const table = newTable([heading, ...shown.flatMap(({ name }) => (model === undefined ? [name] : [name, '×']))]);
  for (const line of results) {
    if (line.failure !== undefined) {
      table.push([
        line.title,
        {
          content: `FAILED: ${line.failure.split('\n')[0]?.slice(0, 100)}`,
          colSpan: shown.length * (model === undefined ? 1 : 2),
          hAlign: 'left',
        },
      ]);
      continue;
    }
    const cells = shown.flatMap(({ of, show }) => {
      const values = line.runs.flatMap((run) => of(run) ?? []);
      const against = ratio(line, model, of);
      const figure = values.length === 0 ? '' : show(median(values));
      return model === undefined ? [figure] : [figure, against?.median.toFixed(2) ?? ''];
    });
    table.push([line.title, ...cells]);
  }
  return table.toString();
}

/** Wall time of each of jetbackup's lines as a ratio to each rival's, run against run of the same round. Empty where either are missing. */
export function rivalsTable(heading: string, results: readonly LineResult[]): string {
  const ours = results.filter(({ id, runs }) => id.includes('jetbackup') && runs.length > 0);
  const rivals = results.filter(({ id, runs }) => !id.includes('jetbackup') && runs.length > 0);
  if (ours.length === 0 || rivals.length === 0) return '';
  const table = newTable([heading, ...ours.map(({ title }) => title.replace(/^jetbackup /, '').replaceAll(', ', '\n'))]);
  for (const rival of rivals) {
    table.push([
      rival.title,
      ...ours.map((line) => {
        const against = ratio(line, rival, wall);
        return against === undefined ? '' : times(against.median);
      }),
    ]);
  }
  return table.toString();
}

/** Where jetbackup's time goes, by its own run records: medians of each phase. */
export function phasesText(results: readonly LineResult[]): string {
  return results
    .flatMap(({ title, runs }) => {
      const names = [...new Set(runs.flatMap((run) => run.phases?.map(({ phase }) => phase) ?? []))];
      if (names.length === 0) return [];
      const shares = names.map((name) => {
        const values = runs.map((run) => (run.phases ?? []).filter(({ phase }) => phase === name).reduce((sum, { ms }) => sum + ms, 0));
        return `${name} ${seconds(median(values))}`;
      });
      return [`  ${title}: ${shares.join(', ')}`];
    })
    .join('\n');
}
