import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import type { Writable } from 'node:stream';
import type { ByteStream } from '../core/bytes.ts';
import { JetbackupError, messageOf } from '../core/errors.ts';
import { readAhead } from './read-ahead.ts';
import { giveWay } from './scheduling.ts';

/** Of the operating system, by number. */
export interface Account {
  readonly uid: number;
  readonly gid: number;
}

export interface Command {
  /** Absolute path or a name to look up in PATH. */
  readonly program: string;
  /** Never a shell, never a secret: any user of the machine can read argv. */
  readonly args: readonly string[];
  /** The whole environment of the child; nothing is inherited. */
  readonly env: Readonly<Record<string, string>>;
  /** Working directory. Default: ours. */
  readonly directory?: string;
  /** Runs as this account, without supplementary groups; only root may. Default: ours. */
  readonly account?: Account;
  /**
   * Whether many bytes in small portions go through its stdout (`output`) or stdin (`consume`). Then its C library's 4 KiB
   * buffers become large ones, where `stdbuf` is to be had: of a dump's time on two cores, 5 to 10 % was spent on handing it
   * over 4 KiB at a time. `program` must be an absolute path. While a child's stdout is read in bulk, this process and what it starts
   * give way to others (scheduling.ts).
   */
  readonly bulk?: boolean;
  /** Told all that the child writes to stderr, as it comes, in pieces that end anywhere; must not throw. */
  readonly onStderr?: (text: string) => void;
}

/** A child that did not end with status 0. Callers classify it by `stderr`; it never leaves the postgres/ adapters. */
export class ProcessFailed extends Error {
  readonly program: string;
  readonly exitCode: number | null;
  readonly killedBy: NodeJS.Signals | null;
  /** What it wrote to stderr; of a lot, the first and the last 16 KiB. */
  readonly stderr: string;

  constructor(command: Command, exitCode: number | null, killedBy: NodeJS.Signals | null, stderr: string) {
    const how = killedBy === null ? `exited with status ${exitCode}` : `was killed by ${killedBy}`;
    super(`${command.program.split('/').at(-1) ?? command.program} ${how}${tellingLine(stderr)}`);
    this.name = 'ProcessFailed';
    this.program = command.program;
    this.exitCode = exitCode;
    this.killedBy = killedBy;
    this.stderr = stderr;
  }
}

/** The first error, else the last line: what follows an error may be a whole statement, passwords included. */
function tellingLine(stderr: string): string {
  const lines = stderr.trim().split('\n');
  const line = lines.find((candidate) => /(?:^|: )(?:error|fatal): /i.test(candidate)) ?? lines.at(-1) ?? '';
  return line === '' ? '' : `: ${line}`;
}

/**
 * Runs child processes. Each child leads a process group of its own, so that a stop reaches its workers too
 * (pg_restore --jobs) and Ctrl-C at the terminal reaches jetbackup alone, which then stops them in order.
 * On abort: SIGTERM to the group, SIGKILL after a grace of 5 s; the promise settles only once the child is gone.
 */
export interface ProcessRunner {
  /** The child's stdout. The last chunk is followed by the normal end only after exit 0; else throws ProcessFailed. */
  output(command: Command, signal?: AbortSignal): ByteStream;
  /**
   * Feeds the child's stdin and waits for it. A child that exits 0 without reading everything is well
   * (pg_restore needs only the table of contents for some sections). If `stdin` throws, the child is stopped
   * and that error is rethrown. stdout is discarded.
   */
  consume(command: Command, stdin: ByteStream, signal?: AbortSignal): Promise<void>;
}

/** A runner that knows which of its children live. */
export interface OwnedProcessRunner extends ProcessRunner {
  /**
   * SIGKILL to every group that still lives, at once and without waiting: the last act before a forced exit. Groups of
   * their own outlive their parent, and pg_restore --jobs would go on for hours.
   */
  abandon(): void;
}

