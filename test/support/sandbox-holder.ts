import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { createInterface } from 'node:readline/promises';
import { fileURLToPath } from 'node:url';
import { afterEach } from 'vitest';
import type { Id } from '../../src/core/ids.ts';
import type { ContainerOptions } from '../../src/verify/sandboxes/container.ts';

const children = new Set<ChildProcessWithoutNullStreams>();

/** To be called once by each test file: workers share this module among files. */
export function endHoldersAfterEach(): void {
  afterEach(() => {
    for (const child of children) child.kill('SIGKILL');
    children.clear();
  });
}

export interface Holder {
  readonly child: ChildProcessWithoutNullStreams;
  /** The next line that it says. */
  next(): Promise<Record<string, unknown>>;
  /** What it says to that. */
  ask(what: 'trouble' | 'dispose' | 'sweep'): Promise<Record<string, unknown>>;
}

/** A process that holds the sandbox of a run, with an environment of its own; killed after the test at the latest. */
export function holdSandbox(
  runId: Id,
  env: Record<string, string> = {},
  options: Partial<ContainerOptions> & { isPublished?: boolean } = {},
): Holder {
  const program = fileURLToPath(new URL('./hold-sandbox.ts', import.meta.url));
  const child = spawn(process.execPath, [program, runId, JSON.stringify(options)], { env: { ...process.env, ...env } });
  children.add(child);
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async () => JSON.parse(String((await lines.next()).value));
  return {
    ...{ child, next },
    async ask(what) {
      child.stdin.write(`${what}\n`);
      return await next();
    },
  };
}
