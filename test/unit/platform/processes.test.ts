import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, describe, expect, test } from 'vitest';
import { type ByteStream, bytesOf, KiB, MiB } from '../../../src/core/bytes.ts';
import { type Command, createProcessRunner, ProcessFailed } from '../../../src/platform/processes.ts';

const folder = await mkdtemp(path.join(tmpdir(), 'jetbackup-processes-'));
afterAll(() => rm(folder, { recursive: true, force: true }));

const processes = createProcessRunner();
const PATH = process.env['PATH'] ?? '';
const shell = (script: string, ...args: string[]): Command => ({ program: 'sh', args: ['-c', script, 'sh', ...args], env: { PATH } });

async function read(stream: ByteStream): Promise<string> {
  let text = '';
  for await (const chunk of stream) text += Buffer.from(chunk).toString();
  return text;
}

/** What was read before the error, and the error. */
async function readAnyhow(stream: ByteStream): Promise<{ bytes: number; error: unknown }> {
  let bytes = 0;
  try {
    for await (const chunk of stream) bytes += chunk.byteLength;
  } catch (error) {
    return { bytes, error };
  }
  return { bytes, error: undefined };
}

/** Whether a process runs. One that has died and waits for its parent to ask is dead, however slow the machine's init is. */
async function alive(pid: number): Promise<boolean> {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  return !/^State:\s*Z/m.test(status);
}

async function eventually(holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 500; tries += 1) {
    if (await holds()) return;
    await delay(10);
  }
  throw new Error('it did not come true in 5 s');
}

async function pidIn(file: string): Promise<number> {
  let pid = 0;
  await eventually(async () => {
    pid = Number(await readFile(file, 'utf8').catch(() => '0'));
    return pid > 0;
  });
  return pid;
}

async function* forever(): AsyncGenerator<Uint8Array> {
  for (;;) yield Buffer.alloc(64 * KiB);
}

/** A child that starts a worker of its own, as pg_restore --jobs does; both note their ids. `then` is what it does afterwards. */
function family(name: string, then: string): { command: Command; leader(): Promise<number>; worker(): Promise<number> } {
  const [leader, worker] = [path.join(folder, `${name}.leader`), path.join(folder, `${name}.worker`)];
  return {
    command: shell(`echo $$ > "$1"; sleep 300 & echo $! > "$2"; ${then}`, leader, worker),
    leader: () => pidIn(leader),
    worker: () => pidIn(worker),
  };
}

