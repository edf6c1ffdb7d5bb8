import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Id } from '../../../src/core/ids.ts';
import type { CheckId } from '../../../src/core/verification.ts';
import { postgresRestorer, type Restorer } from '../../../src/operations/restorer.ts';
import { type CheckOutcome, type VerifyResult, verifyBackup } from '../../../src/operations/verify.ts';
import { systemClock } from '../../../src/platform/clock.ts';
import { findServerPrograms } from '../../../src/postgres/server-programs.ts';
import type { Sandbox, SandboxProvider } from '../../../src/verify/sandbox.ts';
import { clientTools } from '../../support/client-tools.ts';
import { damages, shop, shopQueries, shopRoles, shopValues } from '../../support/damages.ts';
import { createMemoryStore, type MemoryStore } from '../../support/memory-store.ts';
import { testSandboxes } from '../../support/sandboxes.ts';
import { type WrappedPrograms, wrapPrograms } from '../../support/wrapped-programs.ts';
import { openWorkshop, type Workshop } from '../operations/operations.ts';
import { localDeps, provider, query, request } from './local-sandboxes.ts';
import { asServer, serverThatStays } from './standing-server.ts';

const DATABASE = 'shop_source';
const never = new AbortController().signal;
const programs = await findServerPrograms(localDeps(), { major: 15 }).catch(() => undefined);
const canary = { schema: 'public', table: 'jetbackup_canary' };

/** For whoever asks what is found and by which check: a table, after the whole file has run. */
const REPORT = join(import.meta.dirname, '../../../.tmp/verify-damages.md');
const rows: string[] = [];

function note(damage: string, by: string, outcome: string, message: string, finding: string): void {
  const cells = [damage, by, outcome, message, finding].map((cell) => cell.replaceAll('|', '\\|').replaceAll('\n', ' '));
  rows.push(`| ${cells.join(' | ')} |`);
}

afterAll(async () => {
  if (rows.length === 0) return;
  await mkdir(join(REPORT, '..'), { recursive: true });
  const head = ['| damage | check | outcome | message (recorded) | finding (told) |', '|---|---|---|---|---|'];
  await writeFile(REPORT, `${[...head, ...rows].join('\n')}\n`);
});

const failing = ({ checks }: VerifyResult) => checks.filter(({ status }) => status === 'fail').map(({ id }) => id);
const told = ({ checks }: VerifyResult) =>
  checks.map(({ id, status, message, findings }) => `${id}: ${status}: ${message} ${findings.join('; ')}`);
const noteFailed = (damage: string, result: VerifyResult) => {
  for (const { id, status, message, findings, hint } of result.checks) {
    if (status !== 'fail') continue;
    note(damage, id, result.outcome, message, findings[0] ?? '');
    expect(hint).toMatch(/\S/);
  }
};

