import type { Progress, ProgressEvent } from '../core/progress.ts';
import type { Clock } from '../platform/clock.ts';
import { bytesText, type Colors, durationText } from './text.ts';

/** Renders an operation's progress. `tick` comes a few times a second from outside, so that a phase without news still shows its time. */
export interface ProgressView {
  readonly report: Progress;
  tick(): void;
  /** Removes what is drawn; the next text starts on a clean line. */
  end(): void;
}

interface Active {
  readonly text: string;
  readonly startedMs: number;
  bytes: number | undefined;
  totalBytes: number | undefined;
  /** (time, bytes) over the last WINDOW_MS, for a rate that follows changes without jumping. */
  samples: { readonly at: number; readonly bytes: number }[];
  loggedMs: number;
}

const WINDOW_MS = 10_000;
/** Shorter work than this needs no estimate; an estimate this early would be noise anyway. */
const ETA_AFTER_MS = 2_000;

function begin(event: Extract<ProgressEvent, { type: 'phase' }>, now: number): Active {
  return {
    text: event.text,
    startedMs: now,
    bytes: undefined,
    totalBytes: event.totalBytes,
    samples: [{ at: now, bytes: 0 }],
    loggedMs: now,
  };
}

function advance(active: Active, event: Extract<ProgressEvent, { type: 'bytes' }>, now: number): void {
  active.bytes = event.bytes;
  active.totalBytes = event.totalBytes ?? active.totalBytes;
  const last = active.samples.at(-1);
  // Progress comes with every chunk; a few samples a second are enough.
  if (last === undefined || now - last.at >= 250) active.samples.push({ at: now, bytes: event.bytes });
  while (active.samples.length > 2 && (active.samples[1]?.at ?? now) < now - WINDOW_MS) active.samples.shift();
}

function rateOf(active: Active, now: number): number | undefined {
  const first = active.samples[0];
  if (first === undefined || active.bytes === undefined || now - first.at < 500) return undefined;
  return ((active.bytes - first.bytes) / (now - first.at)) * 1000;
}

/** `1.2 GiB of about 4 GiB, 85 MiB/s, about 33s left`: each part only where it is known. */
export function describe(active: Active, now: number): string {
  const { bytes, totalBytes } = active;
  const parts: string[] = [];
  if (bytes !== undefined) {
    // An estimate that was overtaken is no news.
    parts.push(
      totalBytes !== undefined && totalBytes >= bytes ? `${bytesText(bytes)} of about ${bytesText(totalBytes)}` : bytesText(bytes),
    );
    const rate = rateOf(active, now);
    if (rate !== undefined && rate > 0) {
      parts.push(`${bytesText(Math.round(rate))}/s`);
      const leftMs = totalBytes === undefined ? 0 : ((totalBytes - bytes) / rate) * 1000;
      if (now - active.startedMs > ETA_AFTER_MS && leftMs > ETA_AFTER_MS)
        parts.push(`about ${durationText(Math.ceil(leftMs / 1000) * 1000)} left`);
    }
  }
  if (parts.length < 3 && now - active.startedMs >= 1000) parts.push(durationText(Math.floor((now - active.startedMs) / 1000) * 1000));
  return parts.join(', ');
}

function doneText(active: Active | undefined, event: Extract<ProgressEvent, { type: 'done' }>): string {
  const bytes = event.bytes === undefined ? '' : `${bytesText(event.bytes)} in `;
  const rate = event.bytes !== undefined && event.ms >= 1000 ? `, ${bytesText(Math.round((event.bytes / event.ms) * 1000))}/s` : '';
  return `${active?.text ?? event.phase}: ${bytes}${durationText(event.ms)}${rate}`;
}

