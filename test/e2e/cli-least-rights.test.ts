import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { ListMultipartUploadsCommand, ListObjectsV2Command } from '@aws-sdk/client-s3';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import * as z from 'zod';
import { type RunningDaemon, startDaemon } from '../support/daemons.ts';
import { type HttpFaultProxy, startHttpFaultProxy } from '../support/http-fault-proxy.ts';
import { type HttpReceiver, httpReceiver } from '../support/http-receiver.ts';
import { createSample, type Installation, makeInstallation } from '../support/installation.ts';
import { type PostgresServer, startPostgres } from '../support/postgres.ts';
import { type S3Server, startS3Server } from '../support/s3-servers.ts';
import { until } from '../support/waiting.ts';

const OneOrMore = z.union([z.string(), z.array(z.string())]).transform((value) => (typeof value === 'string' ? [value] : value));
const Statement = z.strictObject({ Sid: z.string(), Effect: z.literal('Allow'), Action: OneOrMore, Resource: OneOrMore });
const Policy = z.strictObject({ Version: z.literal('2012-10-17'), Statement: z.array(Statement) });
type Statement = z.infer<typeof Statement>;
type Policy = Pick<z.infer<typeof Policy>, 'Statement'>;

/** Every policy of docs/CONFIGURATION.md, as it stands there, and the statement that is to be added to the last of them. */
function documented(): { backup: Policy; prune: Policy; restore: Policy; rememberAlerts: Statement } {
  const page = readFileSync(join(import.meta.dirname, '../../docs/CONFIGURATION.md'), 'utf8');
  const blocks = Array.from(page.matchAll(/```json\n([\s\S]*?)```/g), ([, block = '']): unknown => JSON.parse(block));
  const [backup, prune, restore, rememberAlerts] = z.tuple([Policy, Policy, Policy, Statement]).parse(blocks);
  return { backup, prune, restore, rememberAlerts };
}

/** The right that IAM asks for a request, and on what (service authorization reference of Amazon S3). */
function needs({ method = '', url = '' }: IncomingMessage): { action: string; resource: string } {
  const { pathname, searchParams } = new URL(url, 'http://store');
  const path = decodeURIComponent(pathname).replace(/^\/|\/$/g, '');
  const resource = `arn:aws:s3:::${path}`;
  if (!path.includes('/')) {
    if (method !== 'GET' && method !== 'HEAD') return { action: `s3:? ${method} of a bucket`, resource };
    return { action: searchParams.has('uploads') ? 's3:ListBucketMultipartUploads' : 's3:ListBucket', resource };
  }
  const remove = searchParams.has('versionId') ? 's3:DeleteObjectVersion' : 's3:DeleteObject';
  const actions: Record<string, string> = {
    GET: 's3:GetObject',
    HEAD: 's3:GetObject',
    PUT: 's3:PutObject',
    POST: 's3:PutObject',
    DELETE: searchParams.has('uploadId') ? 's3:AbortMultipartUpload' : remove,
  };
  return { action: actions[method] ?? `s3:? ${method}`, resource };
}

/** The rights that a policy gives: `WriteBackups: s3:PutObject on arn:aws:s3:::my-backups/shop/*`. */
const rightsOf = ({ Statement: statements }: Policy) =>
  statements.flatMap(({ Sid, Action, Resource }) =>
    Action.flatMap((action) => Resource.map((pattern) => ({ action, pattern, right: `${Sid}: ${action} on ${pattern}` }))),
  );

/** Those by which a request is allowed. */
function allowing(policy: Policy, { action, resource }: ReturnType<typeof needs>): string[] {
  const covers = (pattern: string) => (pattern.endsWith('*') ? resource.startsWith(pattern.slice(0, -1)) : resource === pattern);
  return rightsOf(policy).flatMap((one) => (one.action === action && covers(one.pattern) ? [one.right] : []));
}

const actionsOf = ({ Statement: statements }: Policy): Set<string> => new Set(statements.flatMap(({ Action }) => Action));
const without = (policy: Policy, sid: string): Policy => ({ Statement: policy.Statement.filter(({ Sid }) => Sid !== sid) });
const Told = z.object({ kind: z.string(), rule: z.string() });

