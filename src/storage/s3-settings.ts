import { MiB } from '../core/bytes.ts';
import type { RandomBytes } from '../core/ids.ts';
import type { Clock } from '../platform/clock.ts';

export interface S3Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

export interface S3Settings {
  readonly bucket: string;
  /** Without slashes at its ends; empty for the whole bucket. */
  readonly prefix: string;
  /** Without one: AWS_REGION or the profile's; `us-east-1` where there is an endpoint. */
  readonly region?: string;
  readonly endpoint?: string;
  /** Default: true where there is an endpoint, for few of them have a name per bucket. */
  readonly forcePathStyle?: boolean;
  /** Without them: the AWS default chain (environment, profile, web identity, container and instance metadata). */
  readonly credentials?: S3Credentials;
  /** Name of an AWS profile whose credentials are used, and no others: where it has none, that is an error. */
  readonly profile?: string;
  readonly sse?: { readonly type: 's3' } | { readonly type: 'kms'; readonly keyId?: string };
  readonly storageClass?: string;
  /** A PEM file of certificate authorities to trust besides the system's. */
  readonly caFile?: string;
  /** ms to wait for an answer once a request's body is sent at a bearable rate. Default 60,000. */
  readonly requestTimeoutMs?: number;
  /** ms to wait for a connection. Default 10,000. */
  readonly connectTimeoutMs?: number;
  /** ms without a single byte in either direction. Default 30,000. */
  readonly stallTimeoutMs?: number;
  /** Attempts at one request or part. Default 8: rides over about half a minute of outage. */
  readonly maxAttempts?: number;
  /** Size of a part whatever the hint says; for tests and for stores with rules of their own. At least 5 MiB on real stores. */
  readonly partBytes?: number;
}

/** What pino offers and this adapter uses. */
export interface StoreLogger {
  warn(detail: object, message: string): void;
  debug(detail: object, message: string): void;
}

export interface S3Dependencies {
  readonly clock: Clock;
  readonly logger?: StoreLogger;
  readonly random?: RandomBytes;
}

/** Some stores allow no more parts in one upload (Scaleway); Amazon allows 10,000. */
export const MAX_PARTS = 1000;

/**
 * Part sizes (bytes), and how many parts may be on their way at once while one more is filled: at most
 * 32, 48 and 96 MiB in memory. 8 MiB parts carry 7.8 GiB, 16 MiB parts 15.6 GiB, 32 MiB parts 31.25 GiB.
 */
const plans = [
  { partBytes: 8 * MiB, inFlight: 3 },
  { partBytes: 16 * MiB, inFlight: 2 },
  { partBytes: 32 * MiB, inFlight: 2 },
] as const;

export interface UploadPlan {
  readonly partBytes: number;
  readonly inFlight: number;
}

/** The smallest parts with which a body of `sizeHint` bytes needs at most 1,000 of them; the largest when none does. */
export function uploadPlan(settings: Pick<S3Settings, 'partBytes'>, sizeHint = 0): UploadPlan {
  if (settings.partBytes !== undefined) return { partBytes: settings.partBytes, inFlight: 3 };
  return plans.find((plan) => plan.partBytes * MAX_PARTS >= sizeHint) ?? plans[plans.length - 1] ?? plans[0];
}