/** Characters kept of either end of stderr: the first error says why, the last words how it ended, and a long statement lies between. */
const STDERR_END = 16 * 1024;
/** ms between asking a child to stop and making it. */
const STOP_GRACE_MS = 5_000;
/** Bytes that may wait for a child to read them: the pipeline works on while the child does. */
const INPUT_AHEAD_BYTES = 1024 * 1024;
/** Part of coreutils. It sets the buffers and then becomes the program itself: same process, same exit status. */
const STDBUF = '/usr/bin/stdbuf';
const BULK_BUFFERS = ['-i', '1M', '-o', '1M'];

interface Running {
  readonly child: ChildProcess;
  /** To the whole group. A group that is gone is what was wanted. */
  send(signal: NodeJS.Signals): void;
  /** Resolves (never rejects) when the child is gone and its stderr is read. */
  readonly ended: Promise<{ error?: Error; code: number | null; signal: NodeJS.Signals | null; stderr: string }>;
  stop(): Promise<void>;
}

/**
 * Starts a child as all of ours are: in a process group of its own, with its own environment. Most errors of starting come as the
 * event `error`; those that Node throws at once (no memory, not allowed, more arguments than the system takes) are `tools-missing`.
 * `program`, `args`: what is really started, in whose place the command's own are told of.
 */
export function spawnChild(command: Command, stdio: StdioOptions, program = command.program, args = command.args): ChildProcess {
  const { env, directory, account } = command;
  try {
    return spawn(program, args, {
      ...{ env: { ...env }, stdio, detached: true, windowsHide: true },
      ...(directory === undefined ? {} : { cwd: directory }),
      ...account,
    });
  } catch (error) {
    throw cannotStart(command, error);
  }
}

/** For what an event `error` told before there was a process. */
export function cannotStart({ program }: Command, cause: unknown): JetbackupError {
  return new JetbackupError('tools-missing', `cannot start ${program}: ${messageOf(cause)}`, { cause });
}

function start(command: Command, stdio: ['pipe' | 'ignore', 'pipe' | 'ignore', 'pipe'], stopGraceMs: number): Running {
  const buffered = command.bulk === true && process.platform === 'linux' && existsSync(STDBUF);
  const child = buffered
    ? spawnChild(command, stdio, STDBUF, [...BULK_BUFFERS, command.program, ...command.args])
    : spawnChild(command, stdio);
  const stderr = bothEnds();
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr.add(text);
    command.onStderr?.(text);
  });
  const ended = new Promise<Awaited<Running['ended']>>((resolve) => {
    child.once('error', (error) => resolve({ error, code: null, signal: null, stderr: stderr.text() }));
    child.once('close', (code, signal) => resolve({ code, signal, stderr: stderr.text() }));
  });
  const send: Running['send'] = (signal) => {
    if (child.pid === undefined) return;
    try {
      process.kill(-child.pid, signal);
    } catch {
      // ESRCH: the group is gone.
    }
  };
  return {
    child,
    ended,
    send,
    async stop() {
      if (child.pid === undefined) return;
      send('SIGTERM');
      const timer = setTimeout(() => {
        send('SIGKILL');
        // Somebody who left the group may still hold it open; nobody waits for them.
        child.stderr?.destroy();
      }, stopGraceMs);
      // A child that waits to write into our pipe must be able to die of it.
      child.stdout?.destroy();
      child.stdin?.destroy();
      await ended;
      clearTimeout(timer);
      send('SIGKILL'); // workers that outlived their leader
    },
  };
}

function bothEnds(): { add(text: string): void; text(): string } {
  let first = '';
  let last = '';
  let cut = false;
  return {
    add(text) {
      const room = STDERR_END - first.length;
      first += text.slice(0, room);
      const all = last + text.slice(room);
      cut ||= all.length > STDERR_END;
      last = all.slice(-STDERR_END);
    },
    text: () => (cut ? `${first}\n[...]\n${last}` : first + last),
  };
}

function failure(command: Command, end: Awaited<Running['ended']>): Error {
  if (end.error !== undefined) return cannotStart(command, end.error);
  return new ProcessFailed(command, end.code, end.signal, end.stderr);
}

