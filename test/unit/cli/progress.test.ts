import { describe, expect, it } from 'vitest';
import { lineProgress, type ProgressView, terminalProgress } from '../../../src/cli/progress.ts';
import { colorsFor } from '../../../src/cli/text.ts';

const plain = colorsFor({}, { NO_COLOR: '1' });
const MiB = 1024 * 1024;

/** A view on a clock that the test moves. */
function watch(make: (clock: { monotonicMs(): number }) => ProgressView): { view: ProgressView; at(ms: number): ProgressView } {
  let now = 0;
  const view = make({ monotonicMs: () => now });
  return {
    view,
    at(ms) {
      now = ms;
      return view;
    },
  };
}

/** What a terminal shows after these writes: only carriage return, cursor up and erase-below are understood. */
function screen(writes: readonly string[]): string[] {
  let lines = [''];
  let row = 0;
  let column = 0;
  const text = writes.join('');
  for (let index = 0; index < text.length; index += 1) {
    const rest = text.slice(index);
    const up = rest.startsWith('\u001b[') ? /^.\[(\d+)A/.exec(rest) : null;
    if (up !== null) {
      row -= Number(up[1]);
      index += up[0].length - 1;
    } else if (rest.startsWith('\u001b[J')) {
      lines = [...lines.slice(0, row), (lines[row] ?? '').slice(0, column)];
      index += 2;
    } else if (text[index] === '\r') {
      column = 0;
    } else if (text[index] === '\n') {
      row += 1;
      column = 0;
      lines[row] ??= '';
    } else {
      const line = lines[row] ?? '';
      lines[row] = line.slice(0, column) + text[index] + line.slice(column + 1);
      column += 1;
    }
  }
  return lines;
}

describe('progress on a terminal', () => {
  const start = (columns = 100) => {
    const writes: string[] = [];
    const watched = watch((clock) =>
      terminalProgress({ write: (text) => void writes.push(text), columns: () => columns, clock, colors: plain }),
    );
    return { ...watched, shown: () => screen(writes) };
  };

  it('is one line per running phase, drawn over, with bytes, rate and what is left', () => {
    const { at, shown } = start();
    at(0).report({ type: 'phase', phase: 'dump', text: 'dumping shop', totalBytes: 100 * MiB });
    for (let second = 1; second <= 5; second += 1) at(second * 1000).report({ type: 'bytes', phase: 'dump', bytes: second * 10 * MiB });
    expect(shown()).toEqual(['dumping shop  50 MiB of about 100 MiB, 10 MiB/s, about 5s left']);
  });

  it('estimates nothing in the first two seconds', () => {
    const { at, shown } = start();
    at(0).report({ type: 'phase', phase: 'dump', text: 'dumping', totalBytes: 1000 * MiB });
    at(1500).report({ type: 'bytes', phase: 'dump', bytes: 15 * MiB });
    expect(shown().join()).not.toContain('left');
  });

  it('claims no total that has been overtaken', () => {
    const { at, shown } = start();
    at(0).report({ type: 'phase', phase: 'dump', text: 'dumping', totalBytes: MiB });
    at(5000).report({ type: 'bytes', phase: 'dump', bytes: 2 * MiB });
    expect(shown()[0]).toMatch(/^dumping {2}2 MiB, 410 KiB\/s, 5s$/);
  });

  it('shows two phases at once, and leaves a line behind for each that is done', () => {
    const { at, view, shown } = start();
    at(0).report({ type: 'phase', phase: 'dump', text: 'dumping' });
    at(0).report({ type: 'phase', phase: 'fingerprint', text: 'fingerprinting' });
    at(3000).report({ type: 'done', phase: 'dump', ms: 3000, bytes: 30 * MiB });
    expect(shown()).toEqual(['✓ dumping: 30 MiB in 3s, 10 MiB/s', 'fingerprinting  3s']);
    at(3000).report({ type: 'warning', text: 'no rights to read role passwords', hint: 'Use a superuser.' });
    at(4000).tick();
    expect(shown().slice(1)).toEqual(['warning: no rights to read role passwords', 'hint: Use a superuser.', 'fingerprinting  4s']);
    view.end();
    expect(shown().slice(1)).toEqual(['warning: no rights to read role passwords', 'hint: Use a superuser.', '']);
  });

  it('never wraps, which would break the redrawing', () => {
    const { at, shown } = start(40);
    at(0).report({ type: 'phase', phase: 'dump', text: 'dumping a database with quite a long name indeed' });
    expect(shown()[0]?.length).toBe(39);
  });
});

describe('progress in a log', () => {
  it('is a line at the end of each phase, and one every ten seconds until then', () => {
    const lines: string[] = [];
    const { at } = watch((clock) => lineProgress({ log: (level, text) => void lines.push(`${level} ${text}`), clock }));
    at(0).report({ type: 'phase', phase: 'dump', text: 'dumping shop', totalBytes: 400 * MiB });
    for (let ms = 100; ms <= 25_000; ms += 100) at(ms).report({ type: 'bytes', phase: 'dump', bytes: (ms / 100) * MiB });
    at(25_000).report({ type: 'done', phase: 'dump', ms: 25_000, bytes: 250 * MiB });
    expect(lines).toEqual([
      'info dumping shop: 100 MiB of about 400 MiB, 10 MiB/s, about 30s left',
      'info dumping shop: 200 MiB of about 400 MiB, 10 MiB/s, about 20s left',
      'info dumping shop: 250 MiB in 25s, 10 MiB/s',
    ]);
  });

  it('goes on for a phase that has no bytes to tell of', () => {
    const lines: string[] = [];
    const { at } = watch((clock) => lineProgress({ log: (_, text) => void lines.push(text), clock }));
    at(0).report({ type: 'phase', phase: 'post-data', text: 'building indexes' });
    for (let ms = 0; ms <= 21_000; ms += 200) at(ms).tick();
    expect(lines).toEqual(['building indexes: 10s', 'building indexes: 20s']);
  });
});
