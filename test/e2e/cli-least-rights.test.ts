import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { ListObjectsV2Command } from '@aws-sdk/client-s3';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import * as z from 'zod';
import { type HttpFaultProxy, startHttpFaultProxy } from '../support/http-fault-proxy.ts';
import { createSample, type Installation, makeInstallation } from '../support/installation.ts';
import { type PostgresServer, startPostgres } from '../support/postgres.ts';
import { type S3Server, startS3Server } from '../support/s3-servers.ts';

const OneOrMore = z.union([z.string(), z.array(z.string())]).transform((value) => (typeof value === 'string' ? [value] : value));
const Policy = z.object({
  Statement: z.array(z.object({ Sid: z.string(), Effect: z.literal('Allow'), Action: OneOrMore, Resource: OneOrMore })),
});
type Policy = z.infer<typeof Policy>;

/** The policies of docs/CONFIGURATION.md, as they stand there. */
function documented(): { backup: Policy; prune: Policy; restore: Policy } {
  const page = readFileSync(join(import.meta.dirname, '../../docs/CONFIGURATION.md'), 'utf8');
  // A block without a version is a statement to be added to one of them.
  const texts = Array.from(page.matchAll(/```json\n([\s\S]*?)```/g), ([, block = '']) => block);
  const blocks = texts.filter((block) => block.includes('"Version"')).map((block) => Policy.parse(JSON.parse(block)));
  const [backup, prune, restore] = blocks;
  if (backup === undefined || prune === undefined || restore === undefined || blocks.length !== 3) {
    throw new Error('three policies were expected');
  }
  return { backup, prune, restore };
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

function allows(policy: Policy, { action, resource }: ReturnType<typeof needs>): boolean {
  const covers = (pattern: string) => (pattern.endsWith('*') ? resource.startsWith(pattern.slice(0, -1)) : resource === pattern);
  return policy.Statement.some(({ Action, Resource }) => Action.includes(action) && Resource.some(covers));
}

const actionsOf = ({ Statement }: Policy): Set<string> => new Set(Statement.flatMap(({ Action }) => Action));
const without = (policy: Policy, sid: string): Policy => ({ Statement: policy.Statement.filter(({ Sid }) => Sid !== sid) });

describe('with no more rights in the bucket than docs/CONFIGURATION.md gives', () => {
  const { backup, prune, restore } = documented();
  let server: PostgresServer;
  let s3: S3Server;
  let proxy: HttpFaultProxy;
  let shop: Installation;
  const refused: string[] = [];
  const used = new Set<string>();

  /** From now on the store refuses what the policy does not allow. */
  function enforce(policy: Policy): void {
    proxy.heal();
    refused.length = 0;
    used.clear();
    const when = (request: IncomingMessage) => {
      const needed = needs(request);
      used.add(needed.action);
      if (allows(policy, needed)) return false;
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
});
