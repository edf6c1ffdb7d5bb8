// Run by tests as a process of its own, with other rights: sweeps local sandboxes, and tells what it removed.

import { provider } from './local-sandboxes.ts';

process.stdout.write(JSON.stringify(await provider(JSON.parse(process.argv[2] ?? '')).sweep(new AbortController().signal)));