/** Lines that stay, above one line per running phase that is drawn over and over. */
export function terminalProgress(options: {
  readonly write: (text: string) => void;
  readonly columns: () => number;
  readonly clock: Pick<Clock, 'monotonicMs'>;
  readonly colors: Colors;
}): ProgressView {
  const { write, columns, clock, colors } = options;
  const phases = new Map<string, Active>();
  let drawn = 0;
  let drawnMs = Number.NEGATIVE_INFINITY;
  const erase = (): string => (drawn === 0 ? '' : `\r${drawn > 1 ? `\u001b[${drawn - 1}A` : ''}\u001b[J`);
  const draw = (above = ''): void => {
    const now = clock.monotonicMs();
    const lines = [...phases.values()].map((active) => {
      const detail = describe(active, now);
      const room = Math.max(20, columns() - 1);
      const text = `${active.text}${detail === '' ? '' : `  ${detail}`}`;
      return text.length > room ? `${text.slice(0, room - 1)}…` : text;
    });
    write(`${erase()}${above}${lines.join('\n')}`);
    drawn = lines.length;
    drawnMs = now;
  };
  return {
    report(event) {
      const now = clock.monotonicMs();
      if (event.type === 'phase') {
        phases.set(event.phase, begin(event, now));
        draw();
      } else if (event.type === 'bytes') {
        const active = phases.get(event.phase);
        if (active !== undefined) advance(active, event, now);
        if (now - drawnMs >= 100) draw();
      } else if (event.type === 'done') {
        const active = phases.get(event.phase);
        phases.delete(event.phase);
        draw(`${colors.green('✓')} ${doneText(active, event)}\n`);
      } else if (event.type !== 'run') {
        draw(`${noticeText(event, colors)}\n`);
      }
    },
    tick() {
      if (phases.size > 0 && clock.monotonicMs() - drawnMs >= 100) draw();
    },
    end() {
      write(erase());
      drawn = 0;
      phases.clear();
    },
  };
}

const LINE_EVERY_MS = 10_000;

/** For logs: a line at the end of each phase, and one every 10 s while it runs. */
export function lineProgress(options: {
  readonly log: (level: 'info' | 'warn', text: string, fields?: Readonly<Record<string, string | number | undefined>>) => void;
  readonly clock: Pick<Clock, 'monotonicMs'>;
}): ProgressView {
  const { log, clock } = options;
  const phases = new Map<string, Active>();
  // On every line, so that what a collector cuts out of the middle still says whose it is.
  let of: Readonly<Record<string, string>> = {};
  const tick = (): void => {
    const now = clock.monotonicMs();
    for (const [phase, active] of phases) {
      if (now - active.loggedMs < LINE_EVERY_MS) continue;
      active.loggedMs = now;
      log('info', `${active.text}: ${describe(active, now)}`, { ...of, phase, bytes: active.bytes });
    }
  };
  return {
    report(event) {
      const now = clock.monotonicMs();
      if (event.type === 'phase') {
        phases.set(event.phase, begin(event, now));
      } else if (event.type === 'bytes') {
        const active = phases.get(event.phase);
        if (active !== undefined) advance(active, event, now);
        tick();
      } else if (event.type === 'done') {
        log('info', doneText(phases.get(event.phase), event), { ...of, phase: event.phase, ms: Math.round(event.ms), bytes: event.bytes });
        phases.delete(event.phase);
      } else if (event.type === 'run') {
        of = { run: event.id, operation: event.operation, database: event.database };
      } else {
        const hint = event.type === 'warning' && event.hint !== undefined ? `; ${event.hint}` : '';
        log(event.type === 'warning' ? 'warn' : 'info', `${event.text}${hint}`, of);
      }
    },
    tick,
    end() {
      phases.clear();
    },
  };
}

/** Nothing but warnings. */
export function quietProgress(write: (text: string) => void, colors: Colors): ProgressView {
  return {
    report: (event) => {
      if (event.type === 'warning') write(`${noticeText(event, colors)}\n`);
    },
    tick: () => {},
    end: () => {},
  };
}

export function noticeText(event: Extract<ProgressEvent, { type: 'note' | 'warning' }>, colors: Colors): string {
  if (event.type === 'note') return event.text;
  const hint = event.hint === undefined ? '' : `\n${colors.cyan('hint:')} ${event.hint}`;
  return `${colors.yellow('warning:')} ${event.text}${hint}`;
}
