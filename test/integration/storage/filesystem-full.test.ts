import { execFile } from 'node:child_process';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

const source = new URL('../../../src/', import.meta.url).href;

/** Puts 8 MiB over an object that is there, where no file may grow past 2 MiB, and prints what it throws. */
const script = `
  import { createFilesystemStore } from '${source}storage/filesystem.ts';
  import { bytesOf } from '${source}core/bytes.ts';
  const store = createFilesystemStore({ directory: process.argv[1] });
  await store.put('dump', bytesOf('yesterday'));
  async function* body() { for (let sent = 0; sent < 8; sent += 1) yield new Uint8Array(1 << 20); }
  await store.put('dump', body()).then(() => console.log('done'), (error) => console.log(JSON.stringify({ code: error.code, hint: error.hint })));
  for await (const chunk of await store.get('dump')) console.log(new TextDecoder().decode(chunk));
`;

it('a directory that takes no more bytes keeps the object that was there, leaves no half file, and says what to do', async () => {
  const root = await mkdtemp(join(tmpdir(), 'jetbackup-full-'));
  try {
    // The limit of the shell stands in for a full disk: the same write fails at the same place, and no rights are needed.
    const command = 'trap "" XFSZ; ulimit -f 2048; exec "$@"';
    const args = ['-c', command, 'bash', process.execPath, '--input-type=module', '-e', script, root];
    const { stdout } = await promisify(execFile)('bash', args, { env: { PATH: process.env['PATH'] ?? '' } });
    const [failure = '', kept] = stdout.trim().split('\n');
    expect(JSON.parse(failure)).toEqual({ code: 'storage-full', hint: expect.stringContaining('ulimit') });
    expect(kept).toBe('yesterday');
    expect(await readdir(join(root, '.jetbackup-unfinished'))).toEqual([]);
  } finally {
    await rm(root, { recursive: true });
  }
});
