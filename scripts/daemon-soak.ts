/**
 * `node scripts/daemon-soak.ts pair [first|second]` and `MALLOC_ARENA_MAX=2 node --expose-gc scripts/daemon-soak.ts runs`: shows over a
 * longer time what test/e2e/daemon.test.ts shows in three minutes. Needs Docker, and `npm run build` for `pair`. The variable is what
 * docs/systemd/jetbackup.service sets.
 *
 *   pair   ten minutes (SOAK_MINUTES) of two daemons with a per-minute schedule against a PostgreSQL and an S3 server, one or the other
 *          killed with SIGKILL every 20 to 40 s (SOAK_SEED): no double run, no missed slot, no orphan, and every backup restores
 *   runs   1,000 (SOAK_RUNS) scheduled backups of a small database in this process, by a clock that jumps while nothing is done:
 *          memory, handles and file descriptors stay flat
 *
 * Exit status 0 when all is as it should be, else 1.
 */
import { runPairSoak } from './soak/pair.ts';
import { runRunsSoak } from './soak/runs.ts';

function whole(variable: string, fallback: number): number {
  const value = Number(process.env[variable] ?? fallback);
  if (!Number.isSafeInteger(value) || value < 1) throw new Error(`${variable} must be a whole number from 1 on`);
  return value;
}

const [part, which = 'first'] = process.argv.slice(2);
if (part === 'pair' && (which === 'first' || which === 'second')) {
  const options = { which, minutes: whole('SOAK_MINUTES', 10), seed: whole('SOAK_SEED', Date.now() % 1_000_000) } as const;
  process.exitCode = (await runPairSoak(options)) ? 0 : 1;
} else if (part === 'runs') {
  process.exitCode = (await runRunsSoak({ runs: whole('SOAK_RUNS', 1000) })) ? 0 : 1;
} else {
  console.error('usage: node scripts/daemon-soak.ts pair [first|second] | node --expose-gc scripts/daemon-soak.ts runs');
  process.exitCode = 2;
}
