import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { getCACertificates } from 'node:tls';
import { S3Client, type S3ClientConfig } from '@aws-sdk/client-s3';
import { fromIni } from '@aws-sdk/credential-provider-ini';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import { KiB } from '../core/bytes.ts';
import { JetbackupError, messageOf } from '../core/errors.ts';
import type { RandomBytes } from '../core/ids.ts';
import type { Clock } from '../platform/clock.ts';
import { factsOf, isAmbiguous, isPassing, S3Failure } from './s3-errors.ts';
import type { S3Dependencies, S3Settings, StoreLogger } from './s3-settings.ts';

/** A body may take this much longer (bytes per second) before the answer to it counts as overdue; standing still is noticed much earlier. */
const BEARABLE_RATE = 64 * KiB;
const BACKOFF_MS = 250;
const BACKOFF_CAP_MS = 20_000;

export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
  /** Bytes of the request's body. */
  readonly bodyBytes?: number;
  /** Default: the settings' `maxAttempts`. */
  readonly attempts?: number;
}

/** What goes to `client.send` beside the command. */
export interface SendOptions {
  readonly abortSignal?: AbortSignal;
  readonly requestTimeout: number;
}

/** The connection to one bucket, and what the parts of the adapter share. */
export interface S3Connection {
  readonly client: S3Client;
  readonly bucket: string;
  readonly settings: S3Settings;
  readonly clock: Clock;
  readonly random: RandomBytes;
  readonly logger: StoreLogger | undefined;
  /** For messages: the URL without credentials. */
  readonly location: string;
  /** The whole key in the bucket of a key of the repository. */
  name(key: string): string;
  /** Runs a request with retries; throws S3Failure, or the signal's reason. */
  call<T>(run: (options: SendOptions) => Promise<T>, options?: CallOptions): Promise<T>;
  /** Learned once, kept for the store's life. */
  readonly learned: { integrity: 'crc32' | 'md5'; conditions: boolean; bucketSeen: boolean };
}

export function locationOf({ bucket, prefix, endpoint }: S3Settings): string {
  return `s3://${bucket}${prefix === '' ? '' : `/${prefix}`}${endpoint === undefined ? '' : `?endpoint=${endpoint}`}`;
}

export function connect(settings: S3Settings, deps: S3Dependencies): S3Connection {
  const { clock, logger, random = randomBytes } = deps;
  const { maxAttempts = 8, requestTimeoutMs = 60_000 } = settings;
  const client = new S3Client(clientConfig(settings));
  return {
    client,
    bucket: settings.bucket,
    settings,
    clock,
    random,
    logger,
    location: locationOf(settings),
    name: (key) => (settings.prefix === '' ? key : `${settings.prefix}/${key}`),
    learned: { integrity: 'crc32', conditions: true, bucketSeen: false },
    async call(run, { signal, bodyBytes = 0, attempts = maxAttempts } = {}) {
      const requestTimeout = requestTimeoutMs + Math.ceil((bodyBytes / BEARABLE_RATE) * 1000);
      let maybeDone = false;
      for (let attempt = 1; ; attempt += 1) {
        signal?.throwIfAborted();
        try {
          return await run({ requestTimeout, ...(signal !== undefined && { abortSignal: signal }) });
        } catch (error) {
          if (signal?.aborted) throw signal.reason;
          if (error instanceof JetbackupError) throw error;
          const facts = factsOf(error);
          maybeDone ||= isAmbiguous(facts);
          if (attempt >= attempts || !isPassing(facts)) throw new S3Failure(facts, attempt, maybeDone, error);
          const delay = backoffMs(attempt, random);
          logger?.debug({ attempt, delay, reason: facts.name, status: facts.status }, 'storage request failed; trying again');
          await clock.sleep(delay, signal);
        }
      }
    },
  };
}

/** Doubles from a quarter of a second up to 20 s, less up to half of it by chance, so that many clients do not come back at once. */
export function backoffMs(attempt: number, random: RandomBytes): number {
  const full = Math.min(BACKOFF_CAP_MS, BACKOFF_MS * 2 ** (attempt - 1));
  return Math.round(full * (1 - (random(1)[0] ?? 0) / 512));
}

function clientConfig(settings: S3Settings): S3ClientConfig {
  const region = settings.region ?? (settings.endpoint === undefined ? undefined : 'us-east-1');
  return {
    forcePathStyle: settings.forcePathStyle ?? settings.endpoint !== undefined,
    // Retried here instead, where it is known whether an earlier attempt may have been carried out.
    maxAttempts: 1,
    // Bodies are whole buffers with their checksum in a header; many stores refuse the SDK's trailers.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    // With it the SDK leaves the agent, and so our certificate authorities, behind.
    expectContinueHeader: false,
    requestHandler: new NodeHttpHandler({
      connectionTimeout: settings.connectTimeoutMs ?? 10_000,
      requestTimeout: settings.requestTimeoutMs ?? 60_000,
      throwOnRequestTimeout: true,
      socketTimeout: settings.stallTimeoutMs ?? 30_000,
      httpAgent: { keepAlive: true, maxSockets: 64 },
      httpsAgent: { keepAlive: true, maxSockets: 64, ...authorities(settings.caFile) },
    }),
    ...(region !== undefined && { region }),
    ...(settings.endpoint !== undefined && { endpoint: settings.endpoint }),
    ...credentialsOf(settings),
  };
}

/**
 * fromIni and not the client's `profile` alone: the default chain goes on to the instance's role where the profile is
 * missing, and then the wrong credentials would be used without a word. `profile` beside it is for the region.
 */
function credentialsOf({ profile, credentials }: S3Settings): Pick<S3ClientConfig, 'credentials' | 'profile'> {
  if (profile !== undefined) return { profile, credentials: fromIni({ profile }) };
  return credentials === undefined ? {} : { credentials };
}

function authorities(caFile: string | undefined): { ca?: string[] } {
  if (caFile === undefined) return {};
  try {
    return { ca: [...getCACertificates('default'), readFileSync(caFile, 'utf8')] };
  } catch (cause) {
    throw new JetbackupError('config-invalid', `cannot read the certificate authorities in ${caFile}: ${messageOf(cause)}`, {
      hint: 'ca-file in the repository’s URL names a readable PEM file.',
      cause,
    });
  }
}
