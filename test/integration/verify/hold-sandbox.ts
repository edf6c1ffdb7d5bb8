// Run by tests as a process of its own, to be killed or as another user: starts a local sandbox and keeps it until SIGINT.

import { provider, query, request } from './local-sandboxes.ts';

const sandbox = await provider(JSON.parse(process.argv[2] ?? '')).start(request(), new AbortController().signal);
const [row] = await query(sandbox, "SELECT current_user AS superuser, pg_read_file('postmaster.pid') AS pidfile");
const staying = setInterval(() => {}, 1000);
process.once('SIGINT', async () => {
  clearInterval(staying);
  await sandbox[Symbol.asyncDispose]();
});
// Only now: whoever reads it may send the signal at once.
process.stdout.write(`${JSON.stringify(row)}\n`);
