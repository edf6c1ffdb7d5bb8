import { JetbackupError } from '../core/errors.ts';
import { RetryLater, type Sensitive } from './alert.ts';
import { type AttemptDeps, attempts } from './attempts.ts';

export interface Post {
  /** The channel's name, for messages. */
  readonly channel: string;
  readonly url: Sensitive;
  readonly body: string;
  /** Asked at each attempt: a signature holds the time at which it was made. */
  headers(): Readonly<Record<string, string>>;
  /** What a refusal (400 to 499) most likely means, and what to do. */
  readonly refusedHint: string;
}

/** As long as a receiver may ask for (a day); beyond that it is taken for nonsense. */
const LONGEST_RETRY_AFTER_MS = 86_400_000;

/**
 * Posts until the receiver takes it, as `attempts` does. 408, 429 and 5xx are tried again, after Retry-After where there is
 * one; redirects are not followed: the body would go where nobody wanted it. Throws as `AlertChannel.send`. No message
 * shows more of the URL than its host: paths and queries are the keys of incoming webhooks.
 */
export async function post(deps: AttemptDeps, request: Post, signal: AbortSignal): Promise<void> {
  const url = new URL(request.url.reveal());
  const what = `${request.channel} (${url.host})`;
  await attempts(deps, what, (limit) => attempt(deps, request, url, what, limit), signal);
}

async function attempt(deps: AttemptDeps, request: Post, url: URL, what: string, signal: AbortSignal): Promise<void> {
  let response: Response;
  try {
    response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'user-agent': 'jetbackup', ...request.headers() },
      body: request.body,
      redirect: 'manual',
      signal,
    });
    // What it says beside its status is of no use here, and may hold what was sent.
    await response.body?.cancel();
  } catch (error) {
    signal.throwIfAborted();
    // Not as the cause: its messages may hold the URL.
    throw new JetbackupError('alert-undelivered', `${what} cannot be reached${reasonOf(error)}`, {
      hint: 'Check the host name, the network, and that the receiver runs.',
    });
  }
  const { status } = response;
  if (status >= 200 && status < 300) return;
  if (status === 408 || status === 425 || status === 429 || status >= 500) {
    const afterMs = retryAfterMs(response.headers.get('retry-after'), deps);
    throw new JetbackupError('alert-undelivered', `${what} answered ${status}`, {
      hint: 'See whether the receiver itself is in trouble.',
      ...(afterMs === undefined ? {} : { cause: new RetryLater(afterMs) }),
    });
  }
  throw new JetbackupError('alert-refused', `${what} answered ${status}`, {
    hint: status < 400 ? 'It redirects to another address, which is not followed. Configure that one.' : request.refusedHint,
  });
}

/** RFC 9110, 10.2.3: seconds, or a date. */
function retryAfterMs(value: string | null, { clock }: AttemptDeps): number | undefined {
  if (value === null) return undefined;
  const at = /^\d{1,9}$/.test(value.trim()) ? undefined : Date.parse(value);
  const ms = at === undefined ? Number(value) * 1000 : at - clock.now().epochMilliseconds;
  return Number.isNaN(ms) ? undefined : Math.min(LONGEST_RETRY_AFTER_MS, Math.max(0, ms));
}

/** ` (ECONNREFUSED)`; codes only. */
function reasonOf(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  const code = typeof cause === 'object' && cause !== null && 'code' in cause ? cause.code : undefined;
  return typeof code === 'string' && /^[A-Z0-9_]+$/.test(code) ? ` (${code})` : '';
}
