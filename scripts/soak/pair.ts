import { runPair } from '../../test/support/daemon-pair.ts';
import { createSample, makeInstallation } from '../../test/support/installation.ts';
import { startPostgres } from '../../test/support/postgres.ts';
import { startS3Server } from '../../test/support/s3-servers.ts';

/** True when nothing was amiss. */
export async function runPairSoak(options: {
  readonly which: 'first' | 'second';
  readonly minutes: number;
  readonly seed: number;
}): Promise<boolean> {
  const { which, minutes, seed } = options;
  // Of the sandbox.
  const image = process.env['JETBACKUP_TEST_POSTGRES_IMAGE'];
  await using server = await startPostgres(15);
  await using s3 = await startS3Server(which);
  await s3.createBucket('shop');
  await createSample(server, 'shop', 1);
  await using installation = await makeInstallation({
    server,
    database: 'shop',
    s3: { server: s3, bucket: 'shop', endpoint: s3.endpoint },
    settings: { schedule: '* * * * *' },
    config: { verify: { schedule: 'off', ...(image === undefined ? {} : { image }) }, prune: { schedule: 'off' }, http: 'off' },
  });
  console.log(`${minutes} minutes of two daemons on ${s3.image} and PostgreSQL 15`);
  const { slots, kills, killsInBackup, problems } = await runPair({
    ...{ installation, seed, minutes, killEveryMs: [20_000, 40_000] },
    tell: (text) => console.log(text),
  });
  console.log(`${kills} kills, ${killsInBackup} of them in a backup; ${slots.length} slots:`);
  for (const { due, backups, runs } of slots) {
    console.log(`  ${new Date(due).toISOString().slice(11, 16)}  backups ${backups.join(' ') || 'none'}  run records ${runs.length}`);
  }
  const all = [...problems];
  const attempt = async (what: string, work: () => Promise<unknown>) => {
    try {
      await work();
      console.log(`${what}: yes`);
    } catch (error) {
      all.push(`${what}: ${error instanceof Error ? error.message : String(error)}`);
    }
  };
  // What the last killed run was committing stays for an hour, in case it arrives yet.
  await installation.endGrace();
  await attempt('one more backup by hand', () => installation.backup());
  await attempt('no orphan process, session, upload, object or temporary file is left', () => installation.expectNothingLeft());
  const ids = await installation.ids();
  await attempt(`all ${ids.length} backups restore, equal to the source`, async () => {
    for (const id of ids) await installation.restoresEqual(id);
  });
  await attempt('the newest verifies in a sandbox', async () => {
    const verified = await installation.cli.run('verify');
    if (verified.code !== 0) throw new Error(verified.stderr);
  });
  for (const problem of all) console.log(`PROBLEM ${problem}`);
  console.log(all.length === 0 ? 'verdict: nothing amiss' : `verdict: ${all.length} problem(s)`);
  return all.length === 0;
}
