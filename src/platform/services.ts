import type { ChildProcess } from 'node:child_process';
import { type Command, cannotStart, spawnChild } from './processes.ts';

/** A program that serves until it is told to stop. Its stdout goes nowhere. */
export interface ServiceCommand extends Omit<Command, 'bulk'> {
  /** What ends it without further help, and the ms that it gets for that before SIGKILL. */
  readonly stop: { readonly signal: NodeJS.Signals; readonly graceMs: number };
}

export interface ServiceEnd {
  /** In words: `exited with status 1`, `was killed by SIGKILL`. */
  readonly how: string;
  /** The last 4 KiB that it wrote to stderr. */
  readonly lastWords: string;
}

export interface Service {
  readonly pid: number;
  /** Undefined while it lives. */
  end(): ServiceEnd | undefined;
  /** Settles once it is gone and its last words are read; never rejects. */
  readonly ended: Promise<ServiceEnd>;
  /** Resolves once it is gone; at once where it is already. */
  stop(): Promise<void>;
}

/** Starts children that outlive the call, each in a process group of its own: Ctrl-C at the terminal reaches jetbackup alone. */
export interface ServiceRunner {
  /** Resolves once the program runs, which says nothing about whether it serves yet. Throws `tools-missing`. */
  start(command: ServiceCommand): Promise<Service>;
}

/** A runner that knows which of its services live. */
export interface OwnedServiceRunner extends ServiceRunner {
  /**
   * The stop signal to all that live, at once and without waiting: the last act before a forced exit. Not SIGKILL, which a
   * server's own children would outlive.
   */
  abandon(): void;
}

/** Characters of stderr that are kept. */
const LAST_WORDS = 4096;
/** ms that stderr may stay open after the end: children of the service may hold it. */
const LAST_WORDS_MS = 500;

interface Running extends Service {
  readonly stopSignal: NodeJS.Signals;
  send(signal: NodeJS.Signals): void;
}

function running(child: ChildProcess, pid: number, { stop, onStderr }: ServiceCommand): Running {
  let words = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    words = (words + text).slice(-LAST_WORDS);
    onStderr?.(text);
  });
  let how: string | undefined;
  const end = (): ServiceEnd | undefined => (how === undefined ? undefined : { how, lastWords: words.trim() });
  const ended = new Promise<ServiceEnd>((resolve) => {
    child.once('exit', (code, signal) => {
      how = signal === null ? `exited with status ${code}` : `was killed by ${signal}`;
      const timer = setTimeout(() => child.stderr?.destroy(), LAST_WORDS_MS);
      child.once('close', () => {
        clearTimeout(timer);
        resolve({ how: how ?? '', lastWords: words.trim() });
      });
    });
  });
  const send = (signal: NodeJS.Signals): void => {
    // Not later: the number of a group that is gone may become another's.
    if (how !== undefined) return;
    try {
      process.kill(-pid, signal);
    } catch {
      // ESRCH: it is gone, and we are about to hear of it.
    }
  };
  return {
    ...{ pid, end, ended, send, stopSignal: stop.signal },
    async stop() {
      send(stop.signal);
      const timer = setTimeout(() => send('SIGKILL'), stop.graceMs);
      await ended;
      clearTimeout(timer);
    },
  };
}

export function createServiceRunner(): OwnedServiceRunner {
  const living = new Set<Running>();
  return {
    abandon() {
      for (const { send, stopSignal } of living) send(stopSignal);
    },
    async start(command) {
      const child = spawnChild(command, ['ignore', 'ignore', 'pipe']);
      const { pid } = child;
      if (pid === undefined) throw cannotStart(command, await new Promise<Error>((resolve) => child.once('error', resolve)));
      child.on('error', () => {}); // A signal that cannot be sent; whether it is gone, its end tells.
      const service = running(child, pid, command);
      living.add(service);
      void service.ended.then(() => living.delete(service));
      return service;
    },
  };
}
