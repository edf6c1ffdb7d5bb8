import { createHmac, timingSafeEqual } from 'node:crypto';
import * as z from 'zod';
import type { AlertChannel, Sensitive } from './alert.ts';
import { NoticeSchema } from './alert.ts';
import type { AttemptDeps } from './attempts.ts';
import { post } from './http.ts';

export interface WebhookSettings {
  readonly name: string;
  readonly url: Sensitive;
  /** What the signature is made with; both sides know it. */
  readonly secret: Sensitive;
}

/** The body. Within a version fields are added and none is renamed or taken away. */
export const WebhookBodySchema = z.strictObject({ version: z.literal(1), source: z.string(), ...NoticeSchema.shape });

export const SIGNATURE_HEADER = 'jetbackup-signature';

/**
 * Any receiver of our own form: JSON, signed. The header `Jetbackup-Signature: t=SECONDS,v1=HEX` holds the Unix time of
 * the attempt and the HMAC-SHA256, by the shared secret, of `SECONDS.BODY`. A receiver makes the same over the raw body,
 * compares in constant time, and refuses a time more than five minutes from its own, so that nothing recorded can be
 * played again; `id` tells it what it has had already.
 */
export function webhookChannel(deps: AttemptDeps, source: string, { name, url, secret }: WebhookSettings): AlertChannel {
  return {
    name,
    async send(notice, signal) {
      const body = JSON.stringify({ version: 1, source, ...notice } satisfies z.input<typeof WebhookBodySchema>);
      const headers = () => {
        const seconds = Math.floor(deps.clock.now().epochMilliseconds / 1000);
        return { [SIGNATURE_HEADER]: `t=${seconds},v1=${signatureOf(seconds, body, secret.reveal())}` };
      };
      const refusedHint = `The receiver of the alert "${name}" does not take it: check its URL, and that both sides have the same secret.`;
      await post(deps, { channel: name, url, body, headers, refusedHint }, signal);
    },
  };
}

function signatureOf(seconds: number, body: string, secret: string): string {
  return createHmac('sha256', secret).update(`${seconds}.${body}`).digest('hex');
}

/** How a receiver checks a request: for tests, and to copy from. */
export function verifySignature(header: string, body: string, secret: string, nowSeconds: number, toleranceSeconds = 300): boolean {
  const match = /^t=(\d{1,12}),v1=([0-9a-f]{64})$/.exec(header);
  if (match?.[1] === undefined || match[2] === undefined) return false;
  if (Math.abs(nowSeconds - Number(match[1])) > toleranceSeconds) return false;
  return timingSafeEqual(Buffer.from(match[2], 'hex'), Buffer.from(signatureOf(Number(match[1]), body, secret), 'hex'));
}