describe('the output of a child', () => {
  test('arrives whole, and ends when the child exits 0', async () => {
    const { bytes, error } = await readAnyhow(processes.output(shell('head -c 5000000 /dev/zero')));
    expect({ bytes, error }).toEqual({ bytes: 5_000_000, error: undefined });
  });

  test('of 300 failing children never ends normally', { timeout: 60_000 }, async () => {
    let noticed = 0;
    for (let batch = 0; batch < 15; batch += 1) {
      const ended = await Promise.all(
        Array.from({ length: 20 }, (_, index) => readAnyhow(processes.output(shell(`printf rows; exit ${1 + index}`)))),
      );
      noticed += ended.filter(
        ({ bytes, error }, index) => bytes === 4 && error instanceof ProcessFailed && error.exitCode === 1 + index,
      ).length;
    }
    expect(noticed).toBe(300);
  });

  test('that is complete but followed by exit 1 throws after the last byte, with the error on stderr', async () => {
    const command = shell(
      'head -c 3000000 /dev/zero; sleep 0.1; echo "pg_dump: warning" >&2; echo "pg_dump: error: out of rows" >&2; echo "Command was: X" >&2; exit 1',
    );
    const { bytes, error } = await readAnyhow(processes.output(command));
    expect(bytes).toBe(3_000_000);
    expect(error).toBeInstanceOf(ProcessFailed);
    expect(error).toMatchObject({ exitCode: 1, killedBy: null, stderr: 'pg_dump: warning\npg_dump: error: out of rows\nCommand was: X\n' });
    expect(error).toHaveProperty('message', 'sh exited with status 1: pg_dump: error: out of rows');
  });

  test('of a child that is killed throws and names the signal', async () => {
    const { bytes, error } = await readAnyhow(processes.output(shell('printf rows; kill -KILL $$')));
    expect(bytes).toBe(4);
    expect(error).toMatchObject({ name: 'ProcessFailed', exitCode: null, killedBy: 'SIGKILL' });
  });

  test('keeps the first and the last 16 KiB of a long stderr: the error and the end, not the statement in between', async () => {
    const script = 'printf FIRST >&2; head -c 100000 /dev/zero | tr "\\0" x >&2; printf END >&2; exit 1';
    const { error } = await readAnyhow(processes.output(shell(script)));
    const { stderr } = error instanceof ProcessFailed ? error : { stderr: '' };
    expect(stderr).toBe(`FIRST${'x'.repeat(16 * KiB - 5)}\n[...]\n${'x'.repeat(16 * KiB - 3)}END`);
  });

  test('keeps all of a stderr that fits', async () => {
    const script = 'head -c 32768 /dev/zero | tr "\\0" x >&2; exit 1';
    const { error } = await readAnyhow(processes.output(shell(script)));
    expect(error).toMatchObject({ stderr: 'x'.repeat(32 * KiB) });
  });

  test('of a child that ends well still has a stderr that can be heard', async () => {
    let heard = '';
    const command: Command = { ...shell('echo one >&2; sleep 0.05; echo two >&2; echo out'), onStderr: (text) => (heard += text) };
    expect(await read(processes.output(command))).toBe('out\n');
    expect(heard).toBe('one\ntwo\n');
  });

  test('comes from a child that inherits nothing from the environment', async () => {
    const text = await read(processes.output({ program: '/usr/bin/env', args: [], env: { ONLY: 'this' } }));
    expect(text).toBe('ONLY=this\n');
  });

  test('is not read ahead of its consumer without bound', async () => {
    const marks = path.join(folder, 'marks');
    const script = 'for i in $(seq 20); do head -c 1000000 /dev/zero; echo $i > "$1"; done';
    const stream = processes.output(shell(script, marks))[Symbol.asyncIterator]();
    await stream.next();
    await delay(200);
    expect(Number(await readFile(marks, 'utf8').catch(() => '0'))).toBeLessThanOrEqual(5);
    await stream.return?.();
  });

  test('is read ahead while its consumer is busy, so that the child need not wait', async () => {
    const mark = path.join(folder, 'ahead');
    const stream = processes.output(shell('head -c 3000000 /dev/zero; echo done > "$1"; sleep 300', mark))[Symbol.asyncIterator]();
    await stream.next();
    await eventually(async () => (await readFile(mark, 'utf8').catch(() => '')) === 'done\n');
    await stream.return?.();
  });

  test('written in small portions comes in large pieces, every byte in its order', async () => {
    const pieces: Uint8Array[] = [];
    for await (const piece of processes.output(shell('for i in $(seq 3000); do printf "%s a row of a table\n" $i; done')))
      pieces.push(piece);
    const text = Buffer.concat(pieces).toString();
    expect(text).toBe(Array.from({ length: 3_000 }, (_, index) => `${index + 1} a row of a table\n`).join(''));
    for (const piece of pieces.slice(0, -1)) expect(piece.byteLength).toBeGreaterThanOrEqual(32 * KiB);
  });

  test.skipIf(process.platform !== 'linux')(
    'in bulk has the program’s own name in its errors, though its buffers were set for it',
    async () => {
      const sh = '/bin/sh';
      const whole = await readAnyhow(
        processes.output({ program: sh, args: ['-c', 'head -c 3000000 /dev/zero'], env: { PATH }, bulk: true }),
      );
      expect(whole).toEqual({ bytes: 3_000_000, error: undefined });
      const { error } = await readAnyhow(
        processes.output({ program: sh, args: ['-c', 'echo no rows >&2; exit 3'], env: { PATH }, bulk: true }),
      );
      expect(error).toMatchObject({ exitCode: 3, message: 'sh exited with status 3: no rows' });
    },
  );

  test('left early stops the child and its workers', async () => {
    const { command, leader, worker } = family('left', 'yes rows');
    for await (const _ of processes.output(command)) break;
    for (const pid of [await leader(), await worker()]) await eventually(async () => !(await alive(pid)));
  });

  test('ends with the reason of an abort, once the child and its workers are gone', async () => {
    for (const then of ['yes rows', 'sleep 300', 'trap "" PIPE; while :; do echo rows 2>/dev/null; done']) {
      const { command, leader, worker } = family(`aborted-${then.length}`, then);
      const controller = new AbortController();
      const reason = new Error('interrupted');
      const reading = readAnyhow(processes.output(command, controller.signal));
      const pids = [await leader(), await worker()];
      controller.abort(reason);
      expect((await reading).error).toBe(reason);
      expect(await alive(pids[0] ?? 0)).toBe(false);
      for (const pid of pids) await eventually(async () => !(await alive(pid)));
    }
  });

  test('with a signal that is already aborted starts nothing', async () => {
    const file = path.join(folder, 'never');
    const reason = new Error('interrupted');
    const { error } = await readAnyhow(processes.output(shell('echo > "$1"', file), AbortSignal.abort(reason)));
    expect(error).toBe(reason);
    await expect(readFile(file)).rejects.toThrow();
  });

  test('of a child that ignores SIGTERM is ended after the grace', async () => {
    const { command, leader, worker } = family('stubborn', 'trap "" TERM; while :; do sleep 1; done');
    const controller = new AbortController();
    const reading = readAnyhow(createProcessRunner(300).output(command, controller.signal));
    const pids = [await leader(), await worker()];
    controller.abort(new Error('interrupted'));
    expect((await reading).error).toMatchObject({ message: 'interrupted' });
    for (const pid of pids) await eventually(async () => !(await alive(pid)));
  });
});

