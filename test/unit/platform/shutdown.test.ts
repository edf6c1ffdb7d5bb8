import { EventEmitter } from 'node:events';
import { describe, expect, it } from 'vitest';
import { JetbackupError } from '../../../src/core/errors.ts';
import { createShutdown } from '../../../src/platform/shutdown.ts';

function start() {
  const source = new EventEmitter();
  const told: string[] = [];
  const forced: (readonly [number, NodeJS.Signals])[] = [];
  let now = 0;
  const shutdown = createShutdown({
    source,
    clock: { monotonicMs: () => now },
    onFirst: (signal) => void told.push(signal),
    force: (...how) => void forced.push(how),
  });
  return {
    shutdown,
    told,
    forced,
    source,
    press(signal: NodeJS.Signals, at: number) {
      now = at;
      source.emit(signal, signal);
    },
  };
}

describe('a signal', () => {
  it.each<[NodeJS.Signals, string, number]>([
    ['SIGINT', 'interrupted', 130],
    ['SIGTERM', 'terminated', 143],
    ['SIGHUP', 'terminated', 143],
  ])('%s asks everything to stop, as %s', (signal, code, exitCode) => {
    const { shutdown, press, told, forced } = start();
    press(signal, 0);
    expect(shutdown.signal.reason).toMatchObject({ code, exitCode });
    expect(told).toEqual([signal]);
    expect(forced).toEqual([]);
  });

  it('is told by whoever took that over, as long as they do', () => {
    const [first, second] = [start(), start()];
    const own: string[] = [];
    first.shutdown.tellBy((signal) => void own.push(signal));
    first.press('SIGTERM', 0);
    expect([own, first.told]).toEqual([['SIGTERM'], []]);
    second.shutdown.tellBy((signal) => void own.push(signal))[Symbol.dispose]();
    second.press('SIGINT', 0);
    expect([own, second.told]).toEqual([['SIGTERM'], ['SIGINT']]);
  });

  it('that comes again within half a second is the same keystroke, passed on by npm', () => {
    const { press, told, forced } = start();
    press('SIGINT', 0);
    press('SIGINT', 20);
    press('SIGTERM', 400);
    expect(told).toEqual(['SIGINT']);
    expect(forced).toEqual([]);
  });

  it('that comes again later ends the process at once', () => {
    const { press, forced } = start();
    press('SIGINT', 0);
    press('SIGINT', 2000);
    expect(forced).toEqual([[130, 'SIGINT']]);
  });

  it('is not needed where the output’s reader went away, and a later one still stops', () => {
    const { shutdown, press, told } = start();
    shutdown.abort(new JetbackupError('interrupted', 'the reader went away'));
    press('SIGTERM', 0);
    expect(shutdown.signal.reason).toMatchObject({ message: 'the reader went away' });
    expect(told).toEqual(['SIGTERM']);
  });

  it('is nobody’s business after the end', () => {
    const { shutdown, source } = start();
    shutdown[Symbol.dispose]();
    expect(source.listenerCount('SIGINT') + source.listenerCount('SIGTERM') + source.listenerCount('SIGHUP')).toBe(0);
  });
});