describe('with no more rights in the bucket than docs/CONFIGURATION.md gives', () => {
  const { backup, prune, restore, rememberAlerts } = documented();
  let server: PostgresServer;
  let s3: S3Server;
  let proxy: HttpFaultProxy;
  let shop: Installation;
  const refused: string[] = [];
  const used = new Set<string>();
  /** As `rightsOf` tells them. */
  const rightsUsed = new Set<string>();

  /** From now on the store refuses what the policy does not allow. */
  function enforce(policy: Policy): void {
    proxy.heal();
    refused.length = 0;
    used.clear();
    rightsUsed.clear();
    const when = (request: IncomingMessage) => {
      const needed = needs(request);
      used.add(needed.action);
      const rights = allowing(policy, needed);
      for (const right of rights) rightsUsed.add(right);
      if (rights.length > 0) return false;
      refused.push(needed.action);
      return true;
    };
    proxy.plant({ when, answer: { status: 403, code: 'AccessDenied' } });
  }

  beforeAll(async () => {
    [server, s3] = await Promise.all([startPostgres(15), startS3Server('first')]);
    await s3.createBucket('my-backups');
    // Larger than one part, so that there are multipart uploads.
    await createSample(server, 'shop', 20);
    proxy = await startHttpFaultProxy(s3);
    enforce(backup);
    shop = await makeInstallation({ server, database: 'shop', s3: { server: s3, bucket: 'my-backups/shop', endpoint: proxy.endpoint } });
  });
  afterEach(async () => {
    shop?.proxy.heal();
    await shop?.programs.restore();
  });
  afterAll(async () => {
    await shop?.[Symbol.asyncDispose]();
    await Promise.all([proxy?.stop(), server?.stop(), s3?.stop()]);
  });

  it('a backup host makes its repository and its backups, and cleans up after a failure', async () => {
    expect(refused).toEqual([]);
    await shop.backup();
    await shop.programs.wrap('pg_dump', '"$REAL" "$@"; exit 1');
    const failed = await shop.cli.run('backup');
    expect(failed.code, failed.stderr).toBe(20);
    await shop.programs.restore();
    await shop.backup();
    expect(refused).toEqual([]);
    expect(used, 'and it has no right that it does not need').toEqual(actionsOf(backup));
  });

  it('a backup host that may not delete makes its backups all the same', async () => {
    enforce(without(backup, 'CleanUp'));
    await shop.backup();
    expect(new Set(refused)).toEqual(new Set(['s3:DeleteObject']));
    await shop.programs.wrap('pg_dump', '"$REAL" "$@"; exit 1');
    const failed = await shop.cli.run('backup');
    expect(failed.code, failed.stderr).toBe(20);
    expect(failed.stderr).toContain('could not be removed');
    await shop.programs.restore();
    await shop.backup();
  });

  it('a restore host lists, exports, restores and leaves its run record', async () => {
    enforce(restore);
    expect((await shop.ids()).length).toBe(4);
    const exported = await shop.cli.run('export', 'latest', '-o', 'shop.dump');
    expect(exported.code, exported.stderr).toBe(0);
    expect((await readFile(join(shop.cli.directory, 'shop.dump'))).subarray(0, 5).toString()).toBe('PGDMP');
    await shop.restoresEqual();
    expect(refused).toEqual([]);
    expect(used).toEqual(actionsOf(restore));
  });

  it('whoever prunes deletes what goes, with a lease and a record, and needs nothing else', async () => {
    enforce(prune);
    const pruned = await shop.cli.run('prune');
    expect(pruned.code, pruned.stderr).toBe(0);
    expect(pruned.stdout).toContain('deleted 3 of 4');
    expect(refused).toEqual([]);
    const probes = await s3.client.send(new ListObjectsV2Command({ Bucket: 'my-backups', Prefix: 'shop/.jetbackup-probe/' }));
    expect(probes.KeyCount).toBe(0);
    expect([...used]).toEqual(expect.arrayContaining(['s3:ListBucket', 's3:GetObject', 's3:PutObject', 's3:DeleteObject']));
    enforce(restore);
    expect((await shop.ids()).length).toBe(1);
  });

  it('a restore host that may only read restores all the same, and says that it left no record and no note', async () => {
    enforce(without(without(restore, 'RecordRestores'), 'KeepWhatIsRead'));
    const restored = await shop.cli.run('restore', 'latest', '--as', 'restored_copy');
    expect(restored.code, restored.stderr).toBe(0);
    expect(restored.stderr).toContain('could not be written');
    expect(restored.stderr).toMatch(/a prune cannot be told that .* is being read[\s\S]*jetbackup pin /);
    expect(new Set(refused)).toEqual(new Set(['s3:PutObject']));
    await server.query('DROP DATABASE restored_copy');
  });

  describe('a service that tells alerts', () => {
    let hook: HttpReceiver;
    let daemon: RunningDaemon | undefined;
    /** `trigger backup-failed` of each that came. */
    const told = () =>
      hook.received.map(({ body }) => {
        const { kind, rule } = Told.parse(JSON.parse(body));
        return `${kind} ${rule}`;
      });
    const acknowledge = async (reason: string) => await shop.cli.run('alerts', 'ack', 'backup-failed/shop', '--reason', reason, '--json');
    const remembered = async () =>
      ((await s3.client.send(new ListObjectsV2Command({ Bucket: 'my-backups', Prefix: 'shop/alerts/' }))).Contents ?? []).map(
        ({ Key }) => Key,
      );

    beforeAll(async () => {
      enforce(backup);
      await shop.programs.wrap('pg_dump', '"$REAL" "$@"; exit 1');
      const failed = await shop.cli.run('backup');
      expect(failed.code, failed.stderr).toBe(20);
      await shop.programs.restore();
      hook = await httpReceiver();
      const webhook = { url: hook.url, allowHttp: true, secret: 's'.repeat(32), rules: ['backup-failed'] };
      // It has nothing else to do.
      await shop.configure(
        { schedule: '0 0 29 2 *' },
        { verify: { schedule: 'off' }, prune: { schedule: 'off' }, http: 'off', alerts: [{ webhook }] },
      );
    });
    beforeEach(() => {
      hook.received.length = 0;
    });
    afterEach(async () => {
      await daemon?.stop('SIGKILL');
      daemon = undefined;
    });
    afterAll(async () => await hook?.[Symbol.asyncDispose]());

    it('and may not remember them tells them all the same, and nothing can be acknowledged', async () => {
      enforce(restore);
      daemon = await startDaemon(shop);
      await until('it is told', () => told().length > 0, 150_000);
      expect(told()).toEqual(['trigger backup-failed']);
      const { lines } = daemon;
      await until('it says why it remembers nothing', () =>
        lines().some(({ msg, ['code']: code }) => msg.startsWith('alerts: ') && code === 'storage-denied'),
      );
      expect(await daemon.stop()).toBe(0);
      expect(new Set(refused)).toEqual(new Set(['s3:PutObject', 's3:DeleteObject']));
      const listed = await shop.cli.run('alerts', 'list');
      expect(listed.code, listed.stderr).toBe(0);
      // Of what is not remembered nothing is known to be open.
      const acknowledged = await acknowledge('nobody knows of it');
      expect(acknowledged.code, acknowledged.stderr).toBe(2);
      expect(await remembered()).toEqual([]);
    });

    it('and may remember them is told who is at it, and needs nothing else for it', async () => {
      enforce({ Statement: [...restore.Statement, rememberAlerts] });
      daemon = await startDaemon(shop);
      await until('it is told', () => told().length > 0, 150_000);
      // The service takes it with its next round, and takes the request away.
      const left = await acknowledge('somebody is at it');
      expect(left.code, left.stderr).toBe(0);
      expect(left.json()).toMatchObject({ applied: false });
      expect(await remembered()).toHaveLength(2);
      await until('that is told', () => told().length > 1, 150_000);
      await until('the request is gone', async () => (await remembered()).length === 1);
      expect(await remembered()).toEqual(['shop/alerts/state.json']);
      expect(told()).toEqual(['trigger backup-failed', 'acknowledge backup-failed']);
      expect(await daemon.stop()).toBe(0);
      expect(daemon.lines().filter(({ level, msg }) => level !== 'info' && msg.startsWith('alerts: '))).toEqual([]);
      // Nobody tells now, so this one writes itself.
      const written = await acknowledge('it is done');
      expect(written.json(), written.stderr).toMatchObject({ applied: true, reason: 'it is done' });
      expect(refused).toEqual([]);
      const own = rightsOf({ Statement: [rememberAlerts] }).filter(({ right }) => rightsUsed.has(right));
      expect(new Set(own.map(({ action }) => action)), 'and it has no right that it does not need').toEqual(new Set(rememberAlerts.Action));
      expect(new Set(own.map(({ pattern }) => pattern))).toEqual(new Set(rememberAlerts.Resource));
      const { Uploads = [] } = await s3.client.send(new ListMultipartUploadsCommand({ Bucket: 'my-backups' }));
      expect(Uploads).toEqual([]);
      enforce(restore);
      const unwritten = await acknowledge('it may not be written');
      expect(unwritten.code, unwritten.stderr).toBe(11);
      expect(unwritten.stderr + JSON.stringify(unwritten.json())).toContain('storage-denied');
    });
  });
});
