import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import type { CallOptions, S3Connection, SendOptions } from './s3-client.ts';
import { isUnsupported, S3Failure } from './s3-errors.ts';

export type Integrity = 'crc32' | 'md5';

/** The checksum headers of one body. `ChecksumAlgorithm` goes along because some stores check the sum only when it is named. */
export interface IntegrityHeaders {
  readonly ChecksumAlgorithm?: 'CRC32';
  readonly ChecksumCRC32?: string;
  readonly ContentMD5?: string;
}

export function crc32Base64(bytes: Uint8Array): string {
  const sum = Buffer.alloc(4);
  sum.writeUInt32BE(crc32(bytes));
  return sum.toString('base64');
}

export function integrityHeaders(kind: Integrity, bytes: Uint8Array): IntegrityHeaders {
  if (kind === 'md5') return { ContentMD5: createHash('md5').update(bytes).digest('base64') };
  return { ChecksumAlgorithm: 'CRC32', ChecksumCRC32: crc32Base64(bytes) };
}

/** Refusals that are about this request, not about a header that the store does not know. */
const ownFault = new Set([
  ...['NoSuchUpload', 'NoSuchKey', 'NoSuchBucket', 'InvalidPart', 'InvalidPartOrder', 'EntityTooLarge', 'EntityTooSmall', 'ExpiredToken'],
  ...['InvalidBucketName', 'KeyTooLongError', 'BadDigest', 'RequestTimeout', 'RequestTimeTooSkewed', 'InvalidStorageClass', 'InvalidToken'],
  ...['IncompleteBody', 'AuthorizationHeaderMalformed', 'IllegalLocationConstraintException', 'XAmzContentSHA256Mismatch'],
]);

function mayBeAboutChecksums({ facts }: S3Failure): boolean {
  if (ownFault.has(facts.name) || /KMS/i.test(facts.name)) return false;
  return isUnsupported(facts) || facts.status === 400 || facts.status === 411;
}

/**
 * Runs a request that carries a body with CRC-32 in a header; where the store refuses such headers, once more with
 * Content-MD5, which every store knows. What worked is remembered. (SHA-256 of the body is signed in either case.)
 */
export async function callWithIntegrity<T>(
  connection: S3Connection,
  run: (kind: Integrity, send: SendOptions) => Promise<T>,
  options: CallOptions,
): Promise<T> {
  const { learned, logger, location } = connection;
  const kind = learned.integrity;
  try {
    return await connection.call((send) => run(kind, send), options);
  } catch (error) {
    if (kind === 'md5' || !(error instanceof S3Failure) || !mayBeAboutChecksums(error)) throw error;
    const result = await connection.call((send) => run('md5', send), options);
    learned.integrity = 'md5';
    logger?.warn({ location, reason: error.facts.name }, 'this store refuses CRC-32 checksum headers; using Content-MD5 from now on');
    return result;
  }
}
