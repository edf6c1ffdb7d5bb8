import { createHash } from 'node:crypto';

/**
 * As many of `indexes` as fit into `budget` bytes: all, or a choice that the seed makes. The same seed chooses the same ones
 * again, and the next backup's others, so that in time each gets its turn.
 */
export function sampleOf<T extends { readonly identity: string; readonly bytes: number }>(
  indexes: readonly T[],
  seed: string,
  budget: number,
): readonly T[] {
  const rank = ({ identity }: T) => createHash('sha256').update(`${seed}\0${identity}`).digest('hex');
  const shuffled = indexes.map((index) => ({ index, rank: rank(index) })).sort((a, b) => (a.rank < b.rank ? -1 : 1));
  let left = budget;
  return shuffled.flatMap(({ index }) => {
    if (index.bytes > left) return [];
    left -= index.bytes;
    return [index];
  });
}
