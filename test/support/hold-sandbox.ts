import { createInterface } from 'node:readline';
import { isJetbackupError, messageOf } from '../../src/core/errors.ts';
import { sandboxRequest, testSandboxes } from './sandboxes.ts';

// Starts a sandbox in a process of its own, to be killed, or to lose its engine, which a process finds only once. Says on stdout
// that it is there, in one line of JSON; on a line on stdin, what has become of it, and ends after trying to remove it.

const [runId = '', storage = 'memory'] = process.argv.slice(2);

function say(what: Record<string, unknown>): void {
  process.stdout.write(`${JSON.stringify(what)}\n`);
}

function told(error: unknown): Record<string, unknown> {
  return isJetbackupError(error)
    ? { code: error.code, message: error.message, hint: error.hint }
    : { code: 'none', message: messageOf(error) };
}

const sandboxes = testSandboxes(storage === 'disk' ? { storage } : {}, {
  log: (event) => process.stderr.write(`${JSON.stringify(event)}\n`),
});
try {
  const sandbox = await sandboxes.start(sandboxRequest({ runId }), new AbortController().signal);
  say({ host: sandbox.settings.hosts[0]?.host });
  for await (const _ of createInterface({ input: process.stdin })) {
    const trouble = await sandbox.trouble();
    const disposed = await sandbox[Symbol.asyncDispose]().then(() => ({}), told);
    say({ trouble, disposed });
    break;
  }
} catch (error) {
  say(told(error));
}
process.exit(0);