/** `stopGraceMs`: ms between SIGTERM and SIGKILL. */
export function createProcessRunner(stopGraceMs: number = STOP_GRACE_MS): OwnedProcessRunner {
  const living = new Set<Running>();
  const launch = (command: Command, stdio: Parameters<typeof start>[1]): Running => {
    const running = start(command, stdio, stopGraceMs);
    living.add(running);
    // Not later: the number of a group that is gone may become another's.
    void running.ended.then(() => living.delete(running));
    return running;
  };
  return {
    abandon() {
      for (const running of living) running.send('SIGKILL');
    },

    async *output(command, signal) {
      await using _ = command.bulk === true ? await giveWay() : undefined;
      signal?.throwIfAborted();
      const running = launch(command, ['ignore', 'pipe', 'pipe']);
      let finished = false;
      const onAbort = () => void running.stop();
      signal?.addEventListener('abort', onAbort, { once: true });
      try {
        const { stdout } = running.child;
        // Without a file descriptor left there is no pipe either, whatever the types say.
        if (!stdout) throw failure(command, await running.ended);
        try {
          const ahead = readAhead(stdout);
          for (let piece = await ahead.next(); piece !== undefined; piece = await ahead.next()) yield piece;
        } catch (error) {
          // A pipe torn down by stop() reports itself; the abort is the reason worth telling.
          signal?.throwIfAborted();
          throw error;
        }
        const end = await running.ended;
        finished = true;
        signal?.throwIfAborted();
        if (end.error !== undefined || end.code !== 0) throw failure(command, end);
      } finally {
        signal?.removeEventListener('abort', onAbort);
        if (!finished) await running.stop();
      }
    },

    async consume(command, stdin, signal) {
      signal?.throwIfAborted();
      const source = stdin[Symbol.asyncIterator]();
      let waiting = false;
      const release = async () => {
        const released = source.return?.();
        // A source that is silent cannot be hurried: it is released when it answers, and a dead child is told of now.
        if (waiting) released?.catch(() => {});
        else await released;
      };
      let running: Running | undefined;
      const onAbort = () => void running?.stop();
      try {
        running = launch(command, ['pipe', 'ignore', 'pipe']);
        signal?.addEventListener('abort', onAbort, { once: true });
        const pipe = running.child.stdin;
        if (!pipe) throw failure(command, await running.ended);
        // EPIPE comes when the child has read what it wants or has died; its exit status says which.
        pipe.on('error', () => {});
        const feed = feeder(running.ended);
        const drain = drainable(pipe, INPUT_AHEAD_BYTES);
        for (;;) {
          waiting = true;
          const step = await feed.orEnd(source.next());
          if (step === undefined) break;
          waiting = false;
          if (step.done === true || pipe.destroyed) break;
          await drain.write(step.value);
        }
        if (!pipe.destroyed) pipe.end();
        const end = await running.ended;
        await release();
        signal?.throwIfAborted();
        if (end.error !== undefined || end.code !== 0) throw failure(command, end);
      } catch (error) {
        await running?.stop();
        await release();
        signal?.throwIfAborted();
        throw error;
      } finally {
        signal?.removeEventListener('abort', onAbort);
      }
    },
  };
}

/** Writes without waiting for each piece, as long as no more than `limit` bytes wait. */
function drainable(pipe: Writable, limit: number): { write(piece: Uint8Array): Promise<void> } {
  let waiting = 0;
  let wake = () => {};
  return {
    async write(piece) {
      waiting += piece.byteLength;
      // The callback also comes, with an error, when the pipe closes.
      pipe.write(piece, () => {
        waiting -= piece.byteLength;
        if (waiting < limit) wake();
      });
      if (waiting < limit) return;
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    },
  };
}

/**
 * Waits for a promise or for the child's end, whichever comes first. Not Promise.race: that leaves a reaction on the long-lived
 * promise each time, which is memory in proportion to the stream.
 */
function feeder(ended: Promise<unknown>): { orEnd<T>(promise: Promise<T>): Promise<T | undefined> } {
  let gone = false;
  let onEnd = () => {};
  void ended.then(() => {
    gone = true;
    onEnd();
  });
  return {
    orEnd: (promise) =>
      new Promise((resolve, reject) => {
        onEnd = () => resolve(undefined);
        promise.then(resolve, reject);
        if (gone) onEnd();
      }),
  };
}