describe('a child that is fed', () => {
  test('gets every byte, and its success is the end', async () => {
    const file = path.join(folder, 'fed');
    await processes.consume(shell('wc -c > "$1"', file), bytesOf(new Uint8Array(3 * MiB), 'and the rest'));
    expect(Number(await readFile(file, 'utf8'))).toBe(3 * MiB + 12);
  });

  test('may exit 0 without reading everything; its source is released', async () => {
    let released = false;
    async function* source(): ByteStream {
      try {
        yield* forever();
      } finally {
        released = true;
      }
    }
    await processes.consume(shell('head -c 10 > /dev/null'), source());
    expect(released).toBe(true);
    await processes.consume(shell('exit 0'), source());
  });

  test('may close its input long before it exits 0', async () => {
    await processes.consume(shell('exec < /dev/null; sleep 0.2; exit 0'), forever());
  });

  test('that fails is a failure, whether before, during or after its input', async () => {
    for (const script of ['exit 4', 'head -c 100 > /dev/null; exit 4', 'cat > /dev/null; exit 4']) {
      const input = script.startsWith('cat') ? bytesOf(new Uint8Array(MiB)) : forever();
      await expect(processes.consume(shell(`${script}`), input)).rejects.toMatchObject({ name: 'ProcessFailed', exitCode: 4 });
    }
    await expect(processes.consume(shell('kill -KILL $$'), forever())).rejects.toMatchObject({ killedBy: 'SIGKILL' });
  });

  test('of 300 failing ones none counts as well', { timeout: 60_000 }, async () => {
    let noticed = 0;
    for (let batch = 0; batch < 15; batch += 1) {
      const ended = await Promise.allSettled(
        Array.from({ length: 20 }, () => processes.consume(shell('cat > /dev/null; exit 1'), bytesOf('rows'))),
      );
      noticed += ended.filter((end) => end.status === 'rejected' && end.reason instanceof ProcessFailed).length;
    }
    expect(noticed).toBe(300);
  });

  test('that dies while its source is silent is noticed at once', async () => {
    let answer = () => {};
    async function* silent(): ByteStream {
      yield Buffer.from('rows');
      await new Promise<void>((resolve) => {
        answer = resolve;
      });
    }
    const started = performance.now();
    await expect(processes.consume(shell('head -c 4 > /dev/null; exit 5'), silent())).rejects.toMatchObject({ exitCode: 5 });
    expect(performance.now() - started).toBeLessThan(2_000);
    answer();
  });

  test('is stopped with its workers when its source throws, and that error is the one that is told', async () => {
    const { command, leader, worker } = family('source-throws', 'cat > /dev/null');
    const failure = new Error('segment 3 is damaged');
    async function* failing(): ByteStream {
      yield new Uint8Array(MiB);
      await Promise.all([leader(), worker()]);
      throw failure;
    }
    await expect(processes.consume(command, failing())).rejects.toBe(failure);
    expect(await alive(await leader())).toBe(false);
    const pid = await worker();
    await eventually(async () => !(await alive(pid)));
  });

  test('never sees the normal end of an input that threw', async () => {
    const file = path.join(folder, 'saw-end');
    async function* failing(): ByteStream {
      yield Buffer.from('half');
      await delay(50);
      throw new Error('cut');
    }
    await expect(processes.consume(shell('cat > /dev/null; echo end > "$1"', file), failing())).rejects.toThrow('cut');
    await delay(50);
    await expect(readFile(file)).rejects.toThrow();
  });

  test('is stopped by an abort, with its workers, though the source stays silent', async () => {
    const { command, leader, worker } = family('fed-aborted', 'cat > /dev/null');
    let answer = () => {};
    async function* silent(): ByteStream {
      await new Promise<void>((resolve) => {
        answer = resolve;
      });
    }
    const controller = new AbortController();
    const reason = new Error('interrupted');
    const feeding = processes.consume(command, silent(), controller.signal);
    const pids = [await leader(), await worker()];
    controller.abort(reason);
    await expect(feeding).rejects.toBe(reason);
    expect(await alive(pids[0] ?? 0)).toBe(false);
    for (const pid of pids) await eventually(async () => !(await alive(pid)));
    answer();
  });
});

