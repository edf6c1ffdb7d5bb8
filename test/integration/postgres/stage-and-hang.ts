// Run by a test as a process of its own, to be killed: makes a staging database and stays.

import { SourceSchema } from '../../../src/core/manifest.ts';
import { parseConnection } from '../../../src/postgres/connection.ts';
import { createStagingDatabase } from '../../../src/postgres/restore.ts';

const { url, source, runId } = JSON.parse(process.argv[2] ?? '');
const settings = parseConnection({ url, env: {} });
const staging = await createStagingDatabase(settings, { source: SourceSchema.parse(source), finalName: 'dead', runId, noOwner: true });
process.stdout.write(`${staging.name}\n`);
setInterval(() => {}, 1000);
