import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { runPair } from '../support/daemon-pair.ts';
import { leasesLeft, overlaps, type RunningDaemon, runRecords, startDaemon } from '../support/daemons.ts';
import { createSample, type Installation, makeInstallation } from '../support/installation.ts';
import { missingForNotify, type NotifySocket, openNotifySocket } from '../support/notify-socket.ts';
import { type PostgresServer, startPostgres } from '../support/postgres.ts';
import { type S3Server, startS3Server } from '../support/s3-servers.ts';
import { until } from '../support/waiting.ts';

/** Of sandboxes. */
const image = process.env['JETBACKUP_TEST_POSTGRES_IMAGE'];
let server: PostgresServer;
let s3: S3Server;
const seed = Number(process.env['JETBACKUP_TEST_SEED'] ?? Date.now() % 1_000_000);

beforeAll(async () => {
  [server, s3] = await Promise.all([startPostgres(15), startS3Server('first')]);
});
afterAll(async () => {
  await Promise.all([server?.stop(), s3?.stop()]);
});

async function installationOf(
  database: string,
  schedule: string,
  daemon: Record<string, unknown> = {},
  megabytes = 1,
  more: Record<string, unknown> = {},
): Promise<Installation> {
  await createSample(server, database, megabytes);
  await s3.createBucket(database);
  return await makeInstallation({
    ...{ server, database, s3: { server: s3, bucket: database, endpoint: s3.endpoint }, settings: { schedule } },
    config: { verify: { schedule: 'off', ...(image === undefined ? {} : { image }) }, prune: { schedule: 'off' }, daemon, ...more },
  });
}

describe('two daemons on one repository, one of which is killed now and then', () => {
  let shop: Installation;
  beforeAll(async () => {
    // On two hosts both would listen.
    shop = await installationOf('shop', '* * * * *', {}, 1, { http: 'off' });
  });
  afterAll(async () => await shop?.[Symbol.asyncDispose]());

  it('make one backup for each minute, leave nothing behind, and every backup restores', { timeout: 400_000 }, async () => {
    const told: string[] = [];
    const result = await runPair({
      ...{ installation: shop, seed, minutes: 2, killEveryMs: [12_000, 25_000] },
      tell: (text) => {
        told.push(text);
        console.log(text);
      },
    });
    expect(result.problems, told.join('\n')).toEqual([]);
    expect(result.kills, told.join('\n')).toBeGreaterThan(0);
    expect(result.slots.map(({ backups }) => backups.length)).toEqual([1, 1]);
    // By hand beside nobody: what a killed run left is removed, and nothing else is there.
    await shop.endGrace();
    await shop.backup();
    await shop.expectNothingLeft();
    for (const id of await shop.ids()) await shop.restoresEqual(id);
    const verified = await shop.cli.run('verify', '--json');
    expect(verified.code, verified.stderr).toBe(0);
  });
});

