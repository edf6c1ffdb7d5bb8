import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { RunningCli } from '../support/cli.ts';
import { createSample } from '../support/installation.ts';
import { localServerPrograms, type SourceServer, startLocalServer } from '../support/local-server.ts';
import { startPostgres } from '../support/postgres.ts';
import { makeVerifyInstallation, type VerifyInstallation } from '../support/verify-installation.ts';
import { until } from '../support/waiting.ts';

const DATABASE = 'source';

interface Phase {
  readonly phase: string;
  /** The phase has begun once this was said: the end of the one before it. */
  readonly after?: RegExp;
  /** Held up before its pg_restore begins. */
  readonly pass?: string;
  /** Held up in a session that introduces itself as this, by the index of the sample that waits. */
  readonly session?: string;
  /** Held up by a query of the user's. */
  readonly asks?: boolean;
}

/** Where nothing holds a phase up, each session begins a second late, so that the signal comes while the phase waits for one. */
const phases: readonly Phase[] = [
  { phase: 'provision', after: /looking at the backup: / },
  { phase: 'globals', after: /starting a sandbox: / },
  { phase: 'create', after: /making the roles: / },
  { phase: 'pre-data', pass: 'pre-data' },
  { phase: 'data', pass: 'data' },
  { phase: 'post-data', pass: 'post-data' },
  { phase: 'analyze', session: 'jetbackup analyze' },
  { phase: 'checks', asks: true },
];

/** The note of somebody who reads this backup. */
const noteOf = (backup = '') => new RegExp(`^readers/${DATABASE}/${backup}/[^/]+$`);

type Kind = 'local' | 'container';
const programs = await localServerPrograms();
const kinds: readonly Kind[] = programs === undefined ? ['container'] : ['container', 'local'];

const SLOW = { name: 'slow', sql: 'SELECT true FROM pg_sleep(120)' };

/**
 * ANALYZE computes what is in an index over an expression; this one waits there for a session of the name in a setting of the sandbox's
 * server. It is immutable by its word only.
 */
const waitingIndex = `
  CREATE FUNCTION waits(n int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN
    IF pg_catalog.current_setting('application_name') = pg_catalog.current_setting('jetbackup_test.hold', true) THEN PERFORM pg_catalog.pg_sleep(120); END IF;
    RETURN n;
  END $$;
  CREATE INDEX account_waits ON account (waits(id))`;

