import { createInterface } from 'node:readline';
import { isJetbackupError, messageOf } from '../../src/core/errors.ts';
import { sandboxRequest, testSandboxes } from './sandboxes.ts';

// Starts a sandbox in a process of its own, to be killed, or to lose its engine, which a process finds only once. Says on stdout
// that it is there, in one line of JSON; then on each line on stdin what it asks for: trouble, dispose, sweep. Ends with its stdin.

const [runId = '', options = '{}'] = process.argv.slice(2);
const { isPublished = false, ...sandboxOptions } = JSON.parse(options);

function say(what: Record<string, unknown>): void {
  process.stdout.write(`${JSON.stringify(what)}\n`);
}

function told(error: unknown): Record<string, unknown> {
  return isJetbackupError(error)
    ? { code: error.code, message: error.message, hint: error.hint }
    : { code: 'none', message: messageOf(error) };
}

const sandboxes = testSandboxes(sandboxOptions, {
  log: (event) => process.stderr.write(`${JSON.stringify(event)}\n`),
  ...(isPublished ? { isOwnAddress: async () => false } : {}),
});
try {
  const sandbox = await sandboxes.start(sandboxRequest({ runId }), new AbortController().signal);
  say({ host: sandbox.settings.hosts[0]?.host });
  for await (const asked of createInterface({ input: process.stdin })) {
    if (asked === 'trouble') say({ trouble: await sandbox.trouble() });
    if (asked === 'dispose') say(await sandbox[Symbol.asyncDispose]().then(() => ({ disposed: true }), told));
    if (asked === 'sweep') say({ swept: await sandboxes.sweep(new AbortController().signal).catch(told) });
  }
} catch (error) {
  say(told(error));
}
process.exit(0);
