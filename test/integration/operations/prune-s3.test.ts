import { PutObjectLegalHoldCommand, PutObjectRetentionCommand } from '@aws-sdk/client-s3';
import { Temporal } from 'temporal-polyfill';
import { describe, expect, it } from 'vitest';
import { systemClock } from '../../../src/platform/clock.ts';
import { createS3Store } from '../../../src/storage/s3.ts';
import { startS3Server } from '../../support/s3-servers.ts';
import { openSmallInstallation } from '../../support/small-installation.ts';

const BUCKET = 'prune';
const later = Temporal.Instant.from('2100-01-01T00:00:00Z');

describe.each(['first', 'second'] as const)('prune on the %s S3 server', (which) => {
  it('deletes what goes and nothing else; of several at once one works', async () => {
    await using server = await startS3Server(which);
    await server.createBucket(BUCKET);
    const { endpoint, region, credentials } = server;
    const open = () => createS3Store({ bucket: BUCKET, prefix: 'shop', endpoint, region, credentials }, { clock: systemClock });
    const store = open();
    const others = [open(), open()];
    try {
      const shop = await openSmallInstallation({ store, clock: systemClock, rows: () => ['a row\n'], policy: { daily: 1 } });
      const ids: string[] = [];
      for (let count = 0; count < 4; count += 1) ids.push((await shop.backup()).id);
      const results = await Promise.allSettled([shop.prune(), ...others.map((other) => shop.prune({}, other))]);
      const done = results.filter((result) => result.status === 'fulfilled');
      expect(done.length).toBeGreaterThanOrEqual(1);
      for (const result of results) if (result.status === 'rejected') expect(result.reason).toMatchObject({ code: 'locked' });
      const deleted = done.flatMap(({ value }) => value.databases.flatMap((database) => database.deleted.map(({ id }) => id)));
      expect(deleted.toSorted()).toEqual(ids.slice(0, 3));
      expect(await shop.committed()).toEqual(ids.slice(3));
      expect(await shop.strays()).toEqual([]);
    } finally {
      for (const each of [store, ...others]) each.close();
    }
  });

  it('reports what Object Lock holds with its date, leaves it listed and whole, and is no error', async () => {
    await using server = await startS3Server(which);
    // The other one takes the headers and ignores them.
    if (!server.features.locked.objectLock) return;
    await server.createBucket(BUCKET, { objectLock: true });
    const { endpoint, region, credentials } = server;
    const store = createS3Store({ bucket: BUCKET, prefix: 'shop', endpoint, region, credentials }, { clock: systemClock });
    try {
      const shop = await openSmallInstallation({ store, clock: systemClock, rows: () => ['a row\n'], policy: { daily: 1 } });
      const ids: string[] = [];
      for (let count = 0; count < 4; count += 1) ids.push((await shop.backup()).id);
      const [dated = '', held = '', free = '', newest = ''] = ids;
      await server.client.send(
        new PutObjectRetentionCommand({
          ...{ Bucket: BUCKET, Key: `shop/shop/${dated}/dump.pgc.gz.age` },
          Retention: { Mode: 'GOVERNANCE', RetainUntilDate: new Date(later.epochMilliseconds) },
        }),
      );
      const hold = { Bucket: BUCKET, Key: `shop/shop/${held}/manifest.json`, LegalHold: { Status: 'ON' } } as const;
      await server.client.send(new PutObjectLegalHoldCommand(hold));
      const { databases } = await shop.prune();
      expect(databases[0]?.locked).toEqual([
        { id: dated, until: later },
        { id: held, until: 'legal-hold' },
      ]);
      expect(databases[0]?.deleted.map(({ id }) => id)).toEqual([free]);
      expect(databases[0]?.run?.pruned?.locked).toEqual([
        { id: dated, until: '2100-01-01T00:00:00Z' },
        { id: held, until: 'legal-hold' },
      ]);
      expect(await shop.committed()).toEqual([dated, held, newest]);
      expect((await shop.dump(dated)).byteLength).toBeGreaterThan(100);
    } finally {
      store.close();
    }
  });
});