describe('a verification that is told to stop', () => {
  let server: SourceServer & AsyncDisposable;
  const sites = new Map<Kind, VerifyInstallation>();
  const backups = new Map<Kind, string>();

  beforeAll(async () => {
    server = programs === undefined ? await startPostgres(15, { tmpfs: true }) : await startLocalServer(programs);
    await createSample(server, DATABASE, 1);
    await server.query(waitingIndex, DATABASE);
    for (const kind of kinds) {
      const site = await makeVerifyInstallation({ server, database: DATABASE });
      sites.set(kind, site);
      backups.set(kind, await site.installation.backup());
    }
  });
  afterEach(async () => {
    for (const site of sites.values()) await site.installation.programs.restore();
  });
  afterAll(async () => {
    for (const site of sites.values()) await site[Symbol.asyncDispose]();
    await server?.[Symbol.asyncDispose]();
  });

  async function startUntil(kind: Kind, { installation, configureVerify }: VerifyInstallation, held: Phase): Promise<RunningCli> {
    const { phase, after, pass, session, asks } = held;
    const settings = {
      ...(after === undefined ? {} : { post_auth_delay: '1' }),
      ...(session === undefined ? {} : { 'jetbackup_test.hold': session }),
    };
    // On disk, so that there is a volume to be left.
    await configureVerify({ storage: 'disk', settings, queryTimeout: '10m', queries: asks === true ? [SLOW] : [] });
    if (pass !== undefined) await installation.programs.hold('pg_restore', `*/${pass}.list*`);
    const run = installation.cli.start(['verify', '--sandbox', kind]);
    const said = after ?? (session !== undefined ? /building indexes and constraints: / : asks === true ? /canary: / : undefined);
    const reached = async () => (said === undefined ? await installation.programs.reached() : said.test(run.stderr()));
    await until(`the verification is at ${phase}`, async () => (await reached()) || run.child.exitCode !== null);
    if (!(await reached())) throw new Error(`the verification ended before: ${run.stderr()}`);
    return run;
  }

  /** What runs leave in the repository that goes by date: notes of readers, objects of probes, claims. */
  const dated = async ({ installation }: VerifyInstallation) =>
    (await installation.repository.keys()).filter((key) => /^(?:readers|[.]jetbackup-probe)[/]|[/]claim[.]json$/.test(key));

  /** Both kinds at once: most of the time goes by with waiting. */
  const each = (work: (kind: Kind, site: VerifyInstallation) => Promise<void>) =>
    Promise.all([...sites].map(([kind, site]) => work(kind, site)));

  const signals = [
    { signal: 'SIGINT', code: 130 },
    { signal: 'SIGTERM', code: 143 },
  ] as const;

  // No kind of sandbox learns which of the two it was: at each phase one has the one and the other the other, at the next the reverse.
  // Where there is only one kind, it has both.
  it.each(phases)('by SIGINT or SIGTERM at $phase leaves nothing, and proves nothing', async (phase) => {
    await each(async (kind, site) => {
      const { installation, leftOf } = site;
      const turn = (phases.indexOf(phase) + kinds.indexOf(kind)) % 2;
      for (const { signal, code } of signals.filter((_, index) => kinds.length === 1 || index === turn)) {
        const run = await startUntil(kind, site, phase);
        if (phase.phase !== 'provision') expect(await leftOf(run), kind).not.toEqual([]);
        run.child.kill(signal);
        const ended = await run.ended;
        expect(ended, ended.stderr).toMatchObject({ code });
        expect(ended.stdout).not.toContain('proven');
        expect(ended.stderr).not.toContain('something of the sandbox is left');
        expect(await leftOf(run), kind).toEqual([]);
        await installation.programs.restore();
        await installation.expectNothingLeft(run);
      }
    });
  });

  describe('by SIGKILL', () => {
    const killed = new Map<Kind, RunningCli[]>(kinds.map((kind) => [kind, []]));
    const notes = new Map<Kind, string[]>(kinds.map((kind) => [kind, []]));

    it.each(phases)('at $phase proves nothing, and the next verification removes what it left', async (phase) => {
      await each(async (kind, site) => {
        const { installation, leftOf } = site;
        const run = await startUntil(kind, site, phase);
        if (phase.phase !== 'provision') expect(await leftOf(run), kind).not.toEqual([]);
        run.child.kill('SIGKILL');
        expect(await run.ended).toMatchObject({ code: null, signal: 'SIGKILL' });
        expect((await installation.repository.keys()).filter((key) => key.endsWith('/proof.json'))).toEqual([]);
        // That it was reading is what it leaves in the repository, and nothing else.
        const earlier = notes.get(kind) ?? [];
        const left = await dated(site);
        expect(left, kind).toEqual([...earlier, expect.stringMatching(noteOf(backups.get(kind)))]);
        notes.set(kind, left);
        // The next one has removed it before it makes anything.
        for (const before of killed.get(kind) ?? []) expect(await leftOf(before), kind).toEqual([]);
        killed.get(kind)?.push(run);
        await installation.programs.restore();
      });
    });

    it('leaves nothing for good: after the next verification, which proves the backup, everything of theirs is gone', async () => {
      await each(async (kind, site) => {
        const { installation, configureVerify, leftOf, verify } = site;
        await configureVerify();
        const ended = await verify('--sandbox', kind);
        expect(ended, ended.stderr).toMatchObject({ code: 0 });
        // In an engine it may have been another verification of this machine.
        if (kind === 'local')
          expect(ended.stderr).toMatch(/removed what a killed run left: the local sandbox .* and the server that ran in it/);
        for (const run of killed.get(kind) ?? []) expect(await leftOf(run), kind).toEqual([]);
        // The notes of those that were killed run out within the hour; its own it has taken away.
        expect(await dated(site), kind).toEqual(notes.get(kind));
        await installation.endGrace();
        await installation.expectNothingLeft();
      });
    });
  });

  it.each([
    ['SIGINT', 'pre-data'],
    ['SIGTERM', 'data'],
    ['SIGKILL', 'post-data'],
  ] as const)('by %s at %s on a server that is provided leaves no database there, or the next one removes it', async (signal, pass) => {
    const [[, site] = []] = sites;
    if (site === undefined) throw new Error('there is an installation');
    const { installation, configureVerify } = site;
    await configureVerify();
    const env = { PGPASSWORD: server.password };
    const arguments_ = ['verify', '--sandbox', `postgres://${server.user}@${server.host}:${server.port}/?sslmode=disable`];
    const databases = () => server.query("SELECT datname FROM pg_database WHERE datname LIKE '%jetbackup%'");
    await installation.programs.hold('pg_restore', `*/${pass}.list*`);
    const run = installation.cli.start(arguments_, env);
    await until(`the verification is at ${pass}`, () => installation.programs.reached());
    expect(await databases()).toHaveLength(1);
    run.child.kill(signal);
    const ended = await run.ended;
    expect(ended.stdout).not.toContain('proven');
    await installation.programs.restore();
    if (signal === 'SIGKILL') {
      expect(await databases()).toHaveLength(1);
      const next = await installation.cli.start(arguments_, env).ended;
      expect(next, next.stderr).toMatchObject({ code: 0 });
      expect(await dated(site)).toEqual([expect.stringMatching(noteOf(backups.get('container')))]);
      await installation.endGrace();
    }
    expect(await databases()).toEqual([]);
    await installation.expectNothingLeft(run);
  });
});
