import { type Bench, jetbackupSetup, repositoryOf, surroundingsOf } from './backup.ts';
import { backupLine, restoreCommand } from './jetbackup.ts';
import { type Line, type LineResult, runRounds, type Say } from './lines.ts';
import { dropDatabase, makeDatabase } from './server.ts';
import { judgeGrowth, type Verdict } from './verdict.ts';

const TARGET = 'restored';
const SMALL_MEGABYTES = 100;

/** The same backups and restores of a small and of a large database, one after the other, and how much memory each took. */
export async function measureMemory(
  bench: Bench,
  largeMegabytes: number,
  rounds: number,
  say: Say,
): Promise<{ readonly results: readonly LineResult[]; readonly verdicts: readonly Verdict[] }> {
  const measured: LineResult[][] = [];
  for (const megabytes of [SMALL_MEGABYTES, largeMegabytes]) {
    const database = `memory_${megabytes}`;
    say(`\nMaking a database of ${megabytes} MB`);
    await makeDatabase(bench.server, database, megabytes, bench.signal);
    measured.push([...(await runRounds(linesFor({ ...bench, database }, megabytes), () => rounds, surroundingsOf(bench), say))]);
    await dropDatabase(bench.server, TARGET);
    await dropDatabase(bench.server, database);
    for (const { id } of measured.at(-1) ?? []) if (!id.startsWith('restore-')) await repositoryOf(bench, id).clear();
  }
  const [small = [], large = []] = measured;
  const pairs = small.map((line, index) => ({
    title: line.title.replace(/, \d+ MB$/, ''),
    small: line.runs,
    large: large[index]?.runs ?? [],
  }));
  return { results: [...small, ...large], verdicts: judgeGrowth(pairs, { small: SMALL_MEGABYTES, large: largeMegabytes }) };
}

function linesFor(bench: Bench, megabytes: number): readonly Line[] {
  const places = bench.s3 === undefined ? (['directory'] as const) : (['directory', 's3'] as const);
  return places.flatMap((place) => {
    const line = (codec: 'gzip' | 'zstd', fingerprint: 'off' | 'content'): Line[] => {
      const id = `jetbackup-memory-${codec}-${megabytes}-${place}`;
      const setup = jetbackupSetup(bench, id, codec, fingerprint);
      const title = `${codec}${fingerprint === 'content' ? ' with fingerprint' : ''}, ${place}, ${megabytes} MB`;
      return [
        backupLine(id, `jetbackup backup, ${title}`, setup),
        {
          id: `restore-${id}`,
          title: `jetbackup restore, ${title}`,
          async prepare() {
            await dropDatabase(bench.server, TARGET);
            return { ...restoreCommand(setup, TARGET, fingerprint === 'content'), writesTo: [] };
          },
        },
      ];
    };
    return place === 's3' ? line('gzip', 'off') : [...line('gzip', 'content'), ...line('zstd', 'off')];
  });
}
