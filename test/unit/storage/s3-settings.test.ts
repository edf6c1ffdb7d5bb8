import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MiB } from '../../../src/core/bytes.ts';
import { systemClock } from '../../../src/platform/clock.ts';
import { openStore } from '../../../src/storage/all.ts';
import { parseRepositoryUrl } from '../../../src/storage/location.ts';
import { backoffMs } from '../../../src/storage/s3-client.ts';
import { crc32Base64 } from '../../../src/storage/s3-integrity.ts';
import { uploadPlan } from '../../../src/storage/s3-settings.ts';

describe('the parts of an upload', () => {
  it('are the smallest of 8, 16 and 32 MiB with which a thousand are enough', () => {
    expect(uploadPlan({}).partBytes).toBe(8 * MiB);
    expect(uploadPlan({}, 8000 * MiB).partBytes).toBe(8 * MiB);
    expect(uploadPlan({}, 8000 * MiB + 1).partBytes).toBe(16 * MiB);
    expect(uploadPlan({}, 16_000 * MiB + 1).partBytes).toBe(32 * MiB);
    expect(uploadPlan({}, 10 ** 15).partBytes).toBe(32 * MiB);
  });

  it('never take more than 96 MiB of memory together', () => {
    fc.assert(
      fc.property(fc.nat({ max: 2 ** 40 }), (hint) => {
        const { partBytes, inFlight } = uploadPlan({}, hint);
        expect(partBytes * (inFlight + 1)).toBeLessThanOrEqual(96 * MiB);
      }),
    );
  });

  it('decide how much one object may hold, so that the caller can open the next', async () => {
    const store = await openStore(parseRepositoryUrl('s3://bucket/x?region=eu-central-1'), { clock: systemClock });
    expect(store.capacity()).toBe(8000 * MiB);
    expect(store.capacity(10_000 * MiB)).toBe(16_000 * MiB);
    expect(store.location).toBe('s3://bucket/x');
    store.close();
  });
});

it('the wait between attempts doubles up to 20 s, less at most half by chance', () => {
  const least = () => new Uint8Array([255]);
  const most = () => new Uint8Array([0]);
  expect([1, 2, 3, 7, 8, 30].map((attempt) => backoffMs(attempt, most))).toEqual([250, 500, 1000, 16_000, 20_000, 20_000]);
  for (let attempt = 1; attempt < 12; attempt += 1) expect(backoffMs(attempt, least)).toBeGreaterThanOrEqual(backoffMs(attempt, most) / 2);
});

it('a checksum is CRC-32 in big-endian base64, as the check value of the algorithm says', () => {
  // CRC-32/ISO-HDLC of "123456789" is cbf43926 (catalogue of parametrised CRC algorithms).
  expect(crc32Base64(Buffer.from('123456789'))).toBe(Buffer.from('cbf43926', 'hex').toString('base64'));
});

it('a file of certificate authorities that cannot be read is a mistake in the configuration', async () => {
  const location = parseRepositoryUrl('s3://bucket?region=x&ca-file=/nowhere/ca.pem');
  await expect(openStore(location, { clock: systemClock })).rejects.toThrow(expect.objectContaining({ code: 'config-invalid' }));
});