test('one signal serves any number of children without gathering listeners', async () => {
  const controller = new AbortController();
  let added = 0;
  let removed = 0;
  const { signal } = controller;
  const add = signal.addEventListener.bind(signal);
  const remove = signal.removeEventListener.bind(signal);
  signal.addEventListener = (...args: Parameters<typeof add>) => {
    added += 1;
    add(...args);
  };
  signal.removeEventListener = (...args: Parameters<typeof remove>) => {
    removed += 1;
    remove(...args);
  };
  const warnings: Error[] = [];
  const onWarning = (warning: Error) => warnings.push(warning);
  process.on('warning', onWarning);
  try {
    for (let run = 0; run < 15; run += 1) {
      await read(processes.output(shell('echo rows'), signal));
      await readAnyhow(processes.output(shell('exit 1'), signal));
      await processes.consume(shell('cat > /dev/null'), bytesOf(...Array.from({ length: 40 }, () => 'rows')), signal);
    }
  } finally {
    process.off('warning', onWarning);
  }
  expect(added).toBe(45);
  expect(removed).toBe(added);
  expect(warnings).toEqual([]);
});

describe('children whose parent must end at once', () => {
  test('are killed with their workers, all of them, though they ignore SIGTERM and were being stopped already', async () => {
    const runner = createProcessRunner(60_000);
    const stubborn = 'trap "" TERM; while :; do sleep 1; done';
    const dump = family('abandoned-dump', stubborn);
    const restore = family('abandoned-restore', stubborn);
    const controller = new AbortController();
    const reading = readAnyhow(runner.output(dump.command, controller.signal));
    const feeding = runner.consume(restore.command, bytesOf('rows')).catch((error: unknown) => error);
    const pids = await Promise.all([dump.leader(), dump.worker(), restore.leader(), restore.worker()]);
    controller.abort(new Error('interrupted'));
    await delay(50);
    expect(await alive(await dump.leader())).toBe(true);
    runner.abandon();
    for (const pid of pids) await eventually(async () => !(await alive(pid)));
    expect((await reading).error).toMatchObject({ message: 'interrupted' });
    expect(await feeding).toMatchObject({ killedBy: 'SIGKILL' });
  });

  test('are only the runner’s own, and only those that live', async () => {
    const runner = createProcessRunner();
    const gone = family('abandoned-gone', 'exit 0');
    const other = family('abandoned-other', 'yes rows');
    // The worker keeps the group alive after its leader is gone, as far as the system knows.
    await read(
      runner.output({ ...gone.command, args: gone.command.args.map((arg) => arg.replace('sleep 300', 'sleep 300 > /dev/null 2>&1')) }),
    );
    const stream = processes.output(other.command)[Symbol.asyncIterator]();
    await stream.next();
    runner.abandon();
    await delay(50);
    expect(await alive(await gone.worker())).toBe(true);
    expect(await alive(await other.leader())).toBe(true);
    process.kill(await gone.worker(), 'SIGKILL');
    await stream.return?.();
  });
});
