import type { ByteStream } from '../core/bytes.ts';
import { isJetbackupError, JetbackupError } from '../core/errors.ts';
import { readArchiveHead } from './archive.ts';
import { followBlocks, integerSize } from './archive-blocks.ts';

/**
 * Passes a custom-format archive on and follows its structure, so that one which ends too early is an error although
 * its program exited with 0: a wrapper that swallows the exit status, `docker exec` or `kubectl exec` whose connection
 * broke. Each table with rows, and each batch of large objects, has to be there up to its end mark. Throws `dump-failed`.
 */
export async function* wholeArchive(archive: ByteStream): AsyncGenerator<Uint8Array, void, undefined> {
  const { head, rest } = await readArchiveHead(archive).catch((error: unknown) => {
    if (isJetbackupError(error, 'damaged')) throw incomplete(error.message, error);
    throw error;
  });
  yield head.bytes;
  const blocks = followBlocks(integerSize(head.bytes), incomplete);
  for await (const chunk of rest) {
    blocks.follow(chunk);
    yield chunk;
  }
  if (!blocks.atBoundary) throw incomplete('what pg_dump wrote ends in the middle of a table');
  const missing = head.entries.filter(({ hasData, dumpId }) => hasData && !blocks.seen.has(dumpId));
  const [first] = missing;
  if (first !== undefined) {
    const name = first.namespace === null ? first.tag : `${first.namespace}.${first.tag}`;
    throw incomplete(`what pg_dump wrote ends before ${first.desc.toLowerCase()} of ${name}; ${missing.length} such parts are missing`);
  }
}

function incomplete(what: string, cause?: unknown): JetbackupError {
  return new JetbackupError('dump-failed', `the dump is incomplete: ${what}`, {
    hint: 'pg_dump ended as if all were well. If the client programs are wrappers (bindir), check that they pass on its whole output and its exit status; then run the backup again.',
    ...(cause === undefined ? {} : { cause }),
  });
}
