import Table from 'cli-table3';
import picocolors from 'picocolors';
import prettyBytes from 'pretty-bytes';
import prettyMs from 'pretty-ms';
import { Temporal } from 'temporal-polyfill';

export type Colors = ReturnType<typeof picocolors.createColors>;

/** NO_COLOR (no-color.org): set and not empty means none, also on a terminal. FORCE_COLOR is for logs that keep colours. */
export function colorsFor(stream: { readonly isTTY?: boolean }, env: Readonly<Record<string, string | undefined>>): Colors {
  if ((env['NO_COLOR'] ?? '') !== '' || env['TERM'] === 'dumb') return picocolors.createColors(false);
  const forced = (env['FORCE_COLOR'] ?? '') !== '' && env['FORCE_COLOR'] !== '0';
  return picocolors.createColors(forced || stream.isTTY === true);
}

/** 1024-based, as pg_size_pretty counts, but with the unambiguous names. */
export function bytesText(bytes: number): string {
  return prettyBytes(bytes, { binary: true });
}

export function durationText(ms: number): string {
  return prettyMs(ms, { secondsDecimalDigits: ms < 10_000 ? 1 : 0, unitCount: 2 });
}

export function countText(count: number): string {
  return count.toLocaleString('en-US');
}

/** `1 table`, `1,204 tables`. */
export function counted(count: number, noun: string): string {
  return `${countText(count)} ${noun}${count === 1 ? '' : 's'}`;
}

/** `2026-11-20 02:00:03+01:00`: local time with its offset, so that it says the same to everybody. */
export function instantText(instant: string, timeZone: string): string {
  const zoned = Temporal.Instant.from(instant).toZonedDateTimeISO(timeZone);
  return zoned.toString({ smallestUnit: 'second', timeZoneName: 'never' }).replace('T', ' ');
}

/** Without what could steer a terminal, of words that anybody may have written. */
export function printable(text: string): string {
  return text.replaceAll(/\p{C}/gu, '?');
}

const none = '';
const bare = {
  top: none,
  'top-mid': none,
  'top-left': none,
  'top-right': none,
  bottom: none,
  'bottom-mid': none,
  'bottom-left': none,
  'bottom-right': none,
  left: none,
  'left-mid': none,
  mid: none,
  'mid-mid': none,
  right: none,
  'right-mid': none,
  middle: '  ',
};

export interface Column {
  readonly title: string;
  readonly align?: 'left' | 'right';
}

/** A table without lines, so that it can be read by eye and by awk. */
export function tableText(columns: readonly Column[], rows: readonly (readonly string[])[], colors: Colors): string {
  const table = new Table({
    chars: bare,
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
    head: columns.map(({ title }) => colors.bold(title)),
    colAligns: columns.map(({ align }) => align ?? 'left'),
  });
  table.push(...rows.map((row) => [...row]));
  return table
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');
}

/** `name  value` lines with the values under each other; entries without a value are left out. */
export function fieldsText(fields: readonly (readonly [name: string, value: string | undefined])[], colors: Colors): string {
  const shown = fields.flatMap(([name, value]) => (value === undefined || value === '' ? [] : [{ name, value }]));
  const width = Math.max(0, ...shown.map(({ name }) => name.length));
  return shown
    .map(({ name, value }) => `${colors.dim(name.padEnd(width))}  ${value.replaceAll('\n', `\n${' '.repeat(width + 2)}`)}`)
    .join('\n');
}