describe('a daemon', () => {
  let crm: Installation;
  let daemon: RunningDaemon | undefined;
  const file = () => join(crm.cli.directory, 'jetbackup.yaml');
  const never = '0 0 29 2 *';

  beforeAll(async () => {
    // A database without a backup is one that was missed: the daemon would begin at once.
    crm = await installationOf('crm', never, { grace: '2s' }, 4);
    await crm.backup();
  });
  afterEach(async () => {
    crm.proxy.heal();
    await daemon?.stop('SIGKILL');
    daemon = undefined;
  });
  afterAll(async () => await crm?.[Symbol.asyncDispose]());

  async function everyMinute(): Promise<void> {
    await crm.configure({ schedule: '* * * * *' });
  }

  async function duringBackup(run: () => Promise<void>): Promise<void> {
    const struck = crm.proxy.struck;
    crm.proxy.plant({ application: /pg_dump$/, at: { answeredBytes: 300_000 }, kind: 'stall' });
    await run();
    await until('rows are read', () => crm.proxy.struck > struck, 90_000);
  }

  it('that is told to stop during a backup gives it its grace, then aborts it, and leaves nothing', { timeout: 150_000 }, async () => {
    const before = await crm.committed();
    await everyMinute();
    await duringBackup(async () => {
      daemon = await startDaemon(crm);
    });
    const started = performance.now();
    const code = await daemon?.stop();
    const ms = performance.now() - started;
    expect(code, daemon?.run.stderr()).toBe(0);
    expect(ms).toBeGreaterThan(1900);
    expect(ms).toBeLessThan(20_000);
    crm.proxy.heal();
    expect(await crm.committed()).toEqual(before);
    expect((await runRecords(crm.repository)).at(-1)).toMatchObject({ result: 'interrupted', error: { code: 'terminated' } });
    expect(await leasesLeft(crm.repository)).toEqual([]);
    await crm.expectNothingLeft(daemon?.run);
    const lines = daemon?.lines() ?? [];
    expect(lines.at(-1)).toMatchObject({ msg: 'stopped' });
    const own = lines.filter(({ run }) => run !== undefined);
    expect(own.length).toBeGreaterThan(0);
    for (const line of own) expect(line).toMatchObject({ job: 'backup:crm', database: 'crm' });
    expect(daemon?.run.stderr()).not.toContain(server.password);
    expect(daemon?.run.stderr()).not.toContain(s3.credentials.secretAccessKey);
  });

  it('keeps its configuration when SIGHUP brings a bad one, and takes the next good one', async () => {
    await crm.configure({ schedule: never });
    const good = await readFile(file(), 'utf8');
    daemon = await startDaemon(crm);
    await writeFile(file(), good.replace(never, '0 25 * * *'));
    daemon.run.child.kill('SIGHUP');
    await daemon.says(/the new configuration is refused, and the old one stays in force: .*25/);
    expect(daemon.run.child.exitCode).toBeNull();
    await writeFile(file(), good.replace(never, '30 3 * * *'));
    // Several at once: none of them ends it.
    for (let times = 0; times < 5; times += 1) daemon.run.child.kill('SIGHUP');
    await daemon.says(/the new configuration is in force/);
    expect(await daemon.stop()).toBe(0);
    await writeFile(file(), good);
  });

  it('notices by itself that the file has changed', async () => {
    const before = await readFile(file(), 'utf8');
    daemon = await startDaemon(crm);
    await writeFile(file(), `${before}\n# touched\n`);
    await daemon.says(/jetbackup\.yaml has changed/, 20_000);
    await daemon.says(/the new configuration is in force/);
    await rm(file());
    await daemon.says(/refused, and the old one stays in force/, 20_000);
    expect(await daemon.stop()).toBe(0);
    await writeFile(file(), before);
  });

  it('and a person who backs up by hand at the same time get one backup at a time: one waits, or ends with 12', {
    timeout: 200_000,
  }, async () => {
    const before = await crm.committed();
    await everyMinute();
    await duringBackup(async () => {
      daemon = await startDaemon(crm);
    });
    const beside = await crm.cli.run('backup');
    expect(beside.code, beside.stderr).toBe(12);
    expect(beside.stderr).toMatch(/^hint: /m);
    crm.proxy.heal();
    await daemon?.says(/backup:crm (?:succeeded|failed)/, 60_000);
    expect(await daemon?.stop()).toBe(0);

    // The other way round: the person was first.
    const made = await crm.committed();
    expect(made.length).toBeGreaterThanOrEqual(before.length);
    let person: ReturnType<typeof crm.cli.start> | undefined;
    await duringBackup(async () => {
      person = crm.cli.start(['backup']);
    });
    daemon = await startDaemon(crm);
    await daemon.says(/another backup|is being backed up|locked/i, 90_000);
    crm.proxy.heal();
    const ended = await person?.ended;
    expect(ended?.code, ended?.stderr).toBe(0);
    expect(await daemon.stop()).toBe(0);
    const succeeded = (await runRecords(crm.repository)).filter(({ result }) => result === 'succeeded');
    expect(overlaps(succeeded)).toEqual([]);
    await crm.ids();
    await crm.restoresEqual();
  });

  it('tells systemd that it is ready, that it lives and that it stops', async (test) => {
    const missing = missingForNotify();
    test.skip(missing !== undefined, missing);
    await using socket: NotifySocket = await openNotifySocket();
    await crm.configure({ schedule: never });
    daemon = await startDaemon(crm, { NOTIFY_SOCKET: socket.path, WATCHDOG_USEC: '2000000' });
    await until('it says that it is ready', () => socket.received().some((text) => /^READY=1$/m.test(text)));
    await until('it says twice that it lives', () => socket.received().filter((text) => /^WATCHDOG=1$/m.test(text)).length >= 2);
    expect(await daemon.stop()).toBe(0);
    const all = socket.received().join('\n');
    expect(all).toMatch(/READY=1[\s\S]*WATCHDOG=1[\s\S]*STOPPING=1/);
    expect(daemon.run.stderr()).not.toContain('systemd was not told');
  });
});
