/**
 * `node scripts/bench/retention.ts [BACKUPS]`: lists and plans so many backups (10,000) in a real S3 server, without deleting
 * any: wall time of each step, requests, and memory. Target: the plan, given the listing, in under 3 s. Exit status 1 where it is missed.
 */
import { randomUUID } from 'node:crypto';
import { Temporal } from 'temporal-polyfill';
import { planRetention } from '../../retention/plan.ts';
import { resolvePolicy } from '../../retention/policy.ts';
import { manifestKey, REPOSITORY_KEY } from '../../src/catalog/layout.ts';
import { bytesOf } from '../../src/core/bytes.ts';
import { newId } from '../../src/core/ids.ts';
import { encodeManifest } from '../../src/core/manifest.ts';
import { generateSigningKey, loadSigningKey, sign } from '../../src/crypto/signature.ts';
import { surveyRetention } from '../../src/operations/retention.ts';
import { systemClock } from '../../src/platform/clock.ts';
import { openStore } from '../../src/storage/all.ts';
import type { ObjectStore } from '../../src/storage/store.ts';
import { sampleArtifact, sampleManifest } from '../../test/support/manifest.ts';
import { startS3Target } from './s3.ts';

const TARGET_MS = 3_000;
const PUTS_AT_ONCE = 16;
const DATABASE = 'jetadmin';

const count = Number(process.argv[2] ?? 10_000);
const signal = new AbortController().signal;
await using target = await startS3Target();
const { AWS_ACCESS_KEY_ID: accessKeyId = '', AWS_SECRET_ACCESS_KEY: secretAccessKey = '' } = target.env;
const store = await openStore(
  { kind: 's3', bucket: target.bucket, prefix: 'retention', region: target.region, endpoint: target.endpoint },
  { clock: systemClock, credentials: { accessKeyId, secretAccessKey } },
);

const repository = randomUUID();
const key = loadSigningKey(generateSigningKey().privatePem, 'the bench');
const newest = Temporal.Now.instant().subtract({ hours: 1 });
const text = (instant: Temporal.Instant) => instant.toString({ smallestUnit: 'second' });

/** Hourly backups of some 200 MB, each with its manifest and one object. */
async function fill(): Promise<void> {
  await store.put(REPOSITORY_KEY, bytesOf(JSON.stringify({ format: 1, id: repository, createdAt: text(newest) })));
  let next = 0;
  const work = async () => {
    for (let index = next++; index < count; index = next++) {
      const instant = newest.subtract({ hours: index });
      const id = newId(instant);
      const artifact = sampleArtifact({ segments: Array.from({ length: 25 }, () => '0'.repeat(64)) });
      const manifest = sampleManifest({ id, repository, snapshotInstant: text(instant), artifacts: [artifact], database: DATABASE });
      const { signature: _, ...unsigned } = manifest;
      await store.put(`${DATABASE}/${id}/dump.pgc.gz.age`, bytesOf('0123456789'));
      await store.put(manifestKey(DATABASE, id), bytesOf(encodeManifest(sign(unsigned, key))));
    }
  };
  await Promise.all(Array.from({ length: PUTS_AT_ONCE }, work));
}

const requests = { list: 0, get: 0 };
const counting: ObjectStore = {
  ...store,
  async get(...args) {
    requests.get += 1;
    return await store.get(...args);
  },
  async *list(...args) {
    let objects = 0;
    for await (const info of store.list(...args)) {
      objects += 1;
      yield info;
    }
    // A page holds a thousand.
    requests.list += Math.max(1, Math.ceil(objects / 1_000));
  },
};

console.log(`Storing ${count} backups in ${target.description}`);
await fill();
const policy = resolvePolicy({ preset: 'production-checklist' });
const before = process.memoryUsage().rss;
const started = performance.now();
const survey = await surveyRetention(
  { store: counting, clock: systemClock, publicKeys: [key.publicKey] },
  { databases: [{ database: DATABASE, policy, collapseRatio: 0.5 }], timeZone: 'Europe/Berlin' },
  signal,
);
const surveyMs = performance.now() - started;
const points = survey.databases.flatMap((database) => database.points);
const planStarted = performance.now();
const plan = planRetention(points, policy, { now: systemClock.now().epochMilliseconds, timeZone: 'Europe/Berlin' });
const planMs = performance.now() - planStarted;
const { maxRSS } = process.resourceUsage();

console.table([
  { step: 'listed, read, authenticated and planned', seconds: Number((surveyMs / 1000).toFixed(2)) },
  { step: 'of that, the plan given the listing', seconds: Number((planMs / 1000).toFixed(2)) },
]);
console.log(`${points.length} backups: ${plan.keep.length} stay, ${plan.expire.length} would go`);
console.log(`Requests: ${requests.list} LIST, ${requests.get} GET`);
console.log(`Memory: ${Math.round(before / 1e6)} MB before, ${Math.round(maxRSS / 1e3)} MB at most (storing included)`);
console.log(`Plan in under ${TARGET_MS / 1000} s: ${planMs < TARGET_MS ? 'met' : 'MISSED'}`);
store.close();
if (planMs >= TARGET_MS || points.length !== count) process.exitCode = 1;
