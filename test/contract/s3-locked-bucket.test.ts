import {
  ListObjectVersionsCommand,
  PutBucketPolicyCommand,
  PutObjectCommand,
  type PutObjectCommandInput,
  PutObjectLegalHoldCommand,
} from '@aws-sdk/client-s3';
import { Temporal } from 'temporal-polyfill';
import { describe, expect, it } from 'vitest';
import { bytesOf } from '../../src/core/bytes.ts';
import { systemClock } from '../../src/platform/clock.ts';
import { createS3Store } from '../../src/storage/s3.ts';
import type { ObjectStore } from '../../src/storage/store.ts';
import { type S3Server, startS3Server } from '../support/s3-servers.ts';

const BUCKET = 'locked';
const later = Temporal.Instant.from('2100-01-01T00:00:00Z');

describe.each(['first', 'second'] as const)('a bucket made with Object Lock on the %s S3 server', (which) => {
  const inBucket = async (work: (store: ObjectStore, server: S3Server) => Promise<void>) => {
    await using server = await startS3Server(which);
    await server.createBucket(BUCKET, { objectLock: true });
    const { endpoint, region, credentials } = server;
    const store = createS3Store({ bucket: BUCKET, prefix: '', endpoint, region, credentials }, { clock: systemClock });
    try {
      await work(store, server);
    } finally {
      store.close();
    }
  };
  const putLocked = (server: S3Server, name: string) => {
    const lock = { ObjectLockMode: 'GOVERNANCE', ObjectLockRetainUntilDate: new Date(later.epochMilliseconds) } as const;
    const request: PutObjectCommandInput = { Bucket: BUCKET, Key: name, Body: 'x', ...lock };
    return server.client.send(new PutObjectCommand(request));
  };

  it('is probed for what it does, and the locked object of the probe goes too', async () => {
    await inBucket(async (store, server) => {
      expect(await store.probe()).toEqual(server.features.locked);
      const { Versions = [], DeleteMarkers = [] } = await server.client.send(new ListObjectVersionsCommand({ Bucket: BUCKET }));
      expect([...Versions, ...DeleteMarkers].map(({ Key }) => Key)).toEqual([]);
    });
  });

  it('tells until when an object is locked, before a delete would hide it', async () => {
    await inBucket(async (store, server) => {
      await putLocked(server, 'dated');
      await store.put('free', bytesOf('x'));
      // A server that takes the headers and ignores them locks nothing, and says so.
      const locks = server.features.locked.objectLock;
      expect(await store.lockedUntil('dated')).toEqual(locks ? later : undefined);
      expect(await store.lockedUntil('free')).toBeUndefined();
      if (!locks) return;

      await server.client.send(new PutObjectLegalHoldCommand({ Bucket: BUCKET, Key: 'free', LegalHold: { Status: 'ON' } }));
      expect(await store.lockedUntil('free')).toBe('legal-hold');
      // The reason for asking: the store says yes, keeps the version, and shows it no more.
      await store.delete('dated');
      expect(await store.stat('dated')).toBeUndefined();
      expect(await store.lockedUntil('dated')).toBeUndefined();
      const { Versions = [] } = await server.client.send(new ListObjectVersionsCommand({ Bucket: BUCKET, Prefix: 'dated' }));
      expect(Versions).toHaveLength(1);
    });
  });

  it.each([
    ['the lock of an object', ['s3:GetObjectRetention', 's3:GetObjectLegalHold']],
    ['the object itself', ['s3:GetObject', 's3:GetObjectRetention', 's3:GetObjectLegalHold']],
  ])('tells nothing, and fails nothing, where the credentials may not see %s', async (_what, actions) => {
    await inBucket(async (store, server) => {
      if (!server.features.locked.objectLock) return;
      await putLocked(server, 'dated');
      const statement = { Effect: 'Deny', Principal: '*', Action: actions, Resource: `arn:aws:s3:::${BUCKET}/*` };
      const policy = JSON.stringify({ Version: '2012-10-17', Statement: [statement] });
      await server.client.send(new PutBucketPolicyCommand({ Bucket: BUCKET, Policy: policy }));
      expect(await store.lockedUntil('dated')).toBeUndefined();
    });
  });
});