describe.skipIf(programs?.major !== 15)(
  `a verification${programs?.major === 15 ? '' : ' (skipped: needs the server programs of PostgreSQL 15)'}`,
  () => {
    let directory: string;
    let source: Sandbox;
    let held: Sandbox;
    /** One server for all that follows, as the time goes into making servers; each verification makes its database and its roles anew. */
    let standing: SandboxProvider;
    let workshop: Workshop;
    let wrapped: WrappedPrograms;
    let store: MemoryStore;
    let id: Id;
    let pristine: Map<string, Uint8Array>;

    beforeAll(async () => {
      directory = await mkdtemp('/tmp/jb-damages-');
      await chmod(directory, 0o755);
      [source, held] = (await Promise.all([1, 2].map(() => provider({ directory }).start(request({ major: 15 }), never)))) as [
        Sandbox,
        Sandbox,
      ];
      standing = serverThatStays(held);
      const server = asServer(source);
      await server.query(shopRoles);
      await server.query(`CREATE DATABASE ${DATABASE} TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'`);
      await server.query(shop, DATABASE);
      await server.query(`ALTER DATABASE ${DATABASE} SET search_path TO shop, public`);
      workshop = await openWorkshop(server, DATABASE);
      wrapped = await wrapPrograms(join(directory, 'bin'), (await clientTools(15)).directory);
      store = createMemoryStore({ clock: systemClock });
      await workshop.init(store);
      id = await backUp();
      pristine = new Map(store.objects);
    });
    afterEach(async () => {
      await wrapped.restore();
      store.objects.clear();
      for (const [key, bytes] of pristine) store.objects.set(key, bytes);
    });
    afterAll(async () => {
      await workshop?.[Symbol.asyncDispose]();
      await source?.[Symbol.asyncDispose]();
      await held?.[Symbol.asyncDispose]();
      await rm(directory, { recursive: true });
    });

    async function backUp(): Promise<Id> {
      const { manifest } = await workshop.backup(store, { input: { canary, values: shopValues, bindir: wrapped.directory } });
      return manifest.id;
    }

    async function verify(backup: Id, over: Partial<Restorer> = {}, sandboxes: SandboxProvider = standing): Promise<VerifyResult> {
      const { signingKey } = workshop.backupDeps;
      const deps = { ...workshop.restoreDeps, store, signingKey, sandboxes, restorer: { ...postgresRestorer, ...over }, by: 'test@here' };
      const how = {
        profile: 'fast' as const,
        jobs: 2,
        queries: shopQueries,
        queryTimeoutMs: 60_000,
        timeoutMs: 3_600_000,
        amcheckBytes: 1e9,
      };
      return await verifyBackup(deps, { database: DATABASE, id: backup, ...how }, never);
    }

    /** Does the damage once everything is restored, and before anything is looked at. */
    const damaging = (sql: string): Partial<Restorer> => ({
      async analyzeDatabase(settings, jobs, signal) {
        await postgresRestorer.analyzeDatabase(settings, jobs, signal);
        await query({ ...held, settings }, sql);
      },
    });

    it('of an undamaged backup passes every check, in a sandbox of its own and on the server that the rest is verified on', async () => {
      for (const sandboxes of [provider({ directory }), standing]) {
        const result = await verify(id, {}, sandboxes);
        expect(result.outcome, told(result).join('\n')).toBe('proven');
        expect(result.checks.filter(({ status }) => status !== 'pass')).toEqual([]);
        expect(result.checks).toHaveLength(14);
      }
    });

    // Every damage through the built program, on a local server: test/e2e/verify-damages.test.ts.
    describe('of a database that came back damaged', () => {
      it.each(damages.filter(({ name }) => name === 'a row altered' || name === 'a policy dropped'))(
        'in a container: $name: $fails',
        async ({ sql, fails }) => {
          const result = await verify(id, damaging(sql), testSandboxes());
          expect(result.sandbox).toMatchObject({ kind: 'container' });
          expect(failing(result), told(result).join('\n')).toEqual(fails);
        },
      );

      it('in another encoding: encoding', async () => {
        const createStagingDatabase: Restorer['createStagingDatabase'] = (settings, wanted, signal) =>
          postgresRestorer.createStagingDatabase(settings, { ...wanted, source: { ...wanted.source, encoding: 'LATIN1' } }, signal);
        const result = await verify(id, { createStagingDatabase });
        expect(failing(result), told(result).join('\n')).toEqual(['encoding']);
        noteFailed('the database made in another encoding (LATIN1)', result);
      });
    });

    describe('of a backup that is not as it was written', () => {
      const change = (name: string, by: (bytes: Uint8Array) => Uint8Array) => {
        const key = `${DATABASE}/${id}/${name}`;
        const bytes = store.objects.get(key);
        if (bytes === undefined) throw new Error(`${key} is not there`);
        store.objects.set(key, by(Uint8Array.from(bytes)));
      };
      const flip = (share: number) => (bytes: Uint8Array) => {
        const at = Math.floor((bytes.byteLength - 1) * share);
        bytes[at] = (bytes[at] ?? 0) ^ 0b100;
        return bytes;
      };

      // A thousand random places in all that belongs to a backup are the unit test's.
      it.each<[what: string, name: string, by: (bytes: Uint8Array) => Uint8Array, check: CheckId]>([
        ['the dump cut off by a byte', 'dump.pgc.gz.age', (bytes) => bytes.subarray(0, -1), 'objects'],
        ['the dump cut in half', 'dump.pgc.gz.age', (bytes) => bytes.subarray(0, bytes.byteLength / 2), 'objects'],
        ['the globals cut off by a byte', 'globals.sql.gz.age', (bytes) => bytes.subarray(0, -1), 'objects'],
        ['the fingerprint cut off by a byte', 'fingerprint.json.gz.age', (bytes) => bytes.subarray(0, -1), 'objects'],
        ['a bit flipped at the head of the dump', 'dump.pgc.gz.age', flip(0), 'archive'],
        ['a bit flipped in the middle of the dump', 'dump.pgc.gz.age', flip(0.5), 'archive'],
        ['a bit flipped at the end of the dump', 'dump.pgc.gz.age', flip(1), 'archive'],
        ['a bit flipped in the globals', 'globals.sql.gz.age', flip(0.5), 'objects'],
        ['a bit flipped in the fingerprint', 'fingerprint.json.gz.age', flip(0.5), 'objects'],
        ['a bit flipped in the manifest', 'manifest.json', flip(0.5), 'authentic'],
      ])('%s', async (what, name, by, check) => {
        change(name, by);
        const result = await verify(id);
        expect(result.outcome).toBe('failed');
        expect(failing(result), told(result).join('\n')).toEqual([check]);
        noteFailed(what, result);
      });

      it('with the manifest of another backup', async () => {
        const other = await backUp();
        change('manifest.json', () => store.objects.get(`${DATABASE}/${other}/manifest.json`) ?? new Uint8Array());
        const result = await verify(id);
        expect(failing(result)).toEqual(['authentic']);
        noteFailed('a manifest from another backup', result);
      });
    });

    describe('of a dump that lacks something from the start', () => {
      it('a backup whose pg_dump leaves out everything but the rows is committed, and does not restore', async () => {
        await wrapped.wrap('pg_dump', 'exec "$REAL" "$@" --data-only');
        const result = await verify(await backUp());
        expect(failing(result), told(result).join('\n')).toEqual(['restore']);
        noteFailed('a dump made with --data-only', result);
      });

      it('a backup whose pg_dump leaves out the rows is committed, and its restored tables are found empty', async () => {
        await wrapped.wrap('pg_dump', 'exec "$REAL" "$@" --schema-only');
        const result = await verify(await backUp());
        expect(failing(result), told(result).join('\n')).toEqual(['fingerprint', 'inventory', 'values', 'canary', 'queries']);
        noteFailed('a dump made with --schema-only', result);
      });

      it('a backup whose pg_dump looks at an empty database is committed, and what is missing is found', async () => {
        await asServer(source).query('CREATE DATABASE nothing TEMPLATE template0');
        await wrapped.wrap('pg_dump', 'exec "$REAL" --format=custom --compress=0 --no-password --dbname=nothing');
        const result = await verify(await backUp());
        expect(failing(result), told(result).join('\n')).toEqual(['fingerprint', 'inventory', 'values', 'canary', 'queries']);
        noteFailed('a dump of an empty database', result);
      });

      it.each(['LATIN1', 'SQL_ASCII'])(
        'a backup whose pg_dump writes %s is as good: the archive says so, and it comes back row for row',
        async (encoding) => {
          await wrapped.wrap('pg_dump', `exec "$REAL" "$@" --encoding=${encoding}`);
          const result = await verify(await backUp());
          expect(result.outcome, told(result).join('\n')).toBe('proven');
          note(
            `a dump made with --encoding=${encoding}`,
            'fingerprint',
            result.outcome,
            messageOf(result.checks, 'fingerprint'),
            'loses nothing',
          );
        },
      );

      it('a backup whose pg_dump writes an encoding that lacks a character is none: it is refused', async () => {
        const server = asServer(source);
        await server.query("INSERT INTO shop.leads VALUES (9999, '世界', 'hello@example.com')", DATABASE);
        await wrapped.wrap('pg_dump', 'exec "$REAL" "$@" --encoding=LATIN1');
        const before = [...store.objects.keys()].filter((key) => key.endsWith('/manifest.json'));
        await expect(backUp()).rejects.toMatchObject({ code: 'dump-failed', message: expect.stringContaining('LATIN1') });
        expect([...store.objects.keys()].filter((key) => key.endsWith('/manifest.json'))).toEqual(before);
        await server.query('DELETE FROM shop.leads WHERE id = 9999', DATABASE);
        note('a dump in an encoding that lacks a character', 'backup', 'refused', 'dump-failed, exit 20: nothing is committed', '');
      });
    });
  },
);

function messageOf(checks: readonly CheckOutcome[], id: CheckId): string {
  return checks.find((check) => check.id === id)?.message ?? '';
}
